from pathlib import Path
from typing import Any

import pytest

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.objects import crops, merge_copies, single_out
from mirada.data.records import Box
from mirada.data.tiles import Region


def raw(*boxes: Box, source: str = "a.jpg", split: str | None = None) -> RawImage:
    return RawImage(Path(source), source, split, 100, 80, False, boxes, ())


def localization(several: str = "reject") -> DataConfig:
    return DataConfig(task="localization", several=several)


SMALL, LARGE = Box(0, 0, 10, 10, "x"), Box(50, 10, 90, 60, "y")


def test_detection_takes_every_image() -> None:
    image = raw(SMALL, LARGE)
    assert single_out(image, DataConfig()) is image


@pytest.mark.parametrize("several", ["reject", "largest", "crop"])
def test_one_object_is_one_object(several: str) -> None:
    image = raw(SMALL)
    assert single_out(image, localization(several)) == image


def test_difficult_objects_count_only_where_there_are_no_others() -> None:
    difficult = Box(20, 20, 30, 30, "y", difficult=True)
    alone = single_out(raw(difficult), localization())
    assert isinstance(alone, RawImage) and alone.boxes == (Box(20, 20, 30, 30, "y"),)
    beside = single_out(raw(difficult, SMALL), localization())
    assert isinstance(beside, RawImage) and beside.boxes == (SMALL,)


def test_the_largest_of_several_is_kept_and_the_others_are_counted() -> None:
    found = single_out(raw(SMALL, LARGE, Box(20, 20, 30, 30, "z")), localization("largest"))
    assert isinstance(found, RawImage)
    assert found.boxes == (LARGE,) and found.repairs == ("object_dropped",) * 2


@pytest.mark.parametrize(
    ("image", "data", "reason"),
    [
        (raw(), localization(), "no_object"),
        (raw(SMALL, LARGE), localization(), "several_objects"),
        (raw(Box(0, 0, 50, 50, "x"), Box(10, 10, 60, 60, "y")), localization("crop"), "objects_overlap"),
        (raw(SMALL, LARGE), DataConfig(task="classification"), "several_labels"),
        (raw(), DataConfig(task="classification"), "no_object"),
    ],
)
def test_what_does_not_fit_the_task_is_rejected(image: RawImage, data: DataConfig, reason: str) -> None:
    found = single_out(image, data)
    assert isinstance(found, Rejected) and (found.file, found.reason) == ("a.jpg", reason) and found.advice


def test_classification_takes_the_only_label_for_all_of_the_image() -> None:
    found = single_out(raw(SMALL, Box(20, 20, 30, 30, "x")), DataConfig(task="classification"))
    assert isinstance(found, RawImage) and found.boxes == (Box(0, 0, 100, 80, "x"),)


def windows(*boxes: Box) -> list[Any]:
    return [window for _, window in crops(100, 80, boxes)]


def test_a_crop_reaches_to_the_next_object() -> None:
    """Two objects side by side: each gets the side of the image up to the other."""
    assert windows(Box(10, 20, 30, 40, "x"), Box(60, 10, 90, 70, "y")) == [Region(0, 0, 60, 80), Region(30, 0, 100, 80)]


def test_a_crop_is_the_largest_of_several_ways() -> None:
    """The other object lies to the right and below: a window ends beside it, 80 pixels high, or above it, 100 wide."""
    assert windows(Box(10, 10, 30, 30, "x"), Box(60, 45, 70, 60, "y"))[0] == Region(0, 0, 60, 80)  # 4800, not 4500
    assert windows(Box(10, 10, 30, 30, "x"), Box(60, 50, 70, 60, "y"))[0] == Region(0, 0, 100, 50)  # 5000, not 4800


def test_crops_are_whole_pixels_that_hold_their_object() -> None:
    assert windows(Box(10.2, 20.7, 30.5, 40, "x"), Box(60.6, 10, 90, 70, "y")) == [
        Region(0, 0, 60, 80),
        Region(31, 0, 100, 80),
    ]


def test_a_tenth_of_another_object_may_show() -> None:
    """The second object overlaps the first by 3 of its 30 columns, but the first is overlapped by 3 of its 20."""
    boxes = Box(10, 20, 30, 40, "x"), Box(27, 10, 57, 70, "y")
    assert list(crops(100, 80, boxes)) == [(boxes[0], Region(0, 0, 30, 80))]
    found = single_out(raw(*boxes), localization("crop"))
    assert isinstance(found, RawImage) and found.repairs == ("object_overlapped",)


def test_no_crop_shows_another_object() -> None:
    boxes = [Box(x, y, x + 9, y + 9, "x") for x in (5, 30, 70) for y in (3, 25, 60)]
    found = list(crops(100, 80, boxes))
    assert len(found) == 9
    for box, window in found:
        assert window.x1 <= box.x1 and window.y1 <= box.y1 and window.x2 >= box.x2 and window.y2 >= box.y2
        shown = [b for b in boxes if b.x1 < window.x2 and b.x2 > window.x1 and b.y1 < window.y2 and b.y2 > window.y1]
        assert shown == [box]


def labelled(source: str, label: str, split: str | None = "train") -> RawImage:
    return raw(Box(0, 0, 100, 80, label), source=source, split=split)


def test_a_folder_that_is_there_twice_counts_once() -> None:
    images = [labelled("x/x/train/a/1.jpg", "a"), labelled("x/train/a/1.jpg", "a"), labelled("x/train/a/2.jpg", "a")]
    kept, rejected = merge_copies(images, {image.source: "same" for image in images})
    assert [(image.source, image.repairs) for image in kept] == [
        ("x/train/a/1.jpg", ("copy_merged",)),
        ("x/train/a/2.jpg", ()),
    ]
    assert rejected == []


def test_copies_with_different_labels_are_left_out() -> None:
    images = [labelled("cat/1.jpg", "cat"), labelled("dog/1.jpg", "dog"), labelled("dog/2.jpg", "dog")]
    kept, rejected = merge_copies(images, {"cat/1.jpg": "s", "dog/1.jpg": "s", "dog/2.jpg": "t"})
    assert [image.source for image in kept] == ["dog/2.jpg"]
    assert [(item.file, item.reason) for item in rejected] == [
        ("cat/1.jpg", "copies_disagree"),
        ("dog/1.jpg", "copies_disagree"),
    ]
