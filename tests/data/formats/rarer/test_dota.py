from pathlib import Path

from tests.data.formats.drawing import Reading, draw, write

ROWS = """imagesource:GoogleEarth
gsd:0.146
30 30 70 30 70 50 30 50 large-vehicle 0
30.0 20.0 50.0 40.0 40.0 50.0 20.0 30.0 ship 1
1 2 3 4 5 6 7 ship 0
1 2 3 4 5 6 7 nan ship 0
1 2 3 4 5 6 7 8
"""


def test_rows_of_four_corners(tmp_path: Path) -> None:
    write(draw(tmp_path, "images/P1.png", "images/P2.png"), "labelTxt/P1.txt", ROWS)
    write(write(tmp_path, "labelTxt/P2.txt", ""), "readme.txt", "Rows of DOTA\n")
    found = Reading(tmp_path, "dota")
    assert found.boxes("images/P1.png") == [(30, 30, 70, 50, "large-vehicle"), (20, 20, 50, 50, "ship")]
    assert [box.difficult for box in found.images["images/P1.png"].boxes] == [False, True]
    losses = ["box_unreadable", "box_unreadable", "name_missing", "rotated_box_enclosed", "rotated_box_enclosed"]
    assert found.repairs("images/P1.png") == losses
    assert found.boxes("images/P2.png") == [] and found.reasons == []
    assert found.notes == ["readme.txt holds no rows of DOTA and was left alone"]
