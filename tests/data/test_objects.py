from pathlib import Path
from typing import Any

import pytest

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.objects import (
    ADVICE,
    check_labels,
    choose_classes,
    count_hidden,
    crops,
    merge_copies,
    merge_spellings,
    single_out,
    single_out_all,
)
from mirada.data.records import Box
from mirada.data.tiles import Region
from mirada.errors import MiradaError


def raw(*boxes: Box, source: str = "a.jpg", split: str | None = None) -> RawImage:
    return RawImage(Path(source), source, split, 100, 80, False, boxes, ())


def localization(several: str = "reject") -> DataConfig:
    return DataConfig(task="localization", several=several)


SMALL, LARGE = Box(0, 0, 10, 10, "x"), Box(50, 10, 90, 60, "y")


def test_detection_takes_every_image() -> None:
    image = raw(SMALL, LARGE)
    assert single_out(image, DataConfig()) is image


def test_a_flag_that_no_object_has_is_not_kept() -> None:
    hidden = [Box(0, 0, 9, 9, "x", truncated=one, occluded=False) for one in (True, False, None, True)]
    assert count_hidden([raw(*hidden[:2]), raw(*hidden[2:])], DataConfig()) == {"truncated": 2}
    assert count_hidden([raw(hidden[1])], DataConfig()) == {}
    assert count_hidden([raw(*hidden)], localization()) == {}, "nothing is told of them there"


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


def test_wanted_classes_are_kept_and_all_others_are_counted() -> None:
    images = [raw(Box(0, 0, 9, 9, "cat"), Box(0, 0, 8, 8, "Cat"), Box(0, 0, 7, 7, "newt")), raw(Box(1, 1, 5, 5, "owl"))]
    notes = ["before"]
    kept, classes, counts = choose_classes(images, DataConfig(classes=["owl", "cat"]), "raw", notes)
    assert [[(box.label, box.x2) for box in image.boxes] for image in kept] == [[("cat", 9), ("cat", 8)], [("owl", 5)]]
    assert classes == ["owl", "cat"], "in the order that was asked for"
    assert dict(counts) == {"label_not_wanted": 1, "label_merged": 1}
    assert notes == ["before", "the label 'Cat' is taken for 'cat' (data.merge_labels)"]


def test_without_wanted_classes_all_labels_are_learnt_as_they_are_written() -> None:
    images = [raw(Box(0, 0, 9, 9, "newt"), Box(0, 0, 8, 8, "Newt"), Box(0, 0, 8, 8, "cat"))]
    notes: list[str] = []
    kept, classes, counts = choose_classes(images, DataConfig(merge_labels=False), "raw", notes)
    assert (kept, classes, counts, notes) == (images, ["Newt", "cat", "newt"], {}, [])
    assert choose_classes(images, DataConfig(), "raw", notes)[1] == ["Newt", "cat"], "of equal spellings the first"


def test_images_without_one_box_are_refused() -> None:
    with pytest.raises(MiradaError) as caught:
        choose_classes([raw()], DataConfig(), "somewhere", [])
    assert str(caught.value) == "somewhere holds images but not one box: annotate objects first."


@pytest.mark.parametrize(
    ("counts", "wanted", "merged"),
    [
        ({"dog": 1, " Dog ": 3, "DOG": 2, "cat": 9}, [], {"dog": " Dog ", "DOG": " Dog "}),  # the most frequent one
        ({"dog": 3, "DOG": 1}, [], {"DOG": "dog"}),
        ({"dog": 2, "Dog": 2}, [], {"dog": "Dog"}),  # of equal ones the first of the alphabet
        ({"dog": 1, "Dog": 3}, ["DOG"], {"dog": "DOG", "Dog": "DOG"}),  # the one asked for, though nobody wrote it
        ({"dog": 1, "Dog": 3, "cat": 1, "Cat": 2}, ["dog", "Dog"], {"cat": "Cat"}),  # told apart on purpose
    ],
)
def test_labels_that_differ_in_case_or_space_are_one(counts: dict, wanted: list[str], merged: dict) -> None:
    assert merge_spellings(counts, wanted) == merged


@pytest.mark.parametrize(
    ("classes", "found", "data", "sentence"),
    [
        (
            ["False"],
            {"cat"},
            DataConfig(),
            "Class 'False' of data.classes is what YAML makes of a word such as no, off, yes or null: write it in quotes "
            '("no").',
        ),
        (
            ["cat", "-1.5"],
            {"cat"},
            DataConfig(),
            "Class '-1.5' of data.classes is no label here: of 0123 or 1e3 in a file of conf/ YAML makes another number, so "
            'write it in quotes ("0123"), or take it out.',
        ),
        (
            ["cat"],
            {"cat"},
            DataConfig(task="classification"),
            "There is one class only, 'cat', and a classifier has nothing to tell it from: add images of a second class, or "
            "correct data.path or data.classes.",
        ),
        (
            ["cat"],
            {"cat"},
            DataConfig(task="classification", format="folder"),
            "There is one class only, 'cat', and a classifier has nothing to tell it from: add images of a second class, or "
            "correct data.path or data.classes: give the folder that holds one folder for each class.",
        ),
    ],
)
def test_classes_that_make_no_sense_are_refused(
    classes: list[str], found: set, data: DataConfig, sentence: str
) -> None:
    with pytest.raises(MiradaError) as caught:
        check_labels(classes, found, data)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("label", ["True", "False", "None"])
def test_each_word_that_yaml_takes_for_another_is_refused(label: str) -> None:
    with pytest.raises(MiradaError, match=f"^Class '{label}' of data.classes is what YAML makes of a word"):
        check_labels(["cat", label], {"cat"}, DataConfig())


def test_what_looks_wrong_is_a_class_where_something_is_labelled_so() -> None:
    check_labels(["True", "None", "12", "v12", "owl"], {"True", "None", "12"}, DataConfig())
    check_labels(["12", "13"], {"12", "13"}, DataConfig(task="classification"))


def test_images_are_singled_out_and_those_that_do_not_fit_are_told_with_the_reason() -> None:
    images = [labelled("a/1.jpg", "a"), labelled("b/1.jpg", "b"), labelled("b/2.jpg", "b"), raw(source="c.jpg")]
    digests = {"a/1.jpg": "s", "b/1.jpg": "s", "b/2.jpg": "t", "c.jpg": "u"}
    kept, rejected = single_out_all(images, digests, DataConfig(task="classification"))
    assert [image.source for image in kept] == ["b/2.jpg"]
    copies = ADVICE["copies_disagree"]
    assert rejected == [
        Rejected("c.jpg", "no_object", "it shows no object of the wanted classes: annotate one or remove the image"),
        Rejected("a/1.jpg", "copies_disagree", copies),
        Rejected("b/1.jpg", "copies_disagree", copies),
    ]
    # Where an object and not a label is wanted, copies do no harm here.
    kept, rejected = single_out_all(images[:3], digests, localization())
    assert [image.source for image in kept] == ["a/1.jpg", "b/1.jpg", "b/2.jpg"] and rejected == []


def test_copies_are_one_within_a_split_and_by_the_fewest_folders() -> None:
    images = [labelled("a/b/1.jpg", "a"), labelled("z/1.jpg", "a"), labelled("test/1.jpg", "a", "test")]
    kept, rejected = merge_copies(images, {image.source: "same" for image in images})
    assert [(image.source, image.split) for image in kept] == [("test/1.jpg", "test"), ("z/1.jpg", "train")]
    assert rejected == []


def test_the_largest_object_has_the_largest_area_wherever_it_lies() -> None:
    largest, beside = Box(0, 0, 20, 20, "x"), [Box(90, 40, 95, 45, "y"), Box(40, 70, 45, 75, "y")]
    for box in beside:
        found = single_out(raw(box, largest), localization("largest"))
        assert isinstance(found, RawImage) and found.boxes == (largest,)


def test_one_object_of_a_label_is_enough_for_a_class_and_a_crop_keeps_what_is_not_difficult() -> None:
    found = single_out(raw(SMALL), DataConfig(task="classification"))
    assert isinstance(found, RawImage) and found.boxes == (Box(0, 0, 100, 80, "x"),)
    found = single_out(raw(SMALL, Box(20, 20, 30, 30, "z", difficult=True), LARGE), localization("crop"))
    assert isinstance(found, RawImage) and found.boxes == (SMALL, LARGE) and found.repairs == ()


def turned(box: Any, times: int) -> Any:
    """A box or a region in a square of 100 pixels, after so many quarter turns."""
    for _ in range(times):
        label = (box.label,) if isinstance(box, Box) else ()
        box = type(box)(100 - box.y2, box.x1, 100 - box.y1, box.x2, *label)
    return box


@pytest.mark.parametrize("times", range(4))
@pytest.mark.parametrize(
    ("box", "other", "window"),
    [
        (Box(10, 20, 30, 40, "x"), Box(27, 10, 57, 70, "y"), Region(0, 0, 30, 100)),  # 3 of 30 columns may be cut off
        (Box(40, 20, 64, 40, "x"), Box(60, 10, 80, 70, "y"), None),  # 4 of 20 may not
        (Box(10, 20, 30, 40, "x"), Box(30, 10, 57, 70, "y"), Region(0, 0, 30, 100)),  # they touch
        (Box(10, 20, 30, 60, "x"), Box(40, 55, 90, 80, "y"), Region(0, 0, 40, 100)),  # it lies beside: 5 rows in common
        (Box(10, 20, 30, 40, "x"), Box(20, 40, 60, 60, "y"), Region(0, 0, 100, 40)),  # right below
    ],
)
def test_a_crop_is_the_same_from_all_four_sides(box: Box, other: Box, window: Region | None, times: int) -> None:
    pair = turned(box, times), turned(other, times)
    found = dict(crops(100, 100, pair))
    assert found.get(pair[0]) == (turned(window, times) if window else None)


@pytest.mark.parametrize(
    ("box", "others", "window"),
    [
        # Above it to the left and below it to the right: 70 * 60 are more than 100 * 40 and 60 * 60 …
        ((40, 30, 50, 40), [(10, 0, 30, 20), (60, 60, 90, 80)], (30, 0, 100, 60)),
        # … and 100 * 50 are more than 70 * 70.
        ((40, 30, 50, 40), [(10, 0, 30, 20), (60, 70, 90, 80)], (0, 20, 100, 70)),
        # Under one as wide as the image: 100 * 40 are more than 60 * 55 and less than 85 * 55; of equal ones the wider.
        ((40, 30, 50, 40), [(20, 0, 60, 25), (60, 65, 90, 80)], (0, 25, 100, 65)),
        ((40, 30, 50, 40), [(20, 0, 60, 25), (85, 65, 95, 80)], (0, 25, 85, 80)),
        ((40, 30, 50, 40), [(20, 0, 60, 25), (60, 58, 90, 80)], (0, 25, 100, 58)),
        # Beside one at the left border: 50 * 80 are more than 90 * 40.
        ((40, 10, 50, 30), [(0, 20, 10, 60), (60, 40, 90, 80)], (10, 0, 60, 80)),
        # Shut in from all sides.
        ((50, 40, 52, 42), [(30, 30, 50, 50), (52, 30, 70, 50), (48, 20, 54, 40), (48, 42, 54, 60)], (50, 40, 52, 42)),
    ],
)
def test_no_larger_window_shows_the_object_alone(box: tuple, others: list[tuple], window: tuple) -> None:
    assert windows(Box(*box, "x"), *(Box(*other, "y") for other in others))[0] == Region(*window)
