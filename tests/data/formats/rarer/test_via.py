import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.formats.drawing import Reading, draw, write

CAT_BOX = (10, 20, 30, 40, "cat")
RECT = {"name": "rect", "x": 10, "y": 20, "width": 20, "height": 20}


def region(shape: Any, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def image(name: str, regions: Any) -> dict[str, Any]:
    return {"filename": name, "size": 1, "regions": regions, "file_attributes": {}}


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize(
    "attributes", [{"my kind": "cat"}, {"note": 3, "Class": "cat"}, {"type": {"cat": True, "dog": False}}]
)
def test_regions_as_a_list_or_by_number(tmp_path: Path, project: bool, attributes: dict[str, Any]) -> None:
    images = {"a.jpg1": image("a.jpg", [region(RECT, **attributes)]), "b.jpg1": image("b.jpg", {})}
    images["c.jpg1"] = image("c.jpg", {"0": region(RECT, **attributes)})
    content = {"_via_settings": {}, "_via_img_metadata": images} if project else images
    write(draw(tmp_path, "a.jpg", "b.jpg", "c.jpg"), "val/via_region_data.json", content)
    found = Reading(tmp_path, "via")
    assert found.boxes("a.jpg") == found.boxes("c.jpg") == [CAT_BOX] and found.boxes("b.jpg") == []
    assert set(found.splits.values()) == {"val"} and found.reasons == []


def test_shapes_and_losses(tmp_path: Path) -> None:
    shapes = [
        {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 3, 30]},
        {"name": "circle", "cx": 50, "cy": 40, "r": 5},
        {"name": "ellipse", "cx": 50, "cy": 40, "rx": 10, "ry": 5},
        {"name": "point", "cx": 1, "cy": 2},
        {"name": "polyline", "all_points_x": [1, 9], "all_points_y": [2, 3]},
        {"name": "polygon", "all_points_x": [1], "all_points_y": [2, 3]},
        {"name": "rect", "x": "?"},
        None,
    ]
    regions = [*(region(shape, label="cat") for shape in shapes), region(RECT, label=" "), region(RECT)]
    write(draw(tmp_path, "a.jpg"), "via.json", {"a.jpg1": image("a.jpg", regions)})
    found = Reading(tmp_path, "via")
    assert found.boxes("a.jpg") == [(1, 2, 9, 30, "cat"), (45, 35, 55, 45, "cat"), (40, 35, 60, 45, "cat")]
    losses = [*["box_unreadable"] * 3, *["name_missing"] * 2, *["polygon_enclosed"] * 3, *["shape_without_area"] * 2]
    assert found.repairs("a.jpg") == losses


def test_regions_without_any_class_are_objects(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "via.json", {"a.jpg1": image("a.jpg", [region(RECT)])})
    found = Reading(tmp_path, "via")
    assert found.boxes("a.jpg") == [(10, 20, 30, 40, "object")]
    assert found.notes == ["via.json: no region has a class, each is taken for an `object`"]


def test_the_table(tmp_path: Path) -> None:
    def quoted(value: Any) -> str:
        return '"' + json.dumps(value).replace('"', '""') + '"'

    rows = ["#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    nothing = quoted({})
    rows.append(f"a.jpg,1,{nothing},1,0,{quoted(RECT)},{quoted({'label': 'cat'})}")
    rows.append(f"b.jpg,1,{nothing},0,0,{nothing},{nothing}")
    write(draw(tmp_path, "a.jpg", "b.jpg"), "via.csv", "\n".join(rows))
    found = Reading(tmp_path, "via")
    assert found.boxes("a.jpg") == [CAT_BOX] and found.boxes("b.jpg") == []
