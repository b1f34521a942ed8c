"""labelme: a JSON of shapes for each image.

The format: https://github.com/wkentaro/labelme. Shapes with an area become the box around them; points and lines are lost
and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirada.data.annotations import Labelling, Rejected, reject
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_quad
from mirada.data.folders.masks import enclose_picture
from mirada.data.folders.texts import clean_label, read_json
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box
from mirada.errors import MiradaError


def is_labelme(content: Any) -> bool:
    """Whether a JSON is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def list_labelme(
    raw_dir: Path,
    rename: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
    rotated: str = "enclose",
) -> tuple[list[Labelling], list[Rejected]]:
    """Gather the shapes of every image.

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
        try:
            content = read_json(path)
        except MiradaError as error:
            gathering.rejected.append(reject(source, "labels_unreadable", detail=str(error).partition(": export")[0]))
            continue
        if not is_labelme(content):
            gathering.notes.append(f"{source} holds no shapes of labelme and was left alone")
            continue
        boxes: list[Box] = []
        repairs: list[str] = []
        for shape in content["shapes"]:
            _add(shape if isinstance(shape, dict) else {}, rename, boxes, repairs, rotated)
        stem = source.rpartition("/")[2].removesuffix(path.suffix)
        near = tuple(source.split("/")[:-1])
        # Its own name first: a photograph that was renamed took its labels along, and `imagePath` stayed behind.
        own = gathering.index.find(stem, near)
        reference = stem if len(own) == 1 else str(content["imagePath"])
        gathering.add(source, reference, Labelling("", "", None, tuple(boxes), _size(content), repairs=tuple(repairs)))
    return gathering.finish()


def _size(content: Mapping[str, Any]) -> tuple[int, int]:
    try:
        return int(content.get("imageWidth") or 0), int(content.get("imageHeight") or 0)
    except (TypeError, ValueError, OverflowError):
        return 0, 0


def _add(
    shape: Mapping[str, Any], rename: Mapping[str, str], boxes: list[Box], repairs: list[str], rotated: str
) -> None:
    """Take the box of one shape, or count why not."""
    label = clean_label(str(shape.get("label") or ""))
    kind = str(shape.get("shape_type") or "polygon")
    if kind in ("point", "points", "line", "linestrip"):
        repairs.append("shape_without_area")
        return
    corners, code = _corners(kind, shape, rotated)
    if not label or corners is None:
        repairs.append("name_missing" if corners else code or "box_unreadable")
        return
    repairs += [code] if code else []
    add_box(boxes, repairs, Box(*corners, rename.get(label, label)))


def _corners(kind: str, shape: Mapping[str, Any], rotated: str) -> tuple[Corners | None, str]:
    """The box of a shape, and a code where that is worth a remark."""
    try:
        points = [(float(x), float(y)) for x, y in shape.get("points") or ()]
    except (TypeError, ValueError):
        return None, ""
    if kind == "rectangle" or not points:
        return enclose(points), ""
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        points = [(x - radius, y - radius), (x + radius, y + radius)]
    if kind == "mask" and isinstance(shape.get("mask"), str):
        inside = enclose_picture(shape["mask"])  # it begins at the first point; the second is its last pixel
        (x, y) = points[0]
        corners = (x + inside[0], y + inside[1], x + inside[2], y + inside[3]) if inside else None
        return (corners, "mask_enclosed") if corners and all(map(math.isfinite, corners)) else (None, "mask_unreadable")
    if kind in ("rotation", "oriented_rectangle") and len(points) == 4:
        corners = enclose_quad(points, rotated)
        return corners, ROTATED[rotated] if corners else "box_unreadable"
    corners = enclose(points)
    return corners, "polygon_enclosed" if corners else "box_unreadable"
