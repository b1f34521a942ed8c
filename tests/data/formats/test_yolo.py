"""YOLO as tools export it."""

from pathlib import Path

import pytest

from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw, write

ROW = "0 0.5 0.5 0.2 0.5\n"  # of 100 x 80 pixels: 40, 20 to 60, 60
CAT_BOX = (40, 20, 60, 60, "cat")


def folder(path: Path, rows: str = ROW, names: str = "names: [cat, dog]\n") -> Path:
    return write(write(draw(path, "images/a.jpg"), "labels/a.txt", rows), "data.yaml", names)


@pytest.mark.parametrize(
    "names",
    [
        "names: [cat, dog]\nnc: 2\n",
        "nc: 2\nnames:\n  - cat\n  - dog\n",
        "names:\n  0: cat\n  1: dog\n",
        "names: {1: dog, 0: cat}\n",
        "names: {'0': ' cat '}\n",
        "names: cat, dog\n",
        "# path: /home/me\ntrain: ../train/images\nval: ../valid/images\nnames: ['cat', 'dog']\nroboflow: {version: 1}\n",
    ],
)
def test_spellings_of_data_yaml(tmp_path: Path, names: str) -> None:
    found = Reading(folder(tmp_path, names=names), "yolo")
    assert found.boxes("images/a.jpg") == [CAT_BOX] and found.reasons == []


def test_names_stay_what_is_written(tmp_path: Path) -> None:
    rows = "".join(f"{number} 0.5 0.5 0.2 0.5\n" for number in range(5))
    found = Reading(folder(tmp_path, rows, "names: [no, on, 1.0, null, ~]\n"), "yolo")
    assert [box.label for box in found.images["images/a.jpg"].boxes] == ["no", "on", "1.0", "null", "~"]


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names", "_darknet.labels"])
def test_lists_of_names(tmp_path: Path, name: str) -> None:
    write(write(draw(tmp_path, "images/a.jpg"), "labels/a.txt", ROW), name, "cat\r\nétoile\n\n", encoding="cp1252")
    assert Reading(tmp_path, "yolo").boxes("images/a.jpg") == [CAT_BOX]


def test_without_names_data_classes_name_the_numbers(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "a.txt", ROW)
    with pytest.raises(MiradaError, match=r"Nothing names the classes of the YOLO rows: put a data\.yaml"):
        Reading(tmp_path, "yolo")
    assert Reading(tmp_path, "yolo", classes=["cat"]).boxes("a.jpg") == [CAT_BOX]


def test_two_files_that_name_classes_differently(tmp_path: Path) -> None:
    write(folder(tmp_path), "old.yaml", "names: [dog, cat]\n")
    with pytest.raises(MiradaError, match=r"data\.yaml and old\.yaml name the classes differently: leave one"):
        Reading(tmp_path, "yolo")


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a.jpg", "a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("images/train/a.jpg", "labels/train-labels/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("train/a.jpg", "train/labels/a.txt"),
        ("obj_train_data/a.jpg", "obj_train_data/a.txt"),
    ],
)
def test_labels_beside_and_below(tmp_path: Path, image: str, label: str) -> None:
    write(write(draw(tmp_path, image), label, ROW), "data.yaml", "names: [cat]\n")
    found = Reading(tmp_path, "yolo")
    assert found.boxes(image) == [CAT_BOX] and found.reasons == []
    assert found.splits[image] == ("train" if image.startswith(("train", "images/train")) else None)


def test_oriented_boxes_segments_scores_and_keypoints(tmp_path: Path) -> None:
    rows = (
        "0 0.1 0.2 0.3 0.1 0.4 0.4 0.2 0.5\n"  # four corners
        "1 0.1 0.1 0.3 0.1 0.2 0.4\n"  # a triangle
        "0 0.5 0.5 0.2 0.5 0.9\n"  # with a score
        "1 0.5 0.5 0.2 0.5 0.1 0.1 2 0.2 0.2 1 0.3 0.3 0\n"  # three keypoints with visibility
    )
    found = Reading(folder(tmp_path, rows), "yolo")
    assert found.boxes("images/a.jpg") == [
        (10, 8, 40, 40, "cat"),
        (10, 8, 30, 32, "dog"),
        CAT_BOX,
        (40, 20, 60, 60, "dog"),
    ]
    assert found.repairs("images/a.jpg") == ["polygon_enclosed", "rotated_box_enclosed"]


def test_every_row_that_is_lost_is_told(tmp_path: Path) -> None:
    rows = f"{ROW}{ROW}\n2 0.5 0.5 0.2 0.5\n-1 0.5 0.5 0.2 0.5\n0.5 0.5 0.5 0.2 0.5\n1.0 0.5 0.5 0.2 0.5\n0 0.5\n0 a b c d\n"
    rows += "0 50 40 20 20\n0 nan 0.5 0.1 0.1\n0 0.5 0.5 0 0\n0 0.99 0.5 0.1 0.5\n"
    found = Reading(folder(tmp_path, rows), "yolo")
    assert found.boxes("images/a.jpg") == [CAT_BOX, (40, 20, 60, 60, "dog"), (94, 20, 100, 60, "cat")]
    assert found.repairs("images/a.jpg") == [
        "box_clipped",
        "box_empty",
        *["box_unreadable"] * 4,
        *["class_unknown"] * 3,
        "object_repeated",
    ]


def test_images_without_a_text_or_with_an_empty_one_are_background(tmp_path: Path) -> None:
    draw(folder(tmp_path, ""), "images/b.jpg")
    found = Reading(tmp_path, "yolo")
    assert found.boxes("images/a.jpg") == found.boxes("images/b.jpg") == []
    assert found.repairs("images/a.jpg") == [] and found.repairs("images/b.jpg") == ["label_file_missing"]


def test_texts_without_an_image_and_other_texts(tmp_path: Path) -> None:
    write(write(folder(tmp_path), "labels/b.txt", ROW * 2), "README.dataset.txt", "# a data set\n")
    assert Reading(tmp_path, "yolo").reasons == [("labels/b.txt", "labels_without_image", 2)]


def test_folders_and_lists_of_data_yaml_give_the_splits(tmp_path: Path) -> None:
    draw(tmp_path, "one/a.jpg", "two/b.jpg", "valid/c.jpg")
    write(tmp_path, "data.yaml", "path: ..\\x\ntrain: [/home/me/one]\nval: two\nnames: [cat]\n")
    assert Reading(tmp_path, "yolo").splits == {"one/a.jpg": "train", "two/b.jpg": "val", "valid/c.jpg": "val"}
    write(tmp_path, "data.yaml", "train: one\nval: one\nnames: [cat]\n")
    assert Reading(tmp_path, "yolo").splits["one/a.jpg"] is None
    write(tmp_path, "train.txt", "./one/a.jpg\n/content/two/b.jpg\n")
    write(tmp_path, "test.txt", "valid/c.jpg\n")
    assert Reading(tmp_path, "yolo").splits == {"one/a.jpg": "train", "two/b.jpg": "train", "valid/c.jpg": "test"}


def test_a_box_to_the_edge_needs_no_mending(tmp_path: Path) -> None:
    found = Reading(folder(tmp_path, "0 0.83333333 0.65 0.33333334 0.7\n"), "yolo")
    assert found.boxes("images/a.jpg") == [(66.67, 24, 100, 80, "cat")] and found.repairs("images/a.jpg") == []


def test_aliases_of_yaml_are_not_followed(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nnames: [*b, *b, *b, *b]\n"
    with pytest.raises(MiradaError, match="Nothing names the classes"):
        Reading(folder(tmp_path, names=bomb), "yolo")


def test_a_photograph_that_lies_on_its_side(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    folder(tmp_path)
    Image.new("RGB", (100, 80)).save(tmp_path / "images/a.jpg", exif=exif)
    found = Reading(tmp_path, "yolo")  # shares are of the photograph as shown, 80 x 100
    assert found.boxes("images/a.jpg") == [(32, 25, 48, 75, "cat")] and found.images["images/a.jpg"].transpose
