"""CreateML: a JSON list of images, each with labels and the middle and sides of their boxes in pixels.

The format: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.geometry import Corners
from mirada.data.folders.texts import clean_label, read_json
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box

_IMAGE_KEYS = ("image", "imagefilename", "filename")


def is_createml(content: Any) -> bool:
    """Whether a JSON is a list of images with annotations that have coordinates."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(entry, dict) and _image_of(entry) and "annotations" in entry for entry in content[:20])
        and any("coordinates" in object_ for entry in content[:50] for object_ in _objects_of(entry))
    )


def gather_createml(gathering: Gathering, rename: Mapping[str, str]) -> None:
    """Add the objects of every image.

    Args:
        gathering: the raw folder's images.
        rename: label in the file -> label to use.
    """
    for source, path in gathering.files_of(".json"):
        content = read_json(path)
        if not is_createml(content):
            gathering.notes.append(f"{source} holds no boxes of CreateML and was left alone")
            continue
        split = gathering.split_of_file(source)
        for number, entry in enumerate(content):
            if not isinstance(entry, dict):
                gathering.rejected.append(reject(f"{source}: entry {number}", "labels_unreadable"))
                continue
            boxes: list[Box] = []
            repairs: list[str] = []
            for object_ in _objects_of(entry):
                label, corners = clean_label(str(object_.get("label") or "")), _corners(object_.get("coordinates"))
                if corners is None or not label:
                    repairs.append("name_missing" if corners else "box_unreadable")
                else:
                    add_box(boxes, repairs, Box(*corners, rename.get(label, label)))
            said = Labelling("", "", None, tuple(boxes), repairs=tuple(repairs))
            gathering.add(source, _image_of(entry), said, split=split, row=_image_of(entry) or f"entry {number}")


def _image_of(entry: Mapping[str, Any]) -> str:
    return next((entry[key] for key in _IMAGE_KEYS if isinstance(entry.get(key), str)), "")


def _objects_of(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = entry.get("annotations")
    return [object_ if isinstance(object_, dict) else {} for object_ in found] if isinstance(found, list) else []


def _corners(coordinates: Any) -> Corners | None:
    try:
        x, y, width, height = (float(coordinates[key]) for key in ("x", "y", "width", "height"))
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return corners if all(map(math.isfinite, corners)) else None
