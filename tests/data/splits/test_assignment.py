from collections import Counter

import pytest

from mirada.config import SplitConfig
from mirada.data.splits.assignment import assign
from mirada.errors import MiradaError


def images(count: int, rare: int = 0) -> dict[str, list[str]]:
    """Every image holds a cat; `rare` of them hold a newt too."""
    return {f"{number}.jpg": ["cat", "newt"] if number < rare else ["cat"] for number in range(count)}


def test_auto_follows_marks_and_carves_val_out_of_train() -> None:
    labels = images(30)
    marks: dict[str, str | None] = {name: "test" if number >= 20 else "train" for number, name in enumerate(labels)}
    split = assign(marks, labels, SplitConfig(kind="auto", val=0.1, test=0.5)).splits
    assert Counter(split.values()) == {"train": 18, "val": 2, "test": 10}
    assert all(split[name] == "test" for name, mark in marks.items() if mark == "test")


def test_an_image_outside_every_folder_gets_no_split() -> None:
    marks = {"a": "train", "b": "train", "c": "test", "d": None}
    split = assign(marks, dict.fromkeys(marks, ["x"]), SplitConfig(val=0.0)).splits
    assert split == {"a": "train", "b": "train", "c": "test", "d": None}


def test_folder_without_train_is_refused() -> None:
    with pytest.raises(MiradaError, match="data.split.kind=ratio"):
        assign({"a": None}, {"a": []}, SplitConfig(kind="folder"))


def test_images_of_one_group_are_never_parted() -> None:
    names = [f"{folder}/p{person}_{number}.jpg" for folder in "ab" for person in range(10) for number in range(3)]
    config = SplitConfig(val=0.2, test=0.3, group=r"p\d+")
    found = assign(dict.fromkeys(names), {name: ["x"] for name in names}, config).splits
    people: dict[str, set[str | None]] = {}
    for name, split in found.items():
        people.setdefault(name[2:4], set()).add(split)
    assert [len(places) for places in people.values()] == [1] * 10
    assert Counter(found.values()) == {"train": 30, "test": 18, "val": 12}


def test_a_group_must_be_a_regular_expression() -> None:
    with pytest.raises(MiradaError, match=r"^data\.split\.group=\( is no regular expression"):
        SplitConfig(group="(")
