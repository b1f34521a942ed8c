"""Labels of whole images: from the folder that an image lies in, or from a table with one image a row.

As with VOC, what can be repaired is repaired and counted, the rest is left out with a reason.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mirada.config import TableConfig
from mirada.data.annotations import ADVICE as VOC_ADVICE
from mirada.data.annotations import IMAGE_SUFFIXES, SPLIT_FOLDERS, RawImage, Rejected, read_header, visible_files
from mirada.data.records import Box
from mirada.errors import MiradaError

ADVICE = VOC_ADVICE | {
    "no_class_folder": "it lies in no folder of a class: move it into <class>/ or train/<class>/, or remove it",
    "row_too_short": "the row lacks the column of the image or of the label: complete it, or correct data.table",
    "label_missing": "the row's label is empty: fill it in or remove the row",
    "label_no_number": "data.table.threshold needs a number here: correct the row, or unset the threshold",
    "rows_disagree": "the table gives this image several labels: leave one row",
    "row_without_image": "no such image: add it, strike the row, or correct data.table.image_column",
    "image_without_row": "the table has no row for it: add one or remove the image",
}


@dataclass(frozen=True)
class LabelledImage:
    """An image and the label of all of it; `source` is its path below the raw folder."""

    path: Path
    source: str
    split: str | None
    label: str
    repairs: tuple[str, ...] = ()


def _reject(file: str, reason: str) -> Rejected:
    return Rejected(file, reason, ADVICE[reason])


def list_class_folders(raw_dir: Path, rename: Mapping[str, str]) -> tuple[list[LabelledImage], list[Rejected]]:
    """Label each image by the folder of its class.

    Where any folder is named train, val (valid, validation) or test, the class is the next one below. Else it is the
    first folder below those that all images share. Deeper folders, and folders around it all, don't matter. No image
    is opened.

    Args:
        raw_dir: the raw folder.
        rename: name of a folder -> label to use; others are labels as they are.

    Returns:
        The images, sorted by source, and those that lie in no class's folder.
    """
    found = [(parts, path) for parts, path in visible_files(raw_dir) if path.suffix.lower() in IMAGE_SUFFIXES]
    marked = any(_marks(parts) for parts, _ in found)
    shared = _shared([parts for parts, _ in found])
    labelled, rejected = [], []
    for parts, path in found:
        source = "/".join((*parts, path.name))
        marks = _marks(parts)
        below = marks[-1] + 1 if marks else shared
        if marked and not marks or below >= len(parts):
            rejected.append(_reject(source, "no_class_folder"))
            continue
        split = SPLIT_FOLDERS[parts[marks[-1]].lower()] if marks else None
        label = parts[below]
        labelled.append(LabelledImage(path, source, split, rename.get(label, label)))
    return sorted(labelled, key=lambda image: image.source), sorted(rejected, key=lambda item: item.file)


def _marks(parts: Sequence[str]) -> list[int]:
    """Where folders named after a split are."""
    return [at for at, part in enumerate(parts) if part.lower() in SPLIT_FOLDERS]


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all images share."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def list_table(
    raw_dir: Path, table: TableConfig, classes: Sequence[str], rename: Mapping[str, str]
) -> tuple[list[LabelledImage], list[Rejected]]:
    """Label each image by its row of a text table.

    An image's path is taken below the table's folder; a missing extension is found. Splits come from folders named train,
    val or test where there are any.

    Args:
        raw_dir: the raw folder.
        table: where the table is and what its columns hold.
        classes: with `table.threshold`, the class of the numbers below it and the class of the others.
        rename: label in the table -> label to use.

    Returns:
        The images, sorted by source, and the rows and images that can't be used, sorted by file.

    Raises:
        MiradaError: there is no such table.
    """
    path = raw_dir / str(table.file)
    if not path.is_file():
        raise MiradaError(f"{path} is missing: correct data.table.file, its path below the raw folder.")
    files = {
        "/".join((*parts, file.name)): file
        for parts, file in visible_files(raw_dir)
        if file.suffix.lower() in IMAGE_SUFFIXES
    }
    stems = {str(PurePosixPath(source).with_suffix("")): source for source in sorted(files, reverse=True)}
    folder = path.parent.relative_to(raw_dir)
    labels: dict[str, list[str]] = {}
    rejected = []
    for number, cells in _rows(path, table):
        row = f"{path.relative_to(raw_dir).as_posix()}: row {number}"
        label = _label(cells, table, classes)
        if isinstance(label, Rejected):
            rejected.append(Rejected(row, label.reason, label.advice))
            continue
        name = (folder / cells[table.image_column].strip().replace("\\", "/")).as_posix()
        source = name if name in files else stems.get(name)
        if source is None:
            rejected.append(_reject(f"{row}: {cells[table.image_column].strip()}", "row_without_image"))
            continue
        labels.setdefault(source, []).append(rename.get(label, label))
    labelled = []
    for source, file in files.items():
        given = labels.get(source, [])
        if len(set(given)) != 1:
            rejected.append(_reject(source, "rows_disagree" if given else "image_without_row"))
            continue
        parts = PurePosixPath(source).parts[:-1]
        marks = _marks(parts)
        split = SPLIT_FOLDERS[parts[marks[-1]].lower()] if marks else None
        repairs = ("row_repeated",) * (len(given) - 1)
        labelled.append(LabelledImage(file, source, split, given[0], repairs))
    return sorted(labelled, key=lambda image: image.source), sorted(rejected, key=lambda item: (item.file, item.reason))


def _rows(path: Path, table: TableConfig) -> Iterator[tuple[int, list[str]]]:
    """The number, from 1, and the cells of each row that isn't empty, without the header."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=table.delimiter) if table.delimiter else (line.split() for line in file)
        for number, cells in enumerate(rows, start=1):
            if any(cell.strip() for cell in cells) and not (table.header and number == 1):
                yield number, cells


def _label(cells: Sequence[str], table: TableConfig, classes: Sequence[str]) -> str | Rejected:
    """The label that a row gives, or why it gives none."""
    if len(cells) <= max(table.image_column, table.label_column):
        return _reject("", "row_too_short")
    label = cells[table.label_column].strip()
    if not label:
        return _reject("", "label_missing")
    if table.threshold is None:
        return label
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return classes[number >= table.threshold] if math.isfinite(number) else _reject("", "label_no_number")


def read_labelled(item: LabelledImage) -> RawImage | Rejected:
    """Read the image's header; its one box spans all of it. Its EXIF orientation is applied: there is none to contradict.

    Args:
        item: from `list_class_folders` or `list_table`.
    """
    header = read_header(item.path)
    if isinstance(header, str):
        return _reject(item.source, header)
    (width, height), orientation, repairs = header
    if orientation > 1:
        repairs.append("exif_applied")
    if orientation >= 5:
        width, height = height, width
    box = Box(0.0, 0.0, float(width), float(height), item.label)
    repairs += item.repairs
    return RawImage(item.path, item.source, item.split, width, height, orientation > 1, (box,), tuple(repairs))
