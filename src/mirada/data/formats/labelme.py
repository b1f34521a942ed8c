"""labelme: a JSON of shapes for each image.

The format: https://github.com/wkentaro/labelme. Shapes with an area become the box around them; points and lines are lost
and counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mirada.data.annotations import Labelling
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_quad
from mirada.data.folders.masks import enclose_picture
from mirada.data.folders.texts import clean_label, read_hidden
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, Written, beside, exact, number_text
from mirada.data.records import Box

_DIFFICULT = "difficult"


def is_labelme(content: Any) -> bool:
    """Whether a JSON is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def gather_labelme(gathering: Gathering, rename: Mapping[str, str], rotated: str = "enclose") -> None:
    """Add the shapes of every image."""
    for source, content in gathering.jsons(is_labelme, "shapes of labelme", broken=True):
        boxes: list[Box] = []
        repairs: list[str] = []
        for shape in content["shapes"]:
            _add(shape if isinstance(shape, dict) else {}, rename, boxes, repairs, rotated)
        folder, _, name = source.rpartition("/")
        # Its own name first: a photograph that was renamed took its labels along, and `imagePath` stayed behind.
        stem = name.rpartition(".")[0]
        own = gathering.index.find(stem, tuple(folder.split("/")) if folder else ())
        reference = stem if len(own) == 1 else str(content["imagePath"])
        gathering.add(source, reference, Labelling("", "", None, tuple(boxes), _size(content), repairs=tuple(repairs)))


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
    more = shape.get("flags")
    flags = more if isinstance(more, dict) else {}
    add_box(boxes, repairs, Box(*corners, rename.get(label, label), bool(flags.get(_DIFFICULT)), *read_hidden(flags)))


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


def write_labelme(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """A JSON for each image, which lies as the image does."""
    for image, path in beside(labels, ".json"):
        yield path, labelme_json(image)


def labelme_json(image: Written) -> str:
    """The JSON of one image: a rectangle an object, a score in its description, difficult as a flag of its own."""
    shapes = [
        {
            "label": box.label,
            "points": [[exact(box.x1), exact(box.y1)], [exact(box.x2), exact(box.y2)]],
            "group_id": None,
            "description": "" if score is None else f"score {number_text(score)}",
            "shape_type": "rectangle",
            "flags": {_DIFFICULT: True} if box.difficult else {},
        }
        for box, score in image.objects
    ]
    content: dict[str, Any] = {"version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": image.file_name}
    content |= {"imageData": None, "imageHeight": image.height, "imageWidth": image.width}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


WRITER = Writer(lambda image: image.path, write_labelme)
