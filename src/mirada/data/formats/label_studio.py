"""Label Studio's exports: JSON, and JSON-MIN.

The format: https://labelstud.io/guide/export. Coordinates are percents of the image's sides. Names of keys are the user's
own, so what matters is found by what it holds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mirada.data.annotations import Labelling, Rejected, reject
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_ellipse, enclose_quad, in_shares
from mirada.data.folders.layout import is_image
from mirada.data.folders.masks import enclose_brush, enclose_picture
from mirada.data.folders.texts import clean_label, read_json
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import Writer, Written, in_split, write_file
from mirada.data.records import Box

_SHAPES = ("points", "vertices", "rle", "imageDataURL", "sequence")
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the name of an uploaded file


def is_label_studio(content: Any) -> bool:
    """Whether a JSON is a list of tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) for task in content[:20])
        and any(_images_of(task) for task in content[:20])
    )


def list_label_studio(
    raw_dir: Path,
    rename: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
    rotated: str = "enclose",
) -> tuple[list[Labelling], list[Rejected]]:
    """Gather the regions of every task.

    Args:
        raw_dir: the raw folder.
        rename: label in the file -> label to use.
        names: of `data.split.names`.
        notes: receives what was taken for what.
        rotated: of `data.rotated`.

    Returns:
        What is said of each image, sorted by source, and what can't be used, sorted by file.
    """
    gathering = Gathering(raw_dir, names, notes)
    for source, path in gathering.files_of(".json"):
        content = read_json(path)
        if not is_label_studio(content):
            gathering.notes.append(f"{source} holds no tasks of Label Studio and was left alone")
            continue
        split = gathering.split_of_file(source)
        guessed = sum(bool(_list_of(task, "predictions")) for task in content if isinstance(task, dict))
        if guessed:
            gathering.notes.append(
                f"{source}: predictions of {guessed} tasks are no labels: accept them in Label Studio first"
            )
        for number, task in enumerate(content):
            row = f"task {task.get('id', number) if isinstance(task, dict) else number}"
            if isinstance(task, dict):
                said = _read_task(task, rename, rotated)
                row = f"{row}: {next(iter(_images_of(task)), '')}"
                gathering.add(source, _reference(gathering, source, task), said, split=split, row=row)
            else:
                gathering.rejected.append(reject(f"{source}: {row}", "labels_unreadable"))
    return gathering.finish()


def _read_task(task: Mapping[str, Any], rename: Mapping[str, str], rotated: str) -> Labelling:
    """What a task says of its image."""
    boxes: list[Box] = []
    repairs: list[str] = []
    regions, more = _regions(task)
    repairs += ["annotator_dropped"] * more
    size = (0, 0)
    for region in regions:
        size = _size(region) or size
        label, corners, code = _read_region(region, rotated)
        if corners is None or not label:
            repairs.append("name_missing" if corners else code)
            continue
        repairs += [code] if code else []
        add_box(boxes, repairs, Box(*corners, rename.get(label, label)))
    return Labelling("", "", None, tuple(boxes), size, relative=True, repairs=tuple(repairs))


def _images_of(task: Mapping[str, Any]) -> list[str]:
    """The paths or URLs that may be a task's image, under whatever keys, the likeliest first."""
    inner = task.get("data")
    data: Mapping[str, Any] = inner if isinstance(inner, dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    named = [text for text in texts if is_image(_path_of(text))]
    likely = [data.get(key) for key in ("image", "img", "url")] + [task.get("file_upload")]
    return named + [text for text in likely if isinstance(text, str) and text and text not in named]


def _path_of(text: str) -> str:
    """The path in a task's text: that of a URL, or of the file that `?d=` asks a local store for."""
    if re.match(r"[a-zA-Z]:[\\/]", text):
        return text
    parts = urlsplit(text)
    asked = parse_qs(parts.query).get("d")
    return asked[0] if asked else unquote(parts.path)


def _reference(gathering: Gathering, source: str, task: Mapping[str, Any]) -> str:
    """What to look for: the first name that meets an image as it is, or without the mark of an upload."""
    paths = [_path_of(text) for text in _images_of(task)]
    bare = ["".join((*path.rpartition("/")[:2], _UPLOAD.sub("", path.rpartition("/")[2]))) for path in paths]
    names = [name for pair in zip(paths, bare, strict=True) for name in pair]
    near = tuple(source.split("/")[:-1])
    return next((name for name in names if gathering.index.find(name, near)), next(iter(bare), ""))


def _regions(task: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    """The regions of a task's first annotation that wasn't cancelled, and how many objects the others hold."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        results = [
            _shapes(_list_of(annotation, "result"))
            for annotation in annotations
            if isinstance(annotation, dict) and not annotation.get("was_cancelled")
        ]
        return (results[0], sum(map(len, results[1:]))) if results else ([], 0)
    lists = [value for value in task.values() if isinstance(value, list) and value]
    regions: list[Mapping[str, Any]] = [region for value in lists for region in value if isinstance(region, dict)]
    found = [region for region in regions if "original_width" in region]
    return found or [region for region in regions if {"x", "y"} <= region.keys()], 0


def _list_of(content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key)
    return value if isinstance(value, list) else []


def _shapes(result: list[Any]) -> list[Mapping[str, Any]]:
    """The regions that are shapes; what is told of one in several parts, shape, labels and text of one id, is one."""
    shapes: list[dict[str, Any]] = []
    by_id: dict[str, dict[str, Any]] = {}
    for region in result:
        value = region.get("value") if isinstance(region, dict) else None
        if not isinstance(value, dict) or not _is_shape(value):
            continue  # text, choices and relations are no objects
        known = by_id.get(region["id"]) if isinstance(region.get("id"), str) else None
        if known is not None and _place(known["value"]) == _place(value):
            known["value"] = value | known["value"]
            continue
        shapes.append({**region, "value": value})
        if isinstance(region.get("id"), str):
            by_id[region["id"]] = shapes[-1]
    return list(shapes)


def _is_shape(value: Mapping[str, Any]) -> bool:
    return {"x", "y"} <= value.keys() or not value.keys().isdisjoint(_SHAPES)


def _place(value: Mapping[str, Any]) -> list[Any]:
    return [value.get(key) for key in ("x", "y", *_SHAPES)]


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = region.get("original_width"), region.get("original_height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _labels(value: Mapping[str, Any]) -> Iterator[str]:
    for key, content in value.items():
        if key.endswith("labels") and isinstance(content, list):
            yield from (clean_label(str(label)) for label in content)


def _read_region(region: Mapping[str, Any], rotated: str) -> tuple[str, Corners | None, str]:
    """Label and corners, as shares of the sides, of a region; and a code where that is worth a remark."""
    inner = region.get("value")
    value: Mapping[str, Any] = inner if isinstance(inner, dict) else region
    corners, code = _corners(value, _size(region), rotated)
    return next(_labels(value), ""), corners, code


def _corners(value: Mapping[str, Any], known: tuple[int, int] | None, rotated: str) -> tuple[Corners | None, str]:
    if "rle" in value or "imageDataURL" in value:
        return _around_mask(value, known)
    width, height = size = known or (100, 100)
    try:
        if isinstance(value.get("points"), list):
            corners = enclose([(float(x) / 100, float(y) / 100) for x, y in value["points"]])
            return corners, "polygon_enclosed" if corners else "box_unreadable"
        x, y = float(value["x"]) / 100, float(value["y"]) / 100
        angle = math.radians(float(value.get("rotation") or 0))
        if "radiusX" in value:
            rx, ry = float(value["radiusX"]) / 100, float(value["radiusY"]) / 100
            corners = enclose_ellipse(x * width, y * height, rx * width, ry * height, angle)
            return in_shares(corners, size), "polygon_enclosed"
        if "width" not in value or "height" not in value or "keypointlabels" in value:
            return None, "shape_without_area"
        sides = float(value["width"]) / 100, float(value["height"]) / 100
    except (TypeError, ValueError, KeyError, OverflowError):
        return None, "shape_without_area" if "vertices" in value else "box_unreadable"
    if not all(map(math.isfinite, (x, y, *sides, angle))):
        return None, "box_unreadable"
    if not angle:
        return (x, y, x + sides[0], y + sides[1]), ""
    # Turned about its upper left corner, in pixels: shares of two different sides don't turn.
    left, top, wide, high = x * width, y * height, sides[0] * width, sides[1] * height
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = (wide * cos, wide * sin), (-high * sin, high * cos)
    offsets = [(0.0, 0.0), across, (across[0] + down[0], across[1] + down[1]), down]
    return in_shares(enclose_quad([(left + dx, top + dy) for dx, dy in offsets], rotated), size), ROTATED[rotated]


def _around_mask(value: Mapping[str, Any], size: tuple[int, int] | None) -> tuple[Corners | None, str]:
    """The box around what a brush painted, or around a picture of the mask, both as large as the image."""
    corners = None
    if size and min(size) > 0:
        if isinstance(value.get("rle"), list):
            corners = enclose_brush(value["rle"], *size)
        elif isinstance(value.get("imageDataURL"), str):
            corners = enclose_picture(value["imageDataURL"])
    return (in_shares(corners, size), "mask_enclosed") if corners and size else (None, "mask_unreadable")


def write_label_studio(images: Sequence[Written], classes: Sequence[str], folder: Path) -> None:
    """Write `tasks.json` into the folder of each split: annotations, or predictions where there are scores."""
    for split in sorted({image.split or "" for image in images}):
        tasks = []
        for number, image in enumerate((i for i in images if (i.split or "") == split), start=1):
            result = [_region(image, at, box) for at, box in enumerate(image.boxes)]
            kind = "predictions" if image.scores else "annotations"
            tasks.append({"id": number, "data": {"image": image.name}, kind: [{"result": result}]})
        write_file(folder / split / "tasks.json", json.dumps(tasks, ensure_ascii=False) + "\n")


def _region(image: Written, at: int, box: Box) -> dict[str, Any]:
    """One box as Label Studio stores it, in percents."""
    corners = {
        "x": round(box.x1 / image.width * 100, 8),
        "y": round(box.y1 / image.height * 100, 8),
        "width": round((box.x2 - box.x1) / image.width * 100, 8),
        "height": round((box.y2 - box.y1) / image.height * 100, 8),
    }
    return {
        "id": str(at),
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": corners | {"rotation": 0, "rectanglelabels": [box.label]},
    } | ({"score": image.scores[at]} if image.scores else {})


WRITER = Writer(in_split, write_label_studio)
