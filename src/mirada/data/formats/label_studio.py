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
from mirada.data.folders.geometry import Corners, enclose
from mirada.data.folders.layout import is_image
from mirada.data.folders.texts import clean_label, read_json
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import Writer, Written, in_split, write_file
from mirada.data.records import Box

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the name of an uploaded file


def is_label_studio(content: Any) -> bool:
    """Whether a JSON is a list of tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) for task in content[:20])
        and any(_image_of(task) for task in content[:20])
    )


def list_label_studio(
    raw_dir: Path, rename: Mapping[str, str], names: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> tuple[list[Labelling], list[Rejected]]:
    """Gather the regions of every task.

    Args:
        raw_dir: the raw folder.
        rename: label in the file -> label to use.
        names: of `data.split.names`.
        notes: receives what was taken for what.

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
        for number, task in enumerate(content):
            row = f"task {task.get('id', number) if isinstance(task, dict) else number}"
            if isinstance(task, dict):
                _add_task(gathering, source, task, row, split, rename)
            else:
                gathering.rejected.append(reject(f"{source}: {row}", "labels_unreadable"))
    return gathering.finish()


def _add_task(
    gathering: Gathering, source: str, task: Mapping[str, Any], row: str, split: str | None, rename: Mapping[str, str]
) -> None:
    boxes: list[Box] = []
    repairs: list[str] = []
    regions, more = _regions(task)
    repairs += ["annotator_dropped"] * more
    size = (0, 0)
    for region in regions:
        size = _size(region) or size
        _add_region(region, rename, boxes, repairs)
    said = Labelling("", "", None, tuple(boxes), size, relative=True, repairs=tuple(repairs))
    gathering.add(
        source, _reference(gathering, source, _image_of(task)), said, split=split, row=f"{row}: {_image_of(task)}"
    )


def _image_of(task: Mapping[str, Any]) -> str:
    """The path or URL of a task's image, under whatever key."""
    inner = task.get("data")
    data: Mapping[str, Any] = inner if isinstance(inner, dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    named = [text for text in texts if is_image(_path_of(text))]
    likely = [str(data[key]) for key in ("image", "img", "url", "file_upload") if isinstance(data.get(key), str)]
    return next(iter(named or likely), "")


def _path_of(text: str) -> str:
    """The path in a task's text: that of a URL, or of the file that `?d=` asks a local store for."""
    if re.match(r"[a-zA-Z]:[\\/]", text):
        return text
    parts = urlsplit(text)
    asked = parse_qs(parts.query).get("d")
    return asked[0] if asked else unquote(parts.path)


def _reference(gathering: Gathering, source: str, text: str) -> str:
    """What to look for: the name as it is, else without the mark of an upload."""
    path = _path_of(text)
    if gathering.index.find(path, tuple(source.split("/")[:-1])):
        return path
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{_UPLOAD.sub('', name)}"


def _regions(task: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    """The regions of a task's first annotation that wasn't cancelled, and how many objects the others hold."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        results: list[list[Mapping[str, Any]]] = [
            [region for region in _list_of(annotation, "result") if isinstance(region, dict) and _is_shape(region)]
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


def _is_shape(region: Mapping[str, Any]) -> bool:
    """Regions of text, choices and relations are no objects; a label of its own belongs to the shape before."""
    value = region.get("value")
    return isinstance(value, dict) and ({"x", "y"} <= value.keys() or "points" in value or "rle" in value)


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = region.get("original_width"), region.get("original_height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _labels(value: Mapping[str, Any]) -> Iterator[str]:
    for key, content in value.items():
        if key.endswith("labels") and isinstance(content, list):
            yield from (clean_label(str(label)) for label in content)


def _add_region(region: Mapping[str, Any], rename: Mapping[str, str], boxes: list[Box], repairs: list[str]) -> None:
    """Take the box of one region, or count why not."""
    inner = region.get("value")
    value: Mapping[str, Any] = inner if isinstance(inner, dict) else region
    label = next(_labels(value), "")
    if "rle" in value:
        repairs.append("mask_unreadable")
        return
    size = _size(region) or (100, 100)
    corners, code = _corners(value, size)
    if corners is None:
        repairs.append(code)
    elif not label:
        repairs.append("name_missing")
    else:
        repairs += [code] if code else []
        add_box(boxes, repairs, Box(*corners, rename.get(label, label)))


def _corners(value: Mapping[str, Any], size: tuple[int, int]) -> tuple[Corners | None, str]:
    """The corners as shares of the sides, and a code where that is worth a remark."""
    try:
        if isinstance(value.get("points"), list):
            points = [(float(x) / 100, float(y) / 100) for x, y in value["points"]]
            corners = enclose(points)
            return corners, "polygon_enclosed" if corners else "box_unreadable"
        x, y = float(value["x"]) / 100, float(value["y"]) / 100
        if "radiusX" in value:
            rx, ry = float(value["radiusX"]) / 100, float(value["radiusY"]) / 100
            return (x - rx, y - ry, x + rx, y + ry), "polygon_enclosed"
        if "width" not in value or "height" not in value or "keypointlabels" in value:
            return None, "shape_without_area"
        width, height = float(value["width"]) / 100, float(value["height"]) / 100
        angle = math.radians(float(value.get("rotation") or 0))
    except (TypeError, ValueError, KeyError):
        return None, "box_unreadable"
    if not all(map(math.isfinite, (x, y, width, height, angle))):
        return None, "box_unreadable"
    if not angle:
        return (x, y, x + width, y + height), ""
    # Turned about its upper left corner, in pixels: shares of two different sides don't turn.
    wide, high = width * size[0], height * size[1]
    cos, sin = math.cos(angle), math.sin(angle)
    offsets = [
        (0.0, 0.0),
        (wide * cos, wide * sin),
        (-high * sin, high * cos),
        (wide * cos - high * sin, wide * sin + high * cos),
    ]
    return enclose([(x + dx / size[0], y + dy / size[1]) for dx, dy in offsets]), "rotated_box_enclosed"


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
