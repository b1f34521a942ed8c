"""COCO instances: one JSON, or several, for many images.

The format: https://cocodataset.org/#format-data. Images are found by the tail of their `file_name`, wherever the tool that
wrote it ran; a file outside the raw folder is never opened.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.geometry import Corners, decode_runs, enclose, enclose_runs
from mirada.data.folders.texts import clean_label, read_hidden
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, exact
from mirada.data.records import Box


@dataclass
class _File:
    """One JSON: where it lies, what it holds, the split that its name or folder says."""

    source: str
    content: dict[str, Any]
    split: str | None
    objects: int


def is_coco(content: Any) -> bool:
    """Whether a JSON holds objects as COCO stores them."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return False
    annotations = content.get("annotations")
    return isinstance(annotations, list) and (
        not annotations or any(isinstance(a, dict) and ("bbox" in a or "segmentation" in a) for a in annotations[:50])
    )


def gather_coco(gathering: Gathering, rename: Mapping[str, str]) -> None:
    """Add the objects of every image from all instances files.

    The split is what the file's name or folder says (`instances_val2017.json`, `valid/_annotations.coco.json`), else
    what the image's folder says. Of two files that label the same images the one for a split is taken, else the one
    with more objects; the other's objects are told in `rejected`.

    Raises:
        MiradaError: a JSON is too big or broken.
    """
    for file in _files(gathering):
        _gather(file, rename, gathering)


def _files(gathering: Gathering) -> list[_File]:
    """The instances files, those for a split first, then those with more objects."""
    files = []
    for source, content in gathering.jsons(is_coco, "boxes of COCO"):
        split = gathering.split_of_file(source)
        files.append(_File(source, content, split, len(content["annotations"])))
        said = f", the {split} images" if split else ""
        gathering.notes.append(f"{source}: COCO, {len(content['images'])} images, {files[-1].objects} objects{said}")
    return sorted(files, key=lambda file: (file.split is None, -file.objects, file.source))


def _gather(file: _File, rename: Mapping[str, str], gathering: Gathering) -> None:
    """Add the objects of one file to what was found."""
    labels = _categories(file.content.get("categories"), rename)
    objects: dict[str, list[dict[str, Any]]] = {}
    lost = 0
    for annotation in file.content["annotations"]:
        if isinstance(annotation, dict) and "image_id" in annotation:
            objects.setdefault(str(annotation["image_id"]), []).append(annotation)
        else:
            lost += 1
    if lost:
        where = f"{file.source}: objects without an image_id"
        gathering.rejected.append(reject(where, "labels_unreadable", lost))
    every = [annotation for of_image in objects.values() for annotation in of_image]
    all_crowd = bool(every) and all(a.get("iscrowd") and not a.get("ignore") for a in every)
    if all_crowd:
        gathering.notes.append(f"{file.source} marks every object as a crowd: they are taken for objects")
    entries = [entry for entry in file.content["images"] if isinstance(entry, dict)]
    ids = Counter(str(entry.get("id")) for entry in entries)
    for entry in entries:
        key, name = str(entry.get("id")), _file_name(entry)
        mine = objects.pop(key, [])
        if ids[key] > 1:
            row = f"{file.source}: {name or f'image {key}'}"
            gathering.rejected.append(reject(row, "image_id_twice", len(mine)))
            continue
        said = _labelling(entry, mine, labels, all_crowd)
        gathering.add(file.source, name, said, split=file.split, row="" if name else f"image {key}")
    for key, left in objects.items():
        gathering.rejected.append(reject(f"{file.source}: image {key}", "labels_without_image", len(left)))


def _categories(categories: Any, rename: Mapping[str, str]) -> dict[str, str]:
    """Category id -> label."""
    labels = {}
    for category in categories if isinstance(categories, list) else ():
        if isinstance(category, dict) and category.get("name") is not None:
            label = clean_label(str(category["name"]))
            labels[str(category.get("id"))] = sys.intern(rename.get(label, label))
    return labels


def _file_name(entry: Mapping[str, Any]) -> str:
    """What an entry calls its image."""
    for key in ("file_name", "filename", "path", "coco_url", "flickr_url"):
        if isinstance(entry.get(key), str) and entry[key].strip():
            return str(entry[key])
    return ""


def _labelling(
    entry: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], labels: Mapping[str, str], all_crowd: bool
) -> Labelling:
    """What a file says of one image; path and source are filled in later."""
    boxes: list[Box] = []
    repairs: list[str] = []
    for annotation in annotations:
        label = labels.get(str(annotation.get("category_id")))
        if not label:
            repairs.append("class_unknown")
            continue
        corners, code = _corners(annotation)
        repairs += [code] if code else []
        if corners is None:
            continue
        crowd = bool(annotation.get("iscrowd") or annotation.get("ignore"))
        if crowd and all_crowd:
            repairs.append("crowd_flag_ignored")
        more = annotation.get("attributes")  # CVAT and Datumaro keep there what COCO has no place for
        hidden = read_hidden({**annotation, **more} if isinstance(more, dict) else annotation)
        add_box(boxes, repairs, Box(*corners, label, crowd and not all_crowd, *hidden))
    return Labelling("", "", None, tuple(boxes), _size(entry), repairs=tuple(repairs))


def _size(entry: Mapping[str, Any]) -> tuple[int, int]:
    try:
        return int(entry.get("width") or 0), int(entry.get("height") or 0)
    except (TypeError, ValueError, OverflowError):
        return 0, 0


def _corners(annotation: Mapping[str, Any]) -> tuple[Corners | None, str]:
    """The box of an object, from its bbox or around its mask; and a code where that is worth a remark."""
    bbox = annotation.get("bbox")
    try:
        if isinstance(bbox, str):
            bbox = json.loads(bbox)
        x, y, width, height = (float(value) for value in bbox or ())
    except (TypeError, ValueError):
        x = y = width = height = math.nan
    if all(map(math.isfinite, (x, y, width, height))) and width and height:
        return (x, y, x + width, y + height), ""
    mask = annotation.get("segmentation")
    if isinstance(mask, dict):
        corners = _around_runs(mask)
        return corners, "mask_enclosed" if corners else "mask_unreadable"
    if isinstance(mask, list) and mask:
        corners = _around_polygons(mask)
        return corners, "polygon_enclosed" if corners else "mask_unreadable"
    return None, "box_empty" if math.isfinite(x) else "box_unreadable"


def _around_polygons(polygons: list[Any]) -> Corners | None:
    try:
        values = [[float(value) for value in polygon] for polygon in polygons if isinstance(polygon, list)]
    except (TypeError, ValueError):
        return None
    return enclose([point for polygon in values for point in zip(polygon[::2], polygon[1::2], strict=False)])


def _around_runs(mask: Mapping[str, Any]) -> Corners | None:
    try:
        height, width = (int(value) for value in mask["size"])
        counts = mask["counts"]
        runs = decode_runs(counts) if isinstance(counts, str) else [int(value) for value in counts]
        return enclose_runs(runs, height, width)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def write_coco(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`_annotations.coco.json`, in the folder of each split."""
    for split in sorted({image.split or "" for image in labels.images}):
        images = [image for image in labels.images if (image.split or "") == split]
        name = "_annotations.coco.json"
        yield f"{split}/{name}" if split else name, coco_json(replace(labels, images=images))


def coco_json(labels: LabelSet) -> str:
    """COCO instances of images that lie in one folder.

    Categories count from 1. What a model found has a score besides, as COCO's results have; a difficult object is a crowd,
    and to be ignored.
    """
    numbers = {label: number for number, label in enumerate(labels.classes, start=1)}
    entries: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number, image in enumerate(labels.images, start=1):
        about = {"id": number, "file_name": image.name, "width": image.width, "height": image.height}
        entries.append({**about, **image.about})
        for box, score in image.objects:
            width, height = exact(box.x2 - box.x1), exact(box.y2 - box.y1)
            entry: dict[str, Any] = {"id": len(objects) + 1, "image_id": entries[-1]["id"]}
            entry |= {"category_id": numbers[box.label], "bbox": [exact(box.x1), exact(box.y1), width, height]}
            entry |= {"area": exact(width * height), "iscrowd": int(box.difficult), "segmentation": []}
            objects.append(
                entry | ({"ignore": 1} if box.difficult else {}) | ({} if score is None else {"score": score})
            )
    content = {
        "info": {"description": labels.about, "version": "1.0"},
        "licenses": [],
        "categories": [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()],
        "images": entries,
        "annotations": objects,
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


WRITER = Writer(lambda image: image.path, write_coco)
