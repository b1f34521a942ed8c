from collections import Counter

import pytest

from mirada.data.splits.shares import by_ratio, order_key


def images(count: int, rare: int = 0) -> dict[str, list[str]]:
    """Every image holds a cat; `rare` of them hold a newt too."""
    return {f"{number}.jpg": ["cat", "newt"] if number < rare else ["cat"] for number in range(count)}


def test_ratio_gives_each_split_its_share_of_every_label() -> None:
    labels = images(100, rare=20)
    split = by_ratio(labels, {"test": 0.2, "val": 0.1}, seed=0)
    assert Counter(split.values()) == {"train": 70, "test": 20, "val": 10}
    newts = Counter(split[name] for name, found in labels.items() if "newt" in found)
    assert newts == {"train": 14, "test": 4, "val": 2}


def test_ratio_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = images(40)
    first = by_ratio(labels, {"test": 0.25}, seed=1)
    assert first == by_ratio(dict(reversed(labels.items())), {"test": 0.25}, seed=1)
    assert first != by_ratio(labels, {"test": 0.25}, seed=2)


def test_the_only_image_of_a_label_trains() -> None:
    for seed in range(20):
        split = by_ratio(images(10, rare=1), {"test": 0.4, "val": 0.2}, seed=seed)
        assert split["0.jpg"] == "train"


def test_a_small_set_gets_one_image_for_each_split() -> None:
    assert Counter(by_ratio(images(4), {"test": 0.1, "val": 0.1}, 0).values()) == {
        "train": 2,
        "test": 1,
        "val": 1,
    }


def test_what_rounding_leaves_of_one_label_is_given_with_the_next() -> None:
    """A quarter of two images is half a one, which is rounded up: the first and the third label give one each."""
    split = by_ratio({f"{label}{number}": [label] for label in "abc" for number in range(2)}, {"test": 0.25}, 0)
    assert sorted(name[0] for name, part in split.items() if part == "test") == ["a", "c"]
    # The rarest label comes first, whatever its name.
    split = by_ratio({name: [name[0]] for name in ("a0", "a1", "a2", "b0", "b1")}, {"test": 0.25}, 0)
    assert [name[0] for name, part in split.items() if part == "test"] == ["b"]


def test_each_label_leaves_an_image_to_train_with_and_no_more() -> None:
    single = {label: [label] for label in "abcd"}
    assert Counter(by_ratio(single, {"test": 0.5}, 0).values()) == {"train": 4}
    pairs = {f"{label}{number}": [label] for label in "ab" for number in range(2)}
    assert Counter(by_ratio(pairs, {"test": 0.5}, 0).values()) == {"train": 2, "test": 2}


@pytest.mark.parametrize("seed", range(4))
def test_a_split_left_empty_gets_the_first_of_the_shuffle_also_of_images_that_show_nothing(seed: int) -> None:
    for labels in ([], ["cat"]):
        names = {f"{number}.jpg": labels for number in range(4)}
        split = by_ratio(names, {"test": 0.1}, seed)
        first = min(names, key=lambda name: order_key(seed, name))
        assert [name for name, part in split.items() if part == "test"] == [first]


def test_no_image_is_in_no_split() -> None:
    assert by_ratio({}, {"test": 0.2, "val": 0.1}, 0) == {}
