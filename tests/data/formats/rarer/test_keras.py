from pathlib import Path

from tests.data.formats.drawing import Reading, draw, write

LIST = "photos/my cat.jpg 10,20,30,40,0 1,2,3,4,1\nb.jpg\nc.jpg 1,2,3,4,7 1,2,3,x,0 5,5,5,9,0\ngone.jpg 1,2,3,4,0\n"


def test_a_line_an_image(tmp_path: Path) -> None:
    write(draw(tmp_path, "train/my cat.jpg", "train/b.jpg", "train/c.jpg"), "train/_annotations.txt", LIST)
    write(tmp_path, "train/_classes.txt", "cat\nstop sign\n")
    found = Reading(tmp_path, "keras", rename={"stop sign": "sign"})
    assert found.boxes("train/my cat.jpg") == [(10, 20, 30, 40, "cat"), (1, 2, 3, 4, "sign")]
    assert found.boxes("train/b.jpg") == [] and found.splits["train/b.jpg"] == "train"
    assert found.reasons == [
        ("train/_annotations.txt: gone.jpg", "labels_without_image", 1),
        ("train/c.jpg", "no_usable_box", 3),
    ]


def test_data_classes_name_the_numbers_where_no_file_does(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "all.txt", "a.jpg 10,20,30,40,1\n")
    assert Reading(tmp_path, "keras", classes=["dog", "cat"]).boxes("a.jpg") == [(10, 20, 30, 40, "cat")]
