"""From any format to a data set: what it says, its books, and classes that make no sense."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TileConfig, parse
from mirada.data import records
from mirada.errors import MiradaError
from mirada.stages import preprocess
from tests.data.formats.drawing import draw, write
from tests.data.formats.tfrecord.records import detection, picture

ROOT = Path(__file__).parents[2]
ROW = "{} 0.5 0.5 0.5 0.5\n"


def run(tmp_path: Path, **data: Any) -> records.Dataset:
    split = data.pop("split", SplitConfig(val=0.2, test=0.2))
    config = DataConfig(name="photos", split=split, **data)
    folders = {"raw_dir": str(tmp_path / "raw"), "output_dir": str(tmp_path / "out")}
    preprocess.run(PreprocessConfig(data=config, input_size=64, workers=1, **folders))  # type: ignore[arg-type]
    return records.load_dataset(tmp_path / "out", verify=True)


def voc(label: str, number: int = 1) -> str:
    box = f"<object><name>{label}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object>"
    return f"<annotation>{box * number}</annotation>"


def test_auto_says_what_it_found_and_keeps_the_books(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        write(
            draw(tmp_path / "raw", f"images/{number}.jpg"),
            f"labels/{number}.txt",
            ROW.format(number % 2) + ROW.format(7),
        )
    write(tmp_path / "raw", "labels/gone.txt", ROW.format(0) * 3)
    write(tmp_path / "raw", "data.yaml", "names: [no, stop sign]\n")
    dataset = run(tmp_path, format="auto", task="auto")
    assert (dataset.task, dataset.classes) == ("detection", ["no", "stop sign"])
    assert dataset.about["settings"]["format"] == "yolo"
    books = dataset.about["objects"]
    kept = books.pop("kept")
    assert books == {"found": 23, "read": {"no": 5, "stop sign": 5}, "lost": {"class_unknown": 10}, "rejected": 3}
    assert kept == {split: dataset.splits[split]["per_class"] for split in ("test", "train", "val")}
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["labels such as labels/0.txt: data=yolo", "data.yaml names 2 classes"] and len(said) == 3


def test_auto_takes_folders_of_classes_for_a_classification(tmp_path: Path) -> None:
    draw(tmp_path / "raw", *(f"{label}/{number}.png" for label in ("cat", "dog") for number in range(6)))
    dataset = run(tmp_path, format="auto", task="auto")
    assert (dataset.task, dataset.classes) == ("classification", ["cat", "dog"])


def spelled(tmp_path: Path) -> None:
    for number, label in enumerate(["Dog", "dog", "dog ", "DOG", "dog", "cat", "Cat", "dog"] * 2):
        write(draw(tmp_path / "raw", f"{number}.png"), f"{number}.xml", voc(label))


def test_spellings_of_a_label_are_merged_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spelled(tmp_path)
    dataset = run(tmp_path)
    assert dataset.classes == ["Cat", "dog"] and dataset.about["repaired"]["label_merged"] == 6
    said = capsys.readouterr().out
    assert "the label 'DOG' is taken for 'dog' (data.merge_labels)" in said


def test_the_wanted_spelling_is_used_or_none_is_merged(tmp_path: Path) -> None:
    spelled(tmp_path)
    assert run(tmp_path, classes=["DOG", "cat"]).classes == ["DOG", "cat"]
    split = SplitConfig(val=0.0, test=0.0)
    assert run(tmp_path, merge_labels=False, split=split).classes == ["Cat", "DOG", "Dog", "cat", "dog"]


def test_one_class_is_no_classification(tmp_path: Path) -> None:
    draw(tmp_path / "raw", *(f"photos/cat/{number}.png" for number in range(6)), "photos/dog.png")
    with pytest.raises(
        MiradaError, match=r"There is one class only, 'cat', and a classifier has nothing to tell it from"
    ):
        run(tmp_path, format="folder", task="classification")


def test_a_class_that_yaml_reads_as_false(tmp_path: Path) -> None:
    for number in range(6):
        write(draw(tmp_path / "raw", f"{number}.png"), f"{number}.xml", voc("no"))
    with pytest.raises(MiradaError, match=r"Class 'False' of data\.classes is what YAML makes of a word such as no"):
        run(tmp_path, classes=["False"])


@pytest.mark.parametrize(("label", "read"), [("0123", "83"), ("1e3", "1000.0")])
def test_a_class_that_yaml_reads_as_another_number(tmp_path: Path, label: str, read: str) -> None:
    for number in range(6):
        write(draw(tmp_path / "raw", f"{number}.png"), f"{number}.xml", voc(label))
    with pytest.raises(MiradaError, match=rf"Class '{read}' of data\.classes is no label here: .* write it in quotes"):
        run(tmp_path, classes=[read])
    assert run(tmp_path, classes=[label]).classes == [label]


def test_a_test_split_without_an_object_is_refused_and_one_of_one_class_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("train", "test"):
        for number, label in enumerate("aabb"):
            written = label if folder == "train" else "a"
            write(draw(tmp_path / "raw", f"{folder}/{number}.png"), f"{folder}/{number}.xml", voc(written))
    assert run(tmp_path, split=SplitConfig(val=0.0)).splits["test"]["per_class"] == {"a": 4, "b": 0}
    assert "test shows nothing of b: its figures don't tell how these are found" in capsys.readouterr().out
    with pytest.raises(MiradaError, match=r"^The 4 images of test show no object of the classes, so nothing could be"):
        run(tmp_path, classes=["b"], split=SplitConfig(val=0.0))


def test_a_split_folder_in_other_words_is_no_class(tmp_path: Path) -> None:
    names = [
        f"{folder}/{label}/{n}.png" for folder in ("Training", "Testing") for label in ("a", "b") for n in range(3)
    ]
    draw(tmp_path / "raw", *names)
    dataset = run(tmp_path, format="folder", task="classification", split=SplitConfig(val=0.0))
    assert dataset.classes == ["a", "b"]
    assert {split: part["images"] for split, part in dataset.splits.items()} == {"train": 6, "val": 0, "test": 6}


def test_a_folder_of_one_class_only_is_told_before_anything_slow(tmp_path: Path) -> None:
    draw(tmp_path / "raw", *(f"cat/{n}.png" for n in range(6)))
    with pytest.raises(
        MiradaError, match=r"no usable image in a folder of its class, 6 files .*: put x\.jpg into <class>/"
    ):
        run(tmp_path, format="folder", task="classification")


def test_classes_called_train_and_valid_and_the_key_that_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "raw", *(f"{label}/{n}.png" for label in ("train", "valid", "bus") for n in range(6)))
    assert run(tmp_path, format="folder", task="classification").classes == ["bus", "train", "valid"]
    names = {"train": "none", "valid": "none"}
    draw(tmp_path / "raw", *(f"{label}/old/{n}.png" for label in ("train", "valid", "bus") for n in range(3)))
    split = SplitConfig(val=0.2, test=0.2, names=names)
    assert run(tmp_path, format="folder", task="classification", split=split).classes == ["bus", "train", "valid"]


def test_the_key_for_names_reaches_from_the_command_line() -> None:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        words = ["data=folder", "data.path=x", "output_dir=out", "+data.split.names.valid=none"]
        assert parse(compose("preprocess", overrides=words)).data.split.names == {"valid": "none"}
        with pytest.raises(MiradaError, match=r"data\.split\.names\.valid must be"):
            parse(compose("preprocess", overrides=[*words[:3], "+data.split.names.valid=class"]))


def test_a_coco_of_crowds_keeps_its_books(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.png"} for n in range(10)]
    objects = [{"image_id": n, "category_id": 1, "bbox": [1, 1, 30, 30], "iscrowd": 1} for n in range(11)]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "x"}]}
    write(draw(tmp_path / "raw", *(f"{n}.png" for n in range(10))), "labels.json", content)
    dataset = run(tmp_path, format="coco")
    assert sum(part["boxes"] for part in dataset.splits.values()) == 10
    kept = {split: {"x": dataset.splits[split]["boxes"]} for split in ("train", "val", "test")}
    assert dataset.about["objects"] == {"found": 11, "read": {"x": 10}, "lost": {}, "rejected": 1, "kept": kept}
    assert dataset.about["repaired"] == {"crowd_flag_ignored": 10}
    assert json.loads((tmp_path / "out/dataset.json").read_text())["about"]["rejected"] == 1


@pytest.mark.parametrize("tile", [0, 64])
@pytest.mark.parametrize("packed", [False, True])
def test_images_inside_records_become_a_data_set(tmp_path: Path, tile: int, packed: bool) -> None:
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        images = [picture(len(split) * 20 + number, "PNG") for number in range(count)]
        content = b"".join(
            detection(f"{n}.png", image, [(0.1, 0.25, 0.3, 0.5)], class__text=[b"cat"])
            for n, image in enumerate(images)
        )
        path = tmp_path / "raw" / f"{split}.tfrecord"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(content) if packed else content)
    dataset = run(tmp_path, format="auto", task="auto", tile=TileConfig(size=tile))
    kept = {"train": {"cat": 6}, "val": {"cat": 2}, "test": {"cat": 2}}
    assert dataset.about["objects"] == {"found": 10, "read": {"cat": 10}, "lost": {}, "rejected": 0, "kept": kept}
    assert [dataset.photographs[split]["images"] for split in ("val", "test")] == [2, 2]
    first, second = dataset.whole_photographs("test")
    assert (first.image, second.image) == (picture(80, "PNG"), picture(81, "PNG"))
    assert first.source == "test.tfrecord/000000-0.png" and first.boxes_xyxy.tolist() == [[10, 20, 30, 40]]
