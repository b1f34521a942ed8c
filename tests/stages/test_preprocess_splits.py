"""What preprocess makes of alike images and of folds."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TableConfig
from mirada.data.records import SPLITS, load_dataset
from mirada.errors import MiradaError
from mirada.stages import preprocess
from tests.data.alike.photographs import photograph


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two classes of ten photographs in train and four in test; train has a flipped one and a crop of test's."""
    for number in range(28):
        split, label = "train" if number < 20 else "test", ("cat", "dog")[number % 2]
        path = tmp_path / "raw" / split / label / f"{chr(97 + number % 26)}{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number, (160, 160)).save(path)
    train = tmp_path / "raw" / "train"
    photograph(20, (160, 160)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(train / "cat" / "flipped.png")
    photograph(21, (160, 160)).crop((8, 8, 152, 152)).save(train / "dog" / "cropped.png")
    return tmp_path / "raw"


def run(raw: Path, name: str, **split: Any) -> dict[str, Any]:
    data = DataConfig(name="pets", task="classification", format="folder", split=SplitConfig(**split))
    out = raw.parent / name
    preprocess.run(PreprocessConfig(data=data, raw_dir=str(raw), output_dir=str(out), workers=1, input_size=64))
    return json.loads((out / "dataset.json").read_text())


def sizes(dataset: dict[str, Any]) -> dict[str, int]:
    return {split: counts["images"] for split, counts in dataset["splits"].items()}


def test_images_alike_to_those_of_test_do_not_train(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = run(raw, "auto", group="auto")
    assert sizes(dataset) == {"train": 18, "val": 2, "test": 8}
    cropped = {"split": "train", "alike_to": "test/dog/v21.png", "why": "crop"}
    flipped = {"split": "train", "alike_to": "test/cat/u20.png", "why": "turned"}
    assert dataset["about"]["split"] == {
        "held_apart": {"train/cat/flipped.png": flipped, "train/dog/cropped.png": cropped},
        "held_apart_counts": {"crop": 1, "turned": 1},
        "alike": {"groups": 2, "images": 4, "ties": {"crop": 1, "turned": 1}},
    }
    with (raw.parent / "auto" / "rejected.csv").open(newline="") as file:
        rows = [row[:2] for row in csv.reader(file)][1:]
    assert rows == [["train/cat/flipped.png", "alike_in_train"], ["train/dog/cropped.png", "alike_in_train"]]
    line = (
        "4 images are alike, in 2 groups that are not parted (1 crop, 1 turned); "
        "2 of train held apart, being alike to images of another split (1 crop, 1 turned): see rejected.csv"
    )
    assert line in capsys.readouterr().out.splitlines()


def test_without_the_key_nothing_is_held_apart_and_nothing_more_is_said(raw: Path) -> None:
    dataset = run(raw, "plain")
    assert sizes(dataset) == {"train": 20, "val": 2, "test": 8}
    assert "split" not in dataset["about"]
    assert not {"kfold", "fold"} & dataset["about"]["settings"]["split"].keys()


def test_each_fold_is_val_in_its_turn_and_test_stays(raw: Path) -> None:
    runs = [run(raw, f"fold{fold}", kfold=3, fold=fold) for fold in range(3)]
    assert {sizes(dataset)["test"] for dataset in runs} == {8}
    assert sorted(sizes(dataset)["val"] for dataset in runs) == [7, 7, 8]
    folds = [dataset["about"]["split"]["folds"] for dataset in runs]
    assert len(folds[0]) == 22 and folds[0] == folds[1] == folds[2]
    assert len({dataset["digest"] for dataset in runs}) == 3
    assert len({dataset["splits"]["test"]["shards"][0]["sha256"] for dataset in runs}) == 1
    assert runs[1]["about"]["settings"]["split"]["fold"] == 1


def test_more_folds_than_a_class_has_images_are_refused_with_the_class(raw: Path) -> None:
    with pytest.raises(MiradaError, match=r"^data\.split\.kfold=12 is more than the 11 images of class 'cat'"):
        run(raw, "many", kfold=12)
    assert not (raw.parent / "many").exists()


def test_a_column_of_the_table_says_what_stays_together(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rows = []
    for number in range(24):
        photograph(number, (64, 64)).save(tmp_path / "raw" / f"{number}.png")
        rows.append(f"{number}.png {'sick' if number % 2 else 'well'} patient{number // 4}")
    (tmp_path / "raw" / "labels.txt").write_text("\n".join([*rows, "0.png well"]))
    split = SplitConfig(val=0.2, test=0.4)
    table = TableConfig(file="labels.txt", group_column=2)
    data = DataConfig(name="pets", task="classification", format="table", table=table, split=split)
    preprocess.run(
        PreprocessConfig(data=data, raw_dir=str(tmp_path / "raw"), output_dir=str(tmp_path / "out"), workers=1)
    )
    dataset = load_dataset(tmp_path / "out")
    of_patient = {int(one.source.split(".")[0]) // 4: name for name in SPLITS for one in dataset.examples(name)}
    for name in SPLITS:
        assert {of_patient[int(one.source.split(".")[0]) // 4] for one in dataset.examples(name)} == {name}
    assert sizes(vars(dataset)) == {"train": 12, "val": 4, "test": 8}
    assert (tmp_path / "out" / "rejected.csv").read_text().count("row_too_short") == 1
    with pytest.raises(MiradaError, match=r"^data\.split\.group=auto and data\.table\.group_column=2 both say"):
        DataConfig(task="classification", format="table", table=table, split=SplitConfig(group="auto"))
