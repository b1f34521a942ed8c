"""A table of boxes, a row each: CSV with any delimiter, encoding and order of columns.

Known are the columns of TensorFlow's and Roboflow's `_annotations.csv`, of Open Images, of VIA-like exports, and rows
without a header as keras-retinanet reads them: path, x1, y1, x2, y2, class. A row without a box is an image without objects.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.geometry import Corners
from mirada.data.folders.layout import split_word
from mirada.data.folders.texts import clean_label, is_true, read_hidden, read_text, split_rows
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, corners_of, number_text
from mirada.data.records import Box

_COLUMNS = {
    "image": "filename file image image_path imagepath path img image_name imagename imageid image_id file_name",
    "label": "class label name category labelname class_name classname category_name object type",
    "x1": "xmin x1 x_min left bbox_x1 xtl x0 minx",
    "y1": "ymin y1 y_min top bbox_y1 ytl y0 miny",
    "x2": "xmax x2 x_max right bbox_x2 xbr maxx",
    "y2": "ymax y2 y_max bottom bbox_y2 ybr maxy",
    "x": "x bbox_x x_left",
    "y": "y bbox_y y_top",
    "w": "w bbox_width bbox_w box_width",
    "h": "h bbox_height bbox_h box_height",
    "bbox": "bbox box boxes",
    "width": "width image_width img_width imagewidth",
    "height": "height image_height img_height imageheight",
    "split": "split subset set usage",
    "difficult": "difficult is_difficult iscrowd is_crowd isgroupof",
    "truncated": "truncated is_truncated istruncated",
    "occluded": "occluded is_occluded isoccluded",
}
_KNOWN = {word: column for column, words in _COLUMNS.items() for word in words.split()}


def gather_csv(gathering: Gathering, rename: Mapping[str, str]) -> None:
    """Add the boxes of every image from all tables of boxes.

    The split is what a column says, the table's name (`train_labels.csv`), or the image's folder.
    """
    tables = []
    for source, path in gathering.files_of(".csv", ".tsv", ".txt"):
        text, assumed = read_text(path)
        try:
            rows = split_rows(text)
        except csv.Error:
            rows = []
        columns = _columns(rows[:50])
        if columns:
            tables.append((gathering.split_of_file(source), source, rows, columns))
            gathering.notes.append(f"{source}: a table of boxes" + (f", read as {assumed}" if assumed else ""))
        elif path.suffix.lower() != ".txt":
            gathering.notes.append(f"{source} holds no columns of boxes and was left alone")
    for split, source, rows, (columns_of, header) in sorted(tables, key=lambda table: (table[0] is None, table[1])):
        _gather(gathering, source, split, rows[header:], columns_of, rename)


def _gather(
    gathering: Gathering,
    source: str,
    split: str | None,
    rows: Sequence[Sequence[str]],
    columns: Mapping[str, int],
    rename: Mapping[str, str],
) -> None:
    """Add the rows of one table, image by image."""
    images: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        cells = {column: row[at].strip() for column, at in columns.items() if at < len(row)}
        if cells.get("image"):
            images.setdefault(cells["image"], []).append(cells)
        elif any(cell.strip() for cell in row):
            gathering.rejected.append(reject(f"{source}: {','.join(row)[:60]}", "labels_unreadable", 1))
    every = [corners for mine in images.values() for cells in mine if (corners := _corners(cells))]
    # In pixels all of it would lie in the very first one. Where the sizes of images stand beside, pixels are meant.
    sized = {"width", "height"} <= columns.keys()
    relative = bool(every) and not sized and all(-0.01 <= value <= 1.01 for corners in every for value in corners)
    if relative:
        gathering.notes.append(f"{source}: its numbers are taken for shares of the images' sides")
    for reference, mine in images.items():
        boxes: list[Box] = []
        repairs: list[str] = []
        for cells in mine:
            places = [cells.get(column, "") for column in ("x1", "y1", "x2", "y2", "x", "y", "w", "h", "bbox")]
            if not any(places):
                repairs += ["box_unreadable"] if cells.get("label") and len(mine) > 1 else []
                continue  # an image without objects
            label = clean_label(cells.get("label", "object" if "label" not in columns else ""))
            corners = _corners(cells)
            if not label or corners is None:
                repairs.append("box_unreadable" if label else "name_missing")
                continue
            difficult = is_true(cells.get("difficult"))
            add_box(boxes, repairs, Box(*corners, rename.get(label, label), difficult, *read_hidden(cells)))
        said = split_word(mine[0].get("split", ""), gathering.names) if "split" in columns else None
        labelling = Labelling("", "", None, tuple(boxes), _size(mine[0]), relative=relative, repairs=tuple(repairs))
        gathering.add(source, reference, labelling, split=said or split)


def _corners(cells: Mapping[str, str]) -> Corners | None:
    """The corners that a row gives, None where they are no four numbers."""
    try:
        if cells.get("bbox"):
            values = [float(value) for value in json.loads(cells["bbox"].replace("(", "[").replace(")", "]"))]
            x, y, width, height = values
            corners = (x, y, x + width, y + height)
        elif "x1" in cells:
            x1, y1, x2, y2 = (float(cells[column]) for column in ("x1", "y1", "x2", "y2"))
            corners = (x1, y1, x2, y2)
        else:
            x, y, width, height = (float(cells[column]) for column in ("x", "y", "w", "h"))
            corners = (x, y, x + width, y + height)
    except (ValueError, KeyError, TypeError):
        return None
    return corners if all(map(math.isfinite, corners)) else None


def _size(cells: Mapping[str, str]) -> tuple[int, int]:
    try:
        return int(float(cells["width"])), int(float(cells["height"]))
    except (KeyError, ValueError, OverflowError):
        return 0, 0


def has_box_columns(head: str) -> bool:
    """Whether the first lines of a table tell that it holds boxes."""
    return _columns(split_rows(head[: 1 << 14])[:5]) is not None


def _columns(rows: Sequence[Sequence[str]]) -> tuple[dict[str, int], bool] | None:
    """Column -> where it is, and whether the first row is a header; None for a table without boxes."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return None
    found: dict[str, int] = {}
    for at, cell in enumerate(rows[0]):
        found.setdefault(_KNOWN.get(cell.strip().strip("#").lower().replace(" ", "_").replace("-", "_"), ""), at)
    found.pop("", None)
    if {"x", "y"} <= found.keys() and not {"w", "h"} <= found.keys() and {"width", "height"} <= found.keys():
        found |= {"w": found.pop("width"), "h": found.pop("height")}
    whole = {"x1", "y1", "x2", "y2"} <= found.keys() or {"x", "y", "w", "h"} <= found.keys() or "bbox" in found
    if "image" in found and whole:
        return found, True
    if all(len(row) == 6 and _are_numbers(row[1:5]) for row in rows):
        return {"image": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "label": 5}, False
    return None


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        return all(not cell.strip() or math.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False


def write_csv(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`annotations.csv`, a row a box; an image without objects has a row without numbers.

    The columns `difficult`, `split` and `score` are there where they say something.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    more = {
        "difficult": labels.difficult > 0,
        "split": any(image.split for image in labels.images),
        "score": labels.model is not None,
    }
    ends = [column for column, said in more.items() if said]
    rows.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", *ends])
    for image in labels.images:
        objects: list[tuple[Box | None, float | None]] = [*image.objects]
        for box, score in objects or [(None, None)]:
            corners = [number_text(value) for value in corners_of(box)] if box else [""] * 4
            end = {
                "difficult": int(box.difficult) if box else "",
                "split": image.split or "",
                "score": "" if score is None else number_text(score),
            }
            label = box.label if box else ""
            rows.writerow([image.path, image.width, image.height, label, *corners, *(end[column] for column in ends)])
    yield "annotations.csv", buffer.getvalue()


WRITER = Writer(lambda image: image.path, write_csv)
