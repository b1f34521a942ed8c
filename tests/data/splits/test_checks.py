import pytest

from mirada.config import SplitConfig
from mirada.data.annotations import Rejected
from mirada.data.splits.assignment import Assignment
from mirada.data.splits.checks import check_classes, check_judged, check_sizes, leaks, list_left_out
from mirada.errors import MiradaError


def test_a_copy_leaves_the_side_that_decides_less() -> None:
    digests = {"a": "1", "b": "1", "c": "2", "d": "2", "e": "3", "f": "3", "g": "3"}
    split = {"a": "train", "b": "test", "c": "val", "d": "train", "e": "train", "f": "train", "g": None}
    assert leaks(digests, split) == {"a": "b", "d": "c"}


def test_classes_that_cannot_be_learnt_are_named() -> None:
    check_classes(["cat"], {"train": {"cat": 1}, "test": {}})
    with pytest.raises(MiradaError, match="^Class 'newt' is in test but not in train"):
        check_classes(["cat", "newt"], {"train": {"cat": 1}, "val": {}, "test": {"newt": 1}})
    with pytest.raises(MiradaError, match="^Class 'newt' is empty"):
        check_classes(["newt"], {"train": {}, "test": {}})


def test_a_split_that_was_asked_for_and_is_empty_is_named() -> None:
    with pytest.raises(MiradaError, match=r"data\.split\.val=0\.1 gives no image to val"):
        check_sizes({"train": 3, "test": 1}, SplitConfig(val=0.1, test=0.2))
    with pytest.raises(MiradaError, match="No image is left for train"):
        check_sizes({"test": 1}, SplitConfig())
    check_sizes({"train": 3}, SplitConfig(val=0.0, test=0.0))


def test_a_split_to_judge_by_must_show_something() -> None:
    def stored(**per_class: int) -> dict[str, dict[str, object]]:
        empty = {"images": 0, "per_class": {}}
        return {"train": empty, "val": empty, "test": {"images": 2, "per_class": per_class}}

    assert check_judged(["a", "b"], stored(a=1, b=2)) == []
    assert check_judged(["a", "b"], stored(a=1, b=0)) == [
        "test shows nothing of b: its figures don't tell how these are found"
    ]
    assert check_judged(["a", "b", "c", "d", "e"], stored(c=1))[0].startswith(
        "test shows nothing of a, b, d and 1 more"
    )
    with pytest.raises(MiradaError, match="^The 2 images of test show no object of the classes"):
        check_judged(["a"], stored(a=0))


def test_what_takes_no_part_is_told_with_the_reason_and_what_to_do() -> None:
    splits = {"a": "train", "b": None, "c": "val", "d": "train", "e": "test"}
    found = list_left_out(Assignment(splits, apart={"d": "e"}), {"c": "e"})
    assert found == [
        Rejected(
            "b",
            "in_no_split",
            "other images lie below train/, val/ or test/: move it there, or use data.split.kind=ratio",
        ),
        Rejected("c", "copy_in_val", "its bytes are those of e in test: remove one of them"),
        Rejected("d", "alike_in_train", "it is alike to e in test: remove one of them, or unset data.split.group"),
    ]


def test_the_sentences_of_classes_and_sizes_say_what_to_do() -> None:
    with pytest.raises(MiradaError) as caught:
        check_classes(["newt"], {"train": {}, "val": {"newt": 1}, "test": {"newt": 2, "cat": 1}})
    assert str(caught.value) == (
        "Class 'newt' is in val and test but not in train: add training images of it, change data.split, or rename it with "
        "data.rename."
    )
    with pytest.raises(MiradaError) as caught:
        check_classes(["newt"], {"train": {}, "test": {}})
    assert str(caught.value) == (
        "Class 'newt' is empty, nothing that counts carries this label: add images of it, take it out of data.classes, or "
        "rename it with data.rename."
    )
    with pytest.raises(MiradaError) as caught:
        check_sizes({}, SplitConfig())
    assert str(caught.value) == "No image is left for train: lower data.split.val and data.split.test or add images."
    with pytest.raises(MiradaError) as caught:
        check_sizes({"train": 3, "val": 1}, SplitConfig(val=0.1, test=0.2))
    assert str(caught.value) == "data.split.test=0.2 gives no image to test: raise it, add images, or set it to 0."
    check_sizes({"train": 3, "val": 1, "test": 1}, SplitConfig(val=0.1, test=0.2))


def test_up_to_three_classes_that_a_split_does_not_show_are_named() -> None:
    nothing: dict[str, object] = {"images": 0, "per_class": {}}
    stored = {"val": {"images": 2, "per_class": {"d": 1}}, "test": nothing}
    assert check_judged(["a", "b", "c", "d"], stored) == [
        "val shows nothing of a, b, c: its figures don't tell how these are found"
    ]
