"""Rotated boxes in every format that has them: the box around them, or what they are when turned upright."""

import math
from pathlib import Path
from typing import Any

import pytest

from mirada.config import DataConfig
from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw, write

# 40 x 20 pixels about (50, 40), turned by 30 degrees.
ANGLE = math.radians(30)
COS, SIN = math.cos(ANGLE), math.sin(ANGLE)
HALF_X, HALF_Y = 20 * COS + 10 * SIN, 20 * SIN + 10 * COS
AROUND = tuple(round(value, 2) for value in (50 - HALF_X, 40 - HALF_Y, 50 + HALF_X, 40 + HALF_Y))
UPRIGHT = (30, 30, 70, 50)
CORNERS = [(50 + x * COS - y * SIN, 40 + x * SIN + y * COS) for x, y in ((-20, -10), (20, -10), (20, 10), (-20, 10))]

ROBNDBOX = f"<robndbox><cx>50</cx><cy>40</cy><w>40</w><h>20</h><angle>{ANGLE}</angle></robndbox>"
REGION = {
    "x": CORNERS[0][0],
    "y": CORNERS[0][1] / 0.8,
    "width": 40,
    "height": 25,
    "rotation": 30,
    "rectanglelabels": ["ship"],
}
CVAT_BOX = '<box label="ship" xtl="30" ytl="30" xbr="70" ybr="50" rotation="30"/>'
RAW: dict[str, tuple[str, Any]] = {
    "voc": ("a.xml", f"<annotation><object><type>robndbox</type><name>ship</name>{ROBNDBOX}</object></annotation>"),
    "yolo": ("a.txt", "0 " + " ".join(f"{x / 100} {y / 80}" for x, y in CORNERS)),
    "dota": ("a.txt", " ".join(f"{x} {y}" for x, y in CORNERS) + " ship 0"),
    "cvat": (
        "a.xml",
        f'<annotations><image name="a.jpg">{CVAT_BOX}</image></annotations>',
    ),
    "label_studio": (
        "a.json",
        [
            {
                "data": {"image": "a.jpg"},
                "annotations": [{"result": [{"value": REGION, "original_width": 100, "original_height": 80}]}],
            }
        ],
    ),
    "labelme": (
        "a.json",
        {"imagePath": "a.jpg", "shapes": [{"label": "ship", "shape_type": "rotation", "points": CORNERS}]},
    ),
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize(("rotated", "box"), [("enclose", AROUND), ("upright", UPRIGHT)])
def test_what_is_made_of_a_rotated_box(tmp_path: Path, name: str, rotated: str, box: tuple[float, ...]) -> None:
    write(draw(tmp_path, "a.jpg"), *RAW[name])
    found = Reading(tmp_path, name, rotated=rotated, classes=["ship"])
    assert found.boxes("a.jpg") == [(*box, "ship")]
    code = {"enclose": "rotated_box_enclosed", "upright": "rotated_box_upright"}[rotated]
    assert code in found.repairs("a.jpg") and found.reasons == []


def test_the_key_is_checked() -> None:
    with pytest.raises(MiradaError, match="data.rotated must be one of enclose, upright"):
        DataConfig(rotated="angle")
