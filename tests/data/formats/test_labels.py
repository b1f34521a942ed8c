from pathlib import Path

import pytest
from PIL import Image

from mirada.config import DataConfig, TableConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.formats.folder import list_class_folders
from mirada.data.formats.labels import LabelledImage, read_labelled
from mirada.data.formats.table import list_table
from mirada.data.records import Box
from mirada.errors import MiradaError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def labels(images: list[LabelledImage]) -> list[tuple[str, str | None, str]]:
    return [(image.source, image.split, image.label) for image in images]


def reasons(rejected: list[Rejected]) -> list[tuple[str, str]]:
    assert all(item.advice for item in rejected)
    return [(item.file, item.reason) for item in rejected]


def test_flat_folders_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "dog/2.JPG", "cat/1.jpg", "cat/more/3.png", "cat/notes.txt", "cat/._1.jpg", "stray.jpg")
    found, rejected = list_class_folders(tmp_path, {"dog": "canine"})
    assert labels(found) == [("cat/1.jpg", None, "cat"), ("cat/more/3.png", None, "cat"), ("dog/2.JPG", None, "canine")]
    assert reasons(rejected) == [("stray.jpg", "no_class_folder")]


def test_folders_around_the_classes_do_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, "pets v1/Pet Images/cat/1.jpg", "pets v1/Pet Images/cathedral/1.jpg")
    found, rejected = list_class_folders(tmp_path, {})
    assert [image.label for image in found] == ["cat", "cathedral"] and rejected == []


def test_split_folders_and_the_archive_of_kaggle(tmp_path: Path) -> None:
    """The archive holds itself again, and folders of macOS; images beside the split folders have no class."""
    touch(tmp_path, "x/train/NORMAL/1.jpeg", "x/x/train/NORMAL/1.jpeg", "x/Valid/SICK/2.jpeg", "x/test/SICK/3.jpeg")
    touch(tmp_path, "__MACOSX/x/train/NORMAL/1.jpeg", "x/plots/4.png", "x/train/5.jpeg")
    found, rejected = list_class_folders(tmp_path, {})
    assert labels(found) == [
        ("x/Valid/SICK/2.jpeg", "val", "SICK"),
        ("x/test/SICK/3.jpeg", "test", "SICK"),
        ("x/train/NORMAL/1.jpeg", "train", "NORMAL"),
        ("x/x/train/NORMAL/1.jpeg", "train", "NORMAL"),
    ]
    assert reasons(rejected) == [("x/plots/4.png", "no_class_folder"), ("x/train/5.jpeg", "no_class_folder")]


def test_a_single_folder_gives_no_classes(tmp_path: Path) -> None:
    found, rejected = list_class_folders(touch(tmp_path, "photos/1.jpg", "photos/2.jpg"), {})
    assert found == [] and len(rejected) == 2


def table(tmp_path: Path, text: str, **keys: object) -> tuple[list[LabelledImage], list[Rejected]]:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "labels.csv").write_text(text)
    config = TableConfig(file="data/labels.csv", **keys)  # type: ignore[arg-type]
    return list_table(tmp_path, config, ["good", "bad"], {"ugly": "bad"})


def test_numbers_become_classes_by_the_threshold(tmp_path: Path) -> None:
    touch(tmp_path, *(f"data/images/{number}.png" for number in range(5)))
    rows = ["\ufeffimages/0.png  0.0   mono", "images/1.png 0.49 poly", "images/2.png\t0.5", "", "images/3.png 1.0"]
    found, rejected = table(tmp_path, "\n".join([*rows, "images/4.png nan"]), threshold=0.5)
    assert [(image.source, image.label) for image in found] == [
        ("data/images/0.png", "good"),
        ("data/images/1.png", "good"),
        ("data/images/2.png", "bad"),
        ("data/images/3.png", "bad"),
    ]
    assert reasons(rejected) == [
        ("data/images/4.png", "image_without_row"),
        ("data/labels.csv: row 6", "label_no_number"),
    ]


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "data/a.png", "data/b c.png", "data/d.png", "data/e.png", "data/train/f.png")
    rows = ["id,file,label", "1,a,ugly", '2,"b c.png",good', "3,b c.png,good", "4,d.png,good", "5,d.png,bad"]
    rows += ["6,e.png,", "7", "8,gone.png,good", "9,../secret.png,good", "10,train\\f.png,bad"]
    found, rejected = table(tmp_path, "\n".join(rows), delimiter=",", header=True, image_column=1, label_column=2)
    assert labels(found) == [
        ("data/a.png", None, "bad"),
        ("data/b c.png", None, "good"),
        ("data/train/f.png", "train", "bad"),
    ]
    assert found[1].repairs == ("row_repeated",)
    assert reasons(rejected) == [
        ("data/d.png", "rows_disagree"),
        ("data/e.png", "image_without_row"),
        ("data/labels.csv: row 10: ../secret.png", "row_without_image"),
        ("data/labels.csv: row 7", "label_missing"),
        ("data/labels.csv: row 8", "row_too_short"),
        ("data/labels.csv: row 9: gone.png", "row_without_image"),
    ]


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match=r"nowhere\.csv is missing: correct data\.table\.file"):
        list_table(tmp_path, TableConfig(file="nowhere.csv"), [], {})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"table": TableConfig()}, r"^data\.table\.file must name the table"),
        ({"table": TableConfig(file="a", threshold=0.5), "classes": ["x"]}, r"name two in data\.classes, got 1"),
    ],
)
def test_a_table_needs_a_file_and_two_classes(keys: dict[str, object], message: str) -> None:
    with pytest.raises(MiradaError, match=message):
        DataConfig(task="classification", format="table", **keys)  # type: ignore[arg-type]


def test_the_box_spans_the_image_as_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png", "JPEG", exif=exif)
    found = read_labelled(LabelledImage(tmp_path / "a.png", "a.png", None, "cat", ("row_repeated",)))
    assert isinstance(found, RawImage)
    assert (found.width, found.height, found.transpose) == (4, 8, True)
    assert found.boxes == (Box(0, 0, 4, 8, "cat"),)
    assert found.repairs == ("extension_wrong", "exif_applied", "row_repeated")


def test_an_unreadable_image_is_rejected(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    found = read_labelled(LabelledImage(tmp_path / "a.jpg", "cat/a.jpg", None, "cat"))
    assert isinstance(found, Rejected) and (found.file, found.reason) == ("cat/a.jpg", "image_unreadable")
