"""VIA, the VGG Image Annotator: regions by image in a JSON, a project of its own, or a CSV.

The format: https://www.robots.ox.ac.uk/~vgg/software/via/. The class stands under an attribute of the user's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mirada.data.annotations import Labelling
from mirada.data.folders.geometry import Corners, enclose, enclose_ellipse
from mirada.data.folders.texts import clean_label, read_json, read_text, split_rows
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box

_LIKELY = ("class", "label", "name", "category", "type", "object")
_PROJECT = "_via_img_metadata"
_CSV_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")

Region = tuple[Any, Any]  # shape and attributes


def is_via(content: Any) -> bool:
    """Whether a JSON is VIA's."""
    images = content.get(_PROJECT, content) if isinstance(content, dict) else None
    return (
        isinstance(images, dict)
        and bool(images)
        and all(isinstance(entry, dict) and "filename" in entry and "regions" in entry for entry in images.values())
    )


def gather_via(gathering: Gathering, rename: Mapping[str, str]) -> None:
    """Add the regions of every image; where no region of a file has an attribute, all are an `object`.

    Args:
        gathering: the raw folder's images.
        rename: label in the file -> label to use.
    """
    for source, path in gathering.files_of(".json", ".csv"):
        images = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
        if images is None:
            gathering.notes.append(f"{source} holds no regions of VIA and was left alone")
            continue
        bare = not any(attributes for regions in images.values() for _, attributes in regions)
        if bare:
            gathering.notes.append(f"{source}: no region has a class, each is taken for an `object`")
        for name, regions in images.items():
            said = _labelling(regions, "object" if bare else "", rename)
            gathering.add(source, name, said, split=gathering.split_of_file(source))


def _read_json(path: Path) -> dict[str, list[Region]] | None:
    """Image -> its regions."""
    content = read_json(path)
    if not is_via(content):
        return None
    images: dict[str, list[Region]] = {}
    for entry in content.get(_PROJECT, content).values():
        regions = entry["regions"]
        found = regions.values() if isinstance(regions, dict) else regions if isinstance(regions, list) else ()
        images.setdefault(str(entry["filename"]), []).extend(
            (region.get("shape_attributes"), region.get("region_attributes")) if isinstance(region, dict) else ({}, {})
            for region in found
        )
    return images


def _read_csv(path: Path) -> dict[str, list[Region]] | None:
    rows = split_rows(read_text(path)[0], ",")
    header = [cell.strip().lstrip("#") for cell in rows[0]] if rows else []
    if not set(_CSV_COLUMNS) <= set(header):
        return None
    at = [header.index(column) for column in _CSV_COLUMNS]
    images: dict[str, list[Region]] = {}
    for row in rows[1:]:
        if len(row) > max(at):
            regions = images.setdefault(row[at[0]], [])
            shape, attributes = _json_or(row[at[1]]), _json_or(row[at[2]])
            regions += [] if shape == {} else [(shape, attributes)]  # the row of an image without regions
    return images


def _json_or(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _labelling(regions: list[Region], label_of_all: str, rename: Mapping[str, str]) -> Labelling:
    boxes: list[Box] = []
    repairs: list[str] = []
    for shape, attributes in regions:
        label = label_of_all or clean_label(next(_labels(attributes), ""))
        corners, code = _corners(shape if isinstance(shape, dict) else {})
        if corners is None or not label:
            repairs.append("name_missing" if corners else code)
            continue
        repairs += [code] if code else []
        add_box(boxes, repairs, Box(*corners, rename.get(label, label)))
    return Labelling("", "", None, tuple(boxes), repairs=tuple(repairs))


def _labels(attributes: Any) -> Iterator[str]:
    """What a region may be called, the likeliest first: a text, or the only box that is ticked."""
    if not isinstance(attributes, dict):
        return
    for key in sorted(attributes, key=lambda key: str(key).casefold() not in _LIKELY):
        value = attributes[key]
        if isinstance(value, dict):
            ticked = [str(option) for option, on in value.items() if on]
            yield from ticked if len(ticked) == 1 else []
        elif isinstance(value, str | int) and str(value).strip():
            yield str(value)


def _corners(shape: Mapping[str, Any]) -> tuple[Corners | None, str]:
    """The box of a shape, and a code where that is worth a remark."""
    kind = shape.get("name")
    if kind in ("point", "polyline"):
        return None, "shape_without_area"
    try:
        if kind == "rect":
            x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
            return enclose([(x, y), (x + width, y + height)]), "" if math.isfinite(x) else "box_unreadable"
        if kind in ("circle", "ellipse"):
            rx, ry = (float(shape.get(key, shape.get("r"))) for key in ("rx", "ry"))
            theta = float(shape.get("theta") or 0)
            around = enclose_ellipse(float(shape["cx"]), float(shape["cy"]), rx, ry, theta)
            return enclose([around[:2], around[2:]]), "polygon_enclosed"
        points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        corners = enclose([(float(x), float(y)) for x, y in points])
    except (TypeError, ValueError, KeyError, OverflowError):
        return None, "box_unreadable"
    return corners, "polygon_enclosed" if corners else "box_unreadable"
