from collections import Counter

from mirada.data.splits.shares import by_ratio


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
