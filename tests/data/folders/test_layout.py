"""What a folder is: images, splits, classes, and which image is meant."""

from pathlib import Path

import pytest
from PIL import Image, features

from mirada.data.folders.layout import (
    ImageIndex,
    class_folders,
    folder_splits,
    image_suffixes,
    is_image,
    split_word,
    visible_files,
)
from mirada.errors import MiradaError


def folders(*paths: str) -> set[tuple[str, ...]]:
    return {tuple(path.split("/")) if path else () for path in paths}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN2017", "train"),
        ("train_images", "train"),
        ("images-train", "train"),
        ("TrainSet", "train"),
        ("trainval", "train"),
        ("instances_val2017", "val"),
        ("valid", "val"),
        ("Validation", "val"),
        ("Testing", "test"),
        ("test set", "test"),
        ("train-labels", "train"),
        ("trains", None),
        ("cat_train", None),
        ("train test", None),
        ("valley", None),
        ("images", None),
        ("2017", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_word(name) == split


def test_a_key_overrules_a_name() -> None:
    names = {"train": "none", "Probe": "test"}
    assert [split_word(name, names) for name in ("Train", "probe", "val")] == [None, "test", "val"]


def test_suffixes_come_from_pillow() -> None:
    assert {".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".jp2"} <= set(image_suffixes())
    assert (".avif" in image_suffixes()) == features.check("avif")
    assert not {".pdf", ".h5", ".mpg", ".eps", ".xml", ".txt", ".json"} & set(image_suffixes())
    assert {".heic", ".heif"} <= set(image_suffixes())  # told of, with what to install, where they can't be opened
    assert is_image("A.WEBP") and not is_image("webp") and not is_image("a.jpg.xml")


def test_the_innermost_name_says_the_split() -> None:
    assert folder_splits(folders("train/images", "x/train/train/images", "test/images", "images"), {}) == {
        ("train", "images"): "train",
        ("x", "train", "train", "images"): "train",
        ("test", "images"): "test",
        ("images",): None,
    }


def test_the_name_around_all_says_nothing_where_others_do() -> None:
    found = folder_splits(folders("test_data/train/a", "test_data/extra"), {})
    assert found == {("test_data", "train", "a"): "train", ("test_data", "extra"): None}
    assert folder_splits(folders("test_data/a", "test_data/b"), {}) == {
        ("test_data", "a"): "test",
        ("test_data", "b"): "test",
    }


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["Training/cat", "Training/dog", "Testing/cat"], [("train", "cat"), ("train", "dog"), ("test", "cat")]),
        (["train/train/cat", "test/test/cat"], [("train", "cat"), ("test", "cat")]),
        (["car", "train", "bus"], [(None, "car"), (None, "train"), (None, "bus")]),
        (["invalid", "valid"], [(None, "invalid"), (None, "valid")]),
        (["train/car", "train/train", "test/car", "test/train"],) * 1
        + ([("train", "car"), ("train", "train"), ("test", "car"), ("test", "train")],),
        (["cat/train", "cat/test", "dog/train", "dog/test"],) * 1
        + ([("train", "cat"), ("test", "cat"), ("train", "dog"), ("test", "dog")],),
        (["a/b/cat", "a/b/dog"], [(None, "cat"), (None, "dog")]),
        (["train", "test"], [("train", None), ("test", None)]),
    ],
)
def test_classes_and_splits(paths: list[str], expected: list[tuple[str | None, str | None]]) -> None:
    found = class_folders(folders(*paths), {})
    assert [found[tuple(path.split("/"))] for path in paths] == expected


def test_a_folder_that_may_be_either_is_refused_and_a_key_decides() -> None:
    paths = folders("train/steam", "train/diesel", "car", "bus")
    with pytest.raises(
        MiradaError, match=r"folder train may be the train split, or a class beside bus, car: say which"
    ):
        class_folders(paths, {})
    assert class_folders(paths, {"train": "none"})["train", "steam"] == (None, "train")
    assert class_folders(paths, {"train": "train"})["train", "steam"] == ("train", "steam")


INDEX = ("train/images/Ä b.JPG", "test/images/a.jpg", "train/images/a.jpg", "old/x.y.png")


@pytest.mark.parametrize(
    ("reference", "near", "found"),
    [
        ("..\\train2017\\a.jpg", "", ["train/images/a.jpg"]),
        ("C:\\me\\test\\images\\A.JPG", "", ["test/images/a.jpg"]),
        ("/home/me/train/images/A\u0308 b.jpg", "", ["train/images/Ä b.JPG"]),
        ("https://host/train/a.jpg", "", ["train/images/a.jpg"]),
        ("https://host/old/x%2Ey.png?size=9#top", "", ["old/x.y.png"]),
        ("a", "train/labels", ["train/images/a.jpg"]),
        ("a.png", "test", ["test/images/a.jpg"]),
        ("x.y", "", ["old/x.y.png"]),
        ("a.jpg", "", ["test/images/a.jpg", "train/images/a.jpg"]),
        ("val/a.jpg", "", []),
        ("../../etc/passwd", "", []),
        ("", "", []),
    ],
)
def test_finding_an_image(reference: str, near: str, found: list[str]) -> None:
    index = ImageIndex(INDEX, {})
    assert sorted(index.find(reference, tuple(near.split("/")) if near else ())) == found


def test_case_decides_between_two_names(tmp_path: Path) -> None:
    index = ImageIndex(["a/IMG.jpg", "a/img.jpg"], {})
    assert index.find("img.jpg") == ("a/img.jpg",) and len(index.find("Img.jpg")) == 2


def test_webp_and_gif_are_read_with_their_repairs(tmp_path: Path) -> None:
    from mirada.data.annotations import read_header

    frames = [Image.new("RGB", (8, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp")
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "c.jfif", format="PNG")
    assert read_header(tmp_path / "a.webp") == ((8, 4), 1, [])
    assert read_header(tmp_path / "b.gif") == ((8, 4), 1, ["first_frame_taken"])
    assert read_header(tmp_path / "c.jfif") == ((8, 4), 1, ["extension_wrong"])


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow opens no AVIF")
def test_avif_under_another_name_is_read(tmp_path: Path) -> None:
    from mirada.data.annotations import read_header

    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.jpg", format="AVIF")
    assert read_header(tmp_path / "a.jpg") == ((8, 4), 1, ["extension_wrong"])


def test_hidden_folders_and_files_are_not_there(tmp_path: Path) -> None:
    for name in (
        ".ipynb_checkpoints/a-checkpoint.jpg",
        "cat/.ipynb_checkpoints/b.jpg",
        "__MACOSX/cat/._c.jpg",
        "cat/c.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for _, path in visible_files(tmp_path)] == ["cat/c.jpg"]
