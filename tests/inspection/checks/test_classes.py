"""Counts of classes, by hand."""

from __future__ import annotations

from mirada.inspection.checks.classes import count_table, find_missing, find_rare, find_without_objects
from mirada.inspection.survey import Survey
from tests.inspection.surveys import box, image, survey


def cats_and_dogs(cats: int, dogs: int, empty: int = 0) -> Survey:
    """An image an animal, all for training but one of the cats."""
    labels = ["cat"] * cats + ["dog"] * dogs
    images = [image(f"{n}.jpg", box(0, 0, 50, 50, label)) for n, label in enumerate(labels)]
    images += [image(f"empty{n}.jpg") for n in range(empty)]
    return survey(*images, splits={one.source: "train" for one in images} | {"0.jpg": "test"})


def test_a_class_that_is_absent_from_the_test() -> None:
    [finding] = find_missing(cats_and_dogs(5, 5))
    assert (finding.id, finding.severity, finding.count) == ("class_missing.test", "warning", 1)
    assert finding.sentence == "1 class without an object in test: dog."


def test_rare_and_outnumbered_classes() -> None:
    rare, hard, unequal = find_rare(cats_and_dogs(291, 29))  # 290 to 29 in train, one cat in test
    assert rare.sentence == "1 class with fewer than 30 in train: dog (29)."
    assert rare.examples[0].source == "291.jpg" and len(rare.examples) == 29
    assert hard.sentence == "1 class with fewer than 10 in test, too few to judge by: cat (1)."
    assert unequal.sentence == "'cat' is 10 times as frequent in train as 'dog' (290 to 29)."
    assert [finding.id for finding in find_rare(cats_and_dogs(290, 30))] == ["class_hard_to_judge"]


def test_images_without_objects() -> None:
    [some] = find_without_objects(cats_and_dogs(3, 2, empty=1))
    assert (some.count, some.severity) == (1, "note") and some.examples[0].source == "empty0.jpg"
    [most] = find_without_objects(cats_and_dogs(1, 1, empty=3))
    assert most.severity == "warning"
    assert find_without_objects(cats_and_dogs(1, 1)) == []


def test_the_table_counts_by_split() -> None:
    assert count_table(cats_and_dogs(3, 4, empty=1)) == (
        ("", "train", "test", "all"),
        ("images", "7", "1", "8"),
        ("dog", "4", "0", "4"),
        ("cat", "2", "1", "3"),
    )
