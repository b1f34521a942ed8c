"""Label Studio's exports: JSON, and JSON-MIN.

The format: https://labelstud.io/guide/export. Coordinates are percents of the image's sides. Names of keys are the user's
own, so what matters is found by what it holds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_ellipse, enclose_quad, in_shares
from mirada.data.folders.layout import is_image
from mirada.data.folders.markup import element_text
from mirada.data.folders.masks import enclose_brush, enclose_picture
from mirada.data.folders.texts import clean_label
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, Written
from mirada.data.records import Box

_DIFFICULT = "difficult"
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


def gather_label_studio(gathering: Gathering, rename: Mapping[str, str], rotated: str = "enclose") -> None:
    """Add the regions of every task.

    A file without any region that has a place is one of labels of whole images: its choices are these. Predictions count
    where a task has no annotations to be filled in: they are pre-annotations that nobody has looked at yet.

    Raises:
        MiradaError: a JSON is too big or broken.
    """
    for source, content in gathering.jsons(is_label_studio, "tasks of Label Studio"):
        split = gathering.split_of_file(source)
        tasks = [task for task in content if isinstance(task, dict)]
        whole = not any(_regions(task, _is_shape)[0] for task in tasks)
        predicted = sum(_annotations(task) is task.get("predictions") is not None for task in tasks)
        if predicted:
            gathering.notes.append(f"{source}: {predicted} tasks hold predictions alone, which are taken for labels")
        for number, task in enumerate(content):
            row = f"task {task.get('id', number) if isinstance(task, dict) else number}"
            if isinstance(task, dict):
                said = _labelling(task, rename, _is_choice if whole else _is_shape, rotated)
                row = f"{row}: {next(iter(_images_of(task)), '')}"
                gathering.add(source, _reference(gathering, source, task), said, split=split, row=row)
            else:
                gathering.rejected.append(reject(f"{source}: {row}", "labels_unreadable"))


def _labelling(
    task: Mapping[str, Any], rename: Mapping[str, str], counts: Callable[[Mapping[str, Any]], bool], rotated: str
) -> Labelling:
    """What a task says of its image; path and source are filled in later."""
    boxes: list[Box] = []
    regions, more = _regions(task, counts)
    repairs = ["annotator_dropped"] * more
    size = (0, 0)
    for region in regions:
        size = _size(region) or size
        _add_region(region, rename, boxes, repairs, rotated)
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


def _annotations(task: Mapping[str, Any]) -> Any:
    """What people said of a task, else, where nobody was to say anything yet, what a model did."""
    return next((task[key] for key in ("annotations", "completions", "predictions") if key in task), None)


def _regions(
    task: Mapping[str, Any], counts: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[Mapping[str, Any]], int]:
    """The regions of a task's first annotation that wasn't cancelled, and how many objects the others hold."""
    annotations = _annotations(task)
    if isinstance(annotations, list):
        results: list[list[Mapping[str, Any]]] = [
            _whole([region for region in _list_of(annotation, "result") if isinstance(region, dict) and counts(region)])
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


def _whole(regions: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The regions, each once: what is told of one in several parts, shape, labels and text of one id, is one."""
    whole: list[dict[str, Any]] = []
    by_id: dict[str, dict[str, Any]] = {}
    for region in regions:
        value, name = region["value"], region.get("id")
        known = by_id.get(name) if isinstance(name, str) else None
        if known is not None and _is_shape(region) and _place(known["value"]) == _place(value):
            known["value"] = value | known["value"]
            continue
        whole.append({**region, "value": value})
        if isinstance(name, str):
            by_id[name] = whole[-1]
    return list(whole)


def _is_shape(region: Mapping[str, Any]) -> bool:
    """Regions of text, choices and relations are no objects; a label of its own belongs to the shape before."""
    value = region.get("value")
    return isinstance(value, dict) and ({"x", "y"} <= value.keys() or not value.keys().isdisjoint(_SHAPES))


def _place(value: Mapping[str, Any]) -> list[Any]:
    return [value.get(key) for key in ("x", "y", *_SHAPES)]


def _is_choice(region: Mapping[str, Any]) -> bool:
    value = region.get("value")
    return isinstance(value, dict) and isinstance(value.get("choices"), list) and not _is_shape(region)


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = region.get("original_width"), region.get("original_height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _labels(value: Mapping[str, Any]) -> Iterator[str]:
    for key, content in value.items():
        if key.endswith("labels") and isinstance(content, list):
            yield from (clean_label(str(label)) for label in content)


def _add_region(
    region: Mapping[str, Any], rename: Mapping[str, str], boxes: list[Box], repairs: list[str], rotated: str
) -> None:
    """Take the box of one region, or count why not; a choice is of the whole image."""
    inner = region.get("value")
    value: Mapping[str, Any] = inner if isinstance(inner, dict) else region
    label = next(_labels(value), "")
    if _is_choice(region):
        for choice in (clean_label(str(text)) for text in value["choices"]):
            add_box(boxes, repairs, Box(0.0, 0.0, 1.0, 1.0, rename.get(choice, choice)))
        return
    corners, code = _corners(value, _size(region), rotated)
    if corners is None or not label:
        repairs.append("name_missing" if corners else code)
        return
    repairs += [code] if code else []
    notes = region.get("meta")
    difficult = isinstance(notes, dict) and _DIFFICULT in _list_of(notes, "text")
    add_box(boxes, repairs, Box(*corners, rename.get(label, label), difficult))


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


def write_label_studio(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`tasks.json`, and `view.xml`, the labelling interface that they are for: it goes into the project's settings.

    What a model found are predictions. Images are asked of Label Studio's local storage; its root is the data set's folder.
    """
    tasks = [_task(image, number, labels) for number, image in enumerate(labels.images, start=1)]
    yield "tasks.json", json.dumps(tasks, ensure_ascii=False) + "\n"
    whole = any(image.whole for image in labels.images)
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    kind, entry = ("Choices", "Choice") if whole else ("RectangleLabels", "Label")
    choice = SubElement(view, kind, name="label", toName="image")
    for label in labels.classes:
        SubElement(choice, entry, value=label)
    yield "view.xml", element_text(view)


def _task(image: Written, number: int, labels: LabelSet) -> dict[str, Any]:
    result = [_region(image, at, box, score) for at, (box, score) in enumerate(image.objects)]
    task = {"id": number, "data": {"image": f"/data/local-files/?d={quote(image.path)}"}}
    if labels.model is None:
        return task | {"annotations": [{"result": result}]}
    score = sum(image.scores) / len(image.scores) if image.scores else 0.0
    return task | {"predictions": [{"model_version": labels.model, "score": score, "result": result}]}


def _region(image: Written, at: int, box: Box, score: float | None) -> dict[str, Any]:
    """One object as Label Studio stores it, a box in percents; the flag is in the region's notes."""
    region: dict[str, Any] = {"id": f"object-{at}", "from_name": "label", "to_name": "image", "image_rotation": 0}
    region |= {"original_width": image.width, "original_height": image.height}
    if image.whole:
        region |= {"type": "choices", "value": {"choices": [box.label]}}
    else:
        wide, high = 100 / image.width, 100 / image.height
        place = {"x": box.x1 * wide, "y": box.y1 * high}
        place |= {"width": (box.x2 - box.x1) * wide, "height": (box.y2 - box.y1) * high}
        value = {key: round(share, 8) for key, share in place.items()} | {"rotation": 0, "rectanglelabels": [box.label]}
        region |= {"type": "rectanglelabels", "value": value}
    flags = {"meta": {"text": [_DIFFICULT]}} if box.difficult else {}
    return region | flags | ({} if score is None else {"score": score})


WRITER = Writer(lambda image: image.path, write_label_studio, relative=True)
