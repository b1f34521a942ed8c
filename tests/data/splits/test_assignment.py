from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.config import SplitConfig
from mirada.data.alike.groups import Group
from mirada.data.annotations import RawImage
from mirada.data.records import Box
from mirada.data.splits.assignment import assign, assign_images
from mirada.data.splits.shares import by_ratio
from mirada.data.splits.stratified import into_folds, stratify
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


def test_a_pattern_may_name_the_part_that_tells_the_group() -> None:
    names = [f"site{site}_day{day}.jpg" for site in range(12) for day in range(5)]
    config = SplitConfig(val=0.0, test=0.3, group=r"site\d+_(?P<group>day\d)")
    found = assign(dict.fromkeys(names), dict.fromkeys(names, ["x"]), config).splits
    days = {name[-8:]: found[name] for name in names}
    assert all(split == days[name[-8:]] for name, split in found.items())
    assert Counter(days.values()) == {"train": 3, "test": 2}


def test_a_pattern_that_is_found_nowhere_is_refused() -> None:
    with pytest.raises(MiradaError) as caught:
        assign({"patient/1.jpg": None}, {"patient/1.jpg": ["x"]}, SplitConfig(group="patient"))
    assert str(caught.value) == (
        "data.split.group=patient is found in no image's name, such as 'patient/1.jpg': correct it, or say auto to keep "
        "alike images together."
    )


def test_stratified_and_group_leave_a_given_test_set_as_it_is() -> None:
    labels = images(40)
    marks: dict[str, str | None] = {name: "test" if number >= 30 else "train" for number, name in enumerate(labels)}
    for kind in ("auto", "group", "stratified"):
        found = assign(marks, labels, SplitConfig(kind=kind, val=0.1, test=0.5)).splits
        assert {name for name, split in found.items() if split == "test"} == {f"{n}.jpg" for n in range(30, 40)}
        assert Counter(found.values()) == {"train": 27, "val": 3, "test": 10}


def test_images_alike_to_one_of_test_are_held_apart() -> None:
    marks: dict[str, str | None] = {
        "a": "train",
        "b": "train",
        "c": "val",
        "d": "test",
        "e": "test",
        "f": "train",
        "g": None,
    }
    alike = {"a": "1", "c": "1", "d": "1", "e": "1", "b": "2", "f": "2", "g": "2"}
    found = assign(marks, dict.fromkeys(marks, ["x"]), SplitConfig(group="auto"), alike)
    assert found.splits == marks
    assert found.apart == {"a": "d", "c": "d"}
    pattern = SplitConfig(group="[acde]")  # parts nothing, but takes nothing out of what folders say, either
    assert assign(marks, dict.fromkeys(marks, ["x"]), pattern).apart == {}


def test_alike_images_are_in_one_split_where_nothing_is_given() -> None:
    labels = images(60)
    alike = {f"{number}.jpg": f"group{number // 3}" for number in range(30)}
    for kind in ("auto", "ratio", "group", "stratified"):
        found = assign(dict.fromkeys(labels), labels, SplitConfig(kind=kind, group="auto", test=0.3), alike)
        assert found.apart == {}
        assert all(len({found.splits[f"{3 * at + n}.jpg"] for n in range(3)}) == 1 for at in range(10))


def test_a_fold_is_val_and_test_is_the_same_in_all_of_them() -> None:
    labels = images(50, rare=10)
    runs = [assign(dict.fromkeys(labels), labels, SplitConfig(kfold=5, fold=fold, test=0.2)) for fold in range(5)]
    tests = [{name for name, split in run.splits.items() if split == "test"} for run in runs]
    vals = [{name for name, split in run.splits.items() if split == "val"} for run in runs]
    assert len(tests[0]) == 10 and all(test == tests[0] for test in tests)
    assert [len(val) for val in vals] == [8] * 5
    assert set.union(*vals) | tests[0] == labels.keys()
    for fold, (run, val) in enumerate(zip(runs, vals, strict=True)):
        assert run.folds == runs[0].folds
        assert val == {name for name, number in run.folds.items() if number == fold}


def test_folds_take_a_given_val_in_and_what_is_held_apart_out() -> None:
    labels = images(20)
    marks: dict[str, str | None] = dict.fromkeys(labels, "train")
    marks |= {"0.jpg": "val", "1.jpg": "val", "2.jpg": "test"}
    found = assign(marks, labels, SplitConfig(kfold=2, group="auto"), {"2.jpg": "x", "3.jpg": "x"})
    assert found.folds.keys() == labels.keys() - {"2.jpg", "3.jpg"}
    assert found.apart == {"3.jpg": "2.jpg"} and found.splits["2.jpg"] == "test"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([None, "train", "val", "test"]), min_size=6, max_size=40),
    st.sampled_from(["auto", "ratio", "group", "stratified"]),
    st.lists(st.integers(0, 5), min_size=40, max_size=40),
    st.integers(0, 3),
)
def test_no_group_is_in_two_splits_and_the_seed_decides(
    given_marks: list[str | None], kind: str, groups: list[int], seed: int
) -> None:
    marks = {f"{number:02}": mark for number, mark in enumerate(["train", *given_marks])}
    labels = {name: ["x"] for name in marks}
    alike = {name: f"group{groups[number]}" for number, name in enumerate(list(marks)[:20])}
    config = SplitConfig(kind=kind, group="auto", seed=seed)
    try:
        found = assign(marks, labels, config, alike)
    except MiradaError as error:
        assert "leaves nothing to train with" in str(error)
        assert all(name in alike for name, mark in marks.items() if mark == "train")
        return
    assert found == assign(dict(reversed(marks.items())), labels, config, alike)
    assert found.splits.keys() == marks.keys()
    places: dict[str, set[str]] = {}
    for name, split in found.splits.items():
        if split and name not in found.apart:
            places.setdefault(alike.get(name, name), set()).add(split)
    assert all(len(splits) == 1 for splits in places.values())
    if kind != "ratio":
        assert all(found.splits[name] == "test" for name, mark in marks.items() if mark == "test")
        assert not any(name in found.apart for name, mark in marks.items() if mark == "test")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kfold": 1}, r"data\.split\.kfold must be 0 or 2 to 100, got 1\."),
        ({"kfold": 5, "fold": 5}, r"data\.split\.fold must be between 0 and 4, got 5\."),
        ({"fold": 2}, r"data\.split\.fold=2 needs folds: add data\.split\.kfold=5\."),
        ({"kind": "area", "kfold": 5}, r"data\.split\.kfold=5 .* use data\.split\.kind=ratio\."),
        ({"kind": "area", "group": "auto"}, r"data\.split\.group=auto .* use data\.split\.kind=ratio\."),
        ({"kind": "folds"}, r"data\.split\.kind must be one of .*stratified"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(MiradaError, match=f"^{message}"):
        SplitConfig(**keys)  # type: ignore[arg-type]


def test_a_train_split_that_is_all_alike_to_test_is_refused() -> None:
    marks = {"a_1": "train", "a_2": "test"}
    with pytest.raises(MiradaError) as caught:
        assign(marks, dict.fromkeys(marks, ["x"]), SplitConfig(val=0.0, group="auto"), dict.fromkeys(marks, "a"))
    assert str(caught.value) == (
        "data.split.group=auto leaves nothing to train with, every image of train is alike to one of val or test: use "
        "data.split.kind=ratio, which parts them anew, or unset data.split.group."
    )


def test_images_bring_their_marks_labels_and_groups() -> None:
    """Of alike images the first names their group, but what the annotations say comes before it."""

    def image(source: str, split: str, group: str = "") -> RawImage:
        boxes = (Box(0, 0, 5, 5, "x"),)
        return RawImage(Path(source), source, split, 10, 10, False, boxes, (), group=group)

    images = [image("a", "train"), image("b", "test"), image("c", "train", "patient"), image("d", "test", "patient")]
    images += [image("e", "train", "other"), image("f", "train")]
    alike = [Group(("a", "b"), ()), Group(("e", "f"), ())]
    found = assign_images(images, SplitConfig(val=0.0, group="auto"), alike)
    assert found.splits == {"a": "train", "b": "test", "c": "train", "d": "test", "e": "train", "f": "train"}
    assert found.apart == {"a": "b", "c": "d"}
    shared = assign_images(images, SplitConfig(kind="stratified", val=0.0, test=0.5, kfold=0), [])
    assert shared.splits["b"] == shared.splits["d"] == "test" and shared.apart == {}


def test_a_list_without_marks_is_refused_and_a_ratio_asks_for_none() -> None:
    labels = images(20)
    for kind in ("folder", "list"):
        with pytest.raises(MiradaError) as caught:
            assign(dict.fromkeys(labels), labels, SplitConfig(kind=kind))
        assert str(caught.value) == (
            "data.split.kind=folder or list needs images marked as train, by a folder train/ or a list "
            "ImageSets/Main/train.txt, and there are none: use data.split.kind=ratio."
        )
    marked = assign(dict.fromkeys(labels, "train"), labels, SplitConfig(kind="ratio", val=0.1, test=0.2))
    assert Counter(marked.splits.values()) == {"train": 14, "test": 4, "val": 2}


@pytest.mark.parametrize("seed", [0, 5])
def test_each_kind_shares_out_by_its_own_way_and_seed(seed: int) -> None:
    labels, shares = images(30, rare=7), {"test": 0.2, "val": 0.1}
    keys = {name: name if number > 8 else f"group{number % 3}" for number, name in enumerate(labels)}
    free = dict.fromkeys(labels)
    ratio = assign(free, labels, SplitConfig(kind="ratio", seed=seed, group="auto"), keys).splits
    groups: dict[str, list[str]] = {}
    for name in sorted(labels):
        groups.setdefault(keys[name], []).extend(labels[name])
    parted = by_ratio(groups, shares, seed)
    assert ratio == {name: parted[keys[name]] for name in labels}
    even = assign(free, labels, SplitConfig(kind="stratified", seed=seed, group="auto"), keys).splits
    assert even == stratify(labels, shares, seed, keys) and even != ratio
    found = assign(free, labels, SplitConfig(kfold=3, fold=1, test=0.0, seed=seed, group="auto"), keys)
    assert found.folds == into_folds(labels, 3, seed, keys)
