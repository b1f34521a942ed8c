from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.data.splits.stratified import into_folds, stratify
from mirada.errors import MiradaError

SHARES = {"test": 0.2, "val": 0.1}


def one_label(counts: dict[str, int]) -> dict[str, list[str]]:
    return {f"{label}{number}": [label] for label, count in counts.items() for number in range(count)}


def test_each_class_has_its_share_in_each_split() -> None:
    found = stratify(one_label({"cat": 70, "newt": 20, "owl": 10}), SHARES, seed=0)
    parts = Counter((name.rstrip("0123456789"), split) for name, split in found.items())
    assert parts == {
        ("cat", "train"): 49,
        ("cat", "test"): 14,
        ("cat", "val"): 7,
        ("newt", "train"): 14,
        ("newt", "test"): 4,
        ("newt", "val"): 2,
        ("owl", "train"): 7,
        ("owl", "test"): 2,
        ("owl", "val"): 1,
    }


def test_labels_that_come_together_are_shared_out_by_the_rarest_first() -> None:
    """20 images, 10 of them with newts, 10 with owls, 5 with both, 5 with nothing: a fifth of each is for test."""
    images = {f"{n:02}": ["newt"] * (n < 10) + ["owl", "owl"] * (5 <= n < 15) for n in range(20)}
    found = stratify(images, {"test": 0.2}, seed=3)
    test = [name for name, split in found.items() if split == "test"]
    shown = Counter(label for name in test for label in set(images[name]) or {"nothing"})
    assert shown == {"newt": 2, "owl": 2, "nothing": 1}


def test_the_only_image_of_a_class_trains_and_a_split_is_never_left_empty() -> None:
    found = stratify(one_label({"cat": 5, "newt": 1}), {"test": 0.1, "val": 0.1}, seed=0)
    assert found["newt0"] == "train"
    assert Counter(found.values()) == {"train": 4, "test": 1, "val": 1}


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
    st.integers(0, 5),
)
def test_proportions_of_classes_are_kept_within_one_image(sizes: list[int], val: float, test: float, seed: int) -> None:
    images = one_label({f"class{chr(97 + number)}-": size for number, size in enumerate(sizes)})
    shares = {"test": test, "val": val}
    found = stratify(images, shares, seed)
    assert found.keys() == images.keys()
    assert found == stratify(dict(reversed(images.items())), shares, seed)
    whole = {"train": 1 - val - test, **shares}
    filled = {
        split for split in shares if list(found.values()).count(split) == 1
    }  # perhaps with one that rounding lost
    for label, images_of in Counter(labels[0] for labels in images.values()).items():
        parts = Counter(found[name] for name, labels in images.items() if labels == [label])
        assert parts["train"] >= 1
        for split, share in whole.items():
            slack = 1 + len(filled)
            assert abs(parts[split] - share * images_of) < slack + 1e-6


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(0, 15)), min_size=12, max_size=60),
    st.integers(2, 4),
)
def test_groups_are_never_parted_and_every_image_has_one_fold(made: list[tuple[set[str], int]], count: int) -> None:
    images = {f"{number:02}": sorted(labels) for number, (labels, _) in enumerate(made)}
    keys = {f"{number:02}": f"group{group}" for number, (_, group) in enumerate(made)}
    try:
        folds = into_folds(images, count, 0, keys)
    except MiradaError as error:
        assert "data.split.kfold" in str(error)
        return
    assert folds.keys() == images.keys() and set(folds.values()) <= set(range(count))
    for group in set(keys.values()):
        assert len({folds[name] for name in images if keys[name] == group}) == 1
    splits = stratify(images, SHARES, 0, keys)
    for group in set(keys.values()):
        assert len({splits[name] for name in images if keys[name] == group}) == 1


def test_folds_hold_each_class_equally_often() -> None:
    folds = into_folds(one_label({"cat": 25, "newt": 7}), 5, seed=1)
    newts = Counter(fold for name, fold in folds.items() if name.startswith("newt"))
    assert sorted(newts.values()) == [1, 1, 1, 2, 2]
    assert sorted(Counter(folds.values()).values()) == [6, 6, 6, 7, 7]


def test_more_folds_than_images_of_a_class_are_refused() -> None:
    with pytest.raises(MiradaError, match=r"^data\.split\.kfold=5 is more than the 3 images of class 'newt'"):
        into_folds(one_label({"cat": 25, "newt": 3}), 5, seed=0)
    with pytest.raises(
        MiradaError, match=r"^data\.split\.kfold=5 is more than the 4 images to train with: lower it\.$"
    ):
        into_folds(dict.fromkeys("abcd", []), 5, seed=0)
    keys = {f"cat{number}": str(number % 3) for number in range(25)}
    with pytest.raises(MiradaError, match="is more than the 3 groups of images"):
        into_folds(one_label({"cat": 25}), 5, 0, keys)


def test_the_seed_decides_among_equals() -> None:
    images = one_label({"cat": 40})
    assert stratify(images, SHARES, 0) != stratify(images, SHARES, 1)
    assert into_folds(images, 5, 0) != into_folds(images, 5, 1)


def test_train_has_something_of_a_label_before_any_other_split() -> None:
    assert stratify(one_label({"cat": 1}), {"test": 0.45, "val": 0.45}, 0) == {"cat0": "train"}


def test_as_many_folds_as_images_are_enough_and_the_first_of_equal_classes_is_named() -> None:
    assert sorted(into_folds(one_label({"cat": 3}), 3, 0).values()) == [0, 1, 2]
    with pytest.raises(MiradaError, match="is more than the 3 images of class 'newt'"):
        into_folds(one_label({"owl": 3, "newt": 3}), 5, 0)
