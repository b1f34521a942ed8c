"""JSON in which anything may be anything: read, left out or refused in a sentence, never a traceback."""

from __future__ import annotations

import copy
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw, write

REGION = {
    "original_width": 100,
    "original_height": 80,
    "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 30},
}
WHOLE: dict[str, Any] = {
    "coco": {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"image_id": 1, "category_id": 1, "segmentation": [[1, 2, 3, 4, 5, 6]]},
            {"image_id": 1, "category_id": 1, "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}},
        ],
    },
    "label_studio": [
        {
            "id": 1,
            "data": {"image": "a.jpg"},
            "annotations": [
                {
                    "result": [
                        REGION | {"value": REGION["value"] | {"rectanglelabels": ["cat"]}},  # type: ignore[operator]
                        REGION | {"id": "x", "value": {"rle": [0, 0, 1], "brushlabels": ["cat"]}},
                        REGION | {"id": "y", "value": {"x": 9, "y": 9, "radiusX": 3, "radiusY": 2, "labels": ["cat"]}},
                        REGION | {"id": "y", "value": {"imageDataURL": "AAAA", "labels": ["cat"]}},
                    ]
                },
                {"result": [{"value": {"points": [[1, 2], [3, 4]], "polygonlabels": ["cat"]}}], "was_cancelled": False},
            ],
        }
    ],
    "labelme": {
        "imagePath": "a.jpg",
        "imageWidth": 100,
        "imageHeight": 80,
        "shapes": [
            {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": t, "mask": "AAAA"}
            for t in ("rectangle", "circle", "polygon", "mask")
        ]
        + [{"label": "cat", "points": [[1, 2], [3, 4], [5, 6], [7, 8]], "shape_type": "rotation"}],
    },
    "createml": [
        {"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 9, "y": 9, "width": 5, "height": 5}}]}
    ],
    "via": {
        "a.jpg1": {
            "filename": "a.jpg",
            "regions": [
                {"shape_attributes": shape, "region_attributes": {"kind": "cat"}}
                for shape in (
                    {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                    {"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 2, "theta": 1},
                    {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [3, 4]},
                )
            ],
        }
    },
}
junk = st.sampled_from(
    [None, True, -1, 1e308, float("nan"), float("inf"), "", "x", [], [1], [None, "a"], {}, {"a": 1}, [[]]]
).map(copy.deepcopy)


def places(content: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [way, *(found for key in keys for found in places(content[key], (*way, key)))]


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_junk_is_no_traceback(name: str, data: st.DataObject) -> None:
    content: Any = {"all": copy.deepcopy(WHOLE[name])}
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(places(content)[1:]))
        inner = content
        for key in way:
            inner = inner[key]
        inner[last] = data.draw(junk)
    with tempfile.TemporaryDirectory() as place:
        write(draw(Path(place), "a.jpg"), "a.json", content["all"])
        with suppress(MiradaError):
            found = Reading(Path(place), name)
            for image in found.images.values():
                assert all(0 <= box.x1 < box.x2 <= 100 and 0 <= box.y1 < box.y2 <= 80 for box in image.boxes)
