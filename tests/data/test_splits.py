from collections import Counter

import numpy as np
import pytest

from mirada.config import SplitConfig
from mirada.data import splits
from mirada.data.records import Box
from mirada.data.tiles import Region, boxes_in, grid
from mirada.errors import MiradaError


def images(count: int, rare: int = 0) -> dict[str, list[str]]:
    """Every image holds a cat; `rare` of them hold a newt too."""
    return {f"{number}.jpg": ["cat", "newt"] if number < rare else ["cat"] for number in range(count)}


def test_ratio_gives_each_split_its_share_of_every_label() -> None:
    labels = images(100, rare=20)
    split = splits.by_ratio(labels, {"test": 0.2, "val": 0.1}, seed=0)
    assert Counter(split.values()) == {"train": 70, "test": 20, "val": 10}
    newts = Counter(split[name] for name, found in labels.items() if "newt" in found)
    assert newts == {"train": 14, "test": 4, "val": 2}


def test_ratio_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = images(40)
    first = splits.by_ratio(labels, {"test": 0.25}, seed=1)
    assert first == splits.by_ratio(dict(reversed(labels.items())), {"test": 0.25}, seed=1)
    assert first != splits.by_ratio(labels, {"test": 0.25}, seed=2)


def test_the_only_image_of_a_label_trains() -> None:
    for seed in range(20):
        split = splits.by_ratio(images(10, rare=1), {"test": 0.4, "val": 0.2}, seed=seed)
        assert split["0.jpg"] == "train"


def test_a_small_set_gets_one_image_for_each_split() -> None:
    assert Counter(splits.by_ratio(images(4), {"test": 0.1, "val": 0.1}, 0).values()) == {
        "train": 2,
        "test": 1,
        "val": 1,
    }


def test_auto_follows_marks_and_carves_val_out_of_train() -> None:
    labels = images(30)
    marks: dict[str, str | None] = {name: "test" if number >= 20 else "train" for number, name in enumerate(labels)}
    split = splits.assign(marks, labels, SplitConfig(kind="auto", val=0.1, test=0.5))
    assert Counter(split.values()) == {"train": 18, "val": 2, "test": 10}
    assert all(split[name] == "test" for name, mark in marks.items() if mark == "test")


def test_an_image_outside_every_folder_gets_no_split() -> None:
    marks = {"a": "train", "b": "train", "c": "test", "d": None}
    split = splits.assign(marks, dict.fromkeys(marks, ["x"]), SplitConfig(val=0.0))
    assert split == {"a": "train", "b": "train", "c": "test", "d": None}


def test_folder_without_train_is_refused() -> None:
    with pytest.raises(MiradaError, match="data.split.kind=ratio"):
        splits.assign({"a": None}, {"a": []}, SplitConfig(kind="folder"))


def test_area_puts_no_pixel_on_two_sides() -> None:
    config = SplitConfig(kind="area", val=0.1, test=0.3)
    owners = np.zeros((120, 1000), int)
    regions = splits.by_area(1000, 120, config, tile_size=100)
    assert regions == {
        "train": Region(0, 0, 600, 120),
        "val": Region(600, 0, 700, 120),
        "test": Region(700, 0, 1000, 120),
    }
    for number, (split, region) in enumerate(regions.items()):
        for tile in grid(region, 100, 0.25 if split == "train" else None):
            owners[tile.y1 : tile.y2, tile.x1 : tile.x2] |= 1 << number
    assert set(np.unique(owners)) == {1, 2, 4}  # each pixel in exactly one split, none left out


def test_area_gives_train_a_strip_narrower_than_half_a_tile() -> None:
    config = SplitConfig(kind="area", val=0.1, test=0.3)
    regions = splits.by_area(400, 400, config, tile_size=208)
    assert regions == {"train": Region(0, 0, 280, 400), "test": Region(280, 0, 400, 400)}


def test_train_tiles_overlap_and_the_last_one_ends_at_the_border() -> None:
    tiles = grid(Region(10, 0, 310, 50), 100, 0.25)
    assert [(tile.x1, tile.x2) for tile in tiles] == [(10, 110), (85, 185), (160, 260), (210, 310)]
    assert {(tile.y1, tile.y2) for tile in tiles} == {(0, 50)}


def test_judged_tiles_cover_each_pixel_once() -> None:
    seen = np.zeros((250, 330), int)
    for tile in grid(Region(0, 0, 330, 250), 100, None):
        assert tile.width <= 100 and tile.height <= 100
        seen[tile.y1 : tile.y2, tile.x1 : tile.x2] += 1
    assert (seen == 1).all()


def test_boxes_are_clipped_and_little_visible_ones_ignored() -> None:
    boxes = [
        Box(90, 0, 110, 10, "half"),
        Box(95, 0, 125, 10, "sixth"),
        Box(0, 0, 5, 5, "hard", difficult=True),
        Box(100, 0, 120, 10, "out"),
    ]
    found, labels, ignore = boxes_in(Region(0, 0, 100, 100), boxes, 0.4)
    assert labels == ["half", "sixth", "hard"]
    assert found.tolist() == [[90, 0, 100, 10], [95, 0, 100, 10], [0, 0, 5, 5]]
    assert ignore.tolist() == [False, True, True]
    nothing = boxes_in(Region(0, 0, 9, 9), [], 0.4)
    assert nothing[0].shape == (0, 4) and nothing[2].shape == (0,)


def test_a_copy_leaves_the_side_that_decides_less() -> None:
    digests = {"a": "1", "b": "1", "c": "2", "d": "2", "e": "3", "f": "3", "g": "3"}
    split = {"a": "train", "b": "test", "c": "val", "d": "train", "e": "train", "f": "train", "g": None}
    assert splits.leaks(digests, split) == {"a": "b", "d": "c"}


def test_classes_that_cannot_be_learnt_are_named() -> None:
    splits.check_classes(["cat"], {"train": {"cat": 1}, "test": {}})
    with pytest.raises(MiradaError, match="^Class 'newt' is in test but not in train"):
        splits.check_classes(["cat", "newt"], {"train": {"cat": 1}, "val": {}, "test": {"newt": 1}})
    with pytest.raises(MiradaError, match="^Class 'newt' is empty"):
        splits.check_classes(["newt"], {"train": {}, "test": {}})


def test_a_split_that_was_asked_for_and_is_empty_is_named() -> None:
    with pytest.raises(MiradaError, match=r"data\.split\.val=0\.1 gives no image to val"):
        splits.check_sizes({"train": 3, "test": 1}, SplitConfig(val=0.1, test=0.2))
    with pytest.raises(MiradaError, match="No image is left for train"):
        splits.check_sizes({"test": 1}, SplitConfig())
    splits.check_sizes({"train": 3}, SplitConfig(val=0.0, test=0.0))


def test_images_of_one_group_are_never_parted() -> None:
    names = [f"{folder}/p{person}_{number}.jpg" for folder in "ab" for person in range(10) for number in range(3)]
    config = SplitConfig(val=0.2, test=0.3, group=r"p\d+")
    found = splits.assign(dict.fromkeys(names), {name: ["x"] for name in names}, config)
    people: dict[str, set[str | None]] = {}
    for name, split in found.items():
        people.setdefault(name[2:4], set()).add(split)
    assert [len(places) for places in people.values()] == [1] * 10
    assert Counter(found.values()) == {"train": 30, "test": 18, "val": 12}


def test_a_group_must_be_a_regular_expression() -> None:
    with pytest.raises(MiradaError, match=r"^data\.split\.group=\( is no regular expression"):
        SplitConfig(group="(")


def test_a_split_to_judge_by_must_show_something() -> None:
    def stored(**per_class: int) -> dict[str, dict[str, object]]:
        empty = {"images": 0, "per_class": {}}
        return {"train": empty, "val": empty, "test": {"images": 2, "per_class": per_class}}

    assert splits.check_judged(["a", "b"], stored(a=1, b=2)) == []
    assert splits.check_judged(["a", "b"], stored(a=1, b=0)) == [
        "test shows nothing of b: its figures don't tell how these are found"
    ]
    assert splits.check_judged(["a", "b", "c", "d", "e"], stored(c=1))[0].startswith(
        "test shows nothing of a, b, d and 1 more"
    )
    with pytest.raises(MiradaError, match="^The 2 images of test show no object of the classes"):
        splits.check_judged(["a"], stored(a=0))
