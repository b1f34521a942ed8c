"""Pascal VOC as tools and people leave it; single oddities of boxes and images are in `test_annotations.py`."""

import math
import unicodedata
from pathlib import Path

import pytest

from tests.data.formats.drawing import Reading, draw, write

CAT = "<object><name>cat</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
CAT_BOX = (10, 20, 30, 40, "cat")


def xml(*objects: str) -> str:
    return f"<annotation><size><width>100</width><height>80</height></size>{''.join(objects)}</annotation>"


def robndbox(angle: float) -> str:
    return (
        "<object><type>robndbox</type><name>ship</name><robndbox><cx>50</cx><cy>40</cy><w>20</w><h>10</h>"
        f"<angle>{angle}</angle></robndbox></object>"
    )


def test_turned_boxes_of_rolabelimg(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(robndbox(math.pi / 2), robndbox(0.5), CAT, robndbox(math.nan)))
    found = Reading(tmp_path, "voc")
    # (20 cos 0.5 + 10 sin 0.5) / 2 = 11.17, (20 sin 0.5 + 10 cos 0.5) / 2 = 9.18
    assert found.boxes("a.jpg") == [(45, 30, 55, 50, "ship"), (38.83, 30.82, 61.17, 49.18, "ship"), CAT_BOX]
    assert found.repairs("a.jpg") == ["box_unreadable", "rotated_box_enclosed", "rotated_box_enclosed"]


def test_truncated_and_occluded_objects(tmp_path: Path) -> None:
    flags = "<truncated>1</truncated><occluded> false</occluded>", "<truncated>Unspecified</truncated>", ""
    objects = [CAT.replace("<bnd", f"{said}<bnd").replace(">10<", f">{at}<") for at, said in enumerate(flags)]
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(*objects))
    assert Reading(tmp_path, "voc").hidden("a.jpg") == [(True, False), (None, None), (None, None)]


def test_several_boxes_of_one_object(tmp_path: Path) -> None:
    second = "<bndbox><xmin>50</xmin><ymin>50</ymin><xmax>60</xmax><ymax>60</ymax></bndbox></object>"
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(CAT.replace("</object>", second)))
    found = Reading(tmp_path, "voc")
    assert found.boxes("a.jpg") == [CAT_BOX, (50, 50, 60, 60, "cat")]
    assert found.repairs("a.jpg") == ["object_of_several_boxes"]


def test_a_polygon_without_a_box(tmp_path: Path) -> None:
    polygon = "<polygon><x1>5</x1><y1>6</y1><x2>25</x2><y2>7</y2><x3>9</x3><y3>30</y3></polygon>"
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(f"<object><name>cat</name>{polygon}</object>"))
    found = Reading(tmp_path, "voc")
    assert found.boxes("a.jpg") == [(5, 6, 25, 30, "cat")] and found.repairs("a.jpg") == ["polygon_enclosed"]


def test_a_picture_of_a_kind_that_is_not_opened_is_told(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "a.jpg"), "a.xml", xml(CAT)), "b.JXL", "x")
    assert Reading(tmp_path, "voc").reasons == [("b.JXL", "image_format_foreign", 0)]


def test_more_than_a_hundred_boxes(tmp_path: Path) -> None:
    boxes = [CAT.replace("<xmax>30<", f"<xmax>{30 + n / 10}<") for n in range(250)]
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(*boxes))
    assert len(Reading(tmp_path, "voc").boxes("a.jpg")) == 250


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("img/a.jpg", "xml/a.xml"),
        ("data/photos/a.jpg", "data/markup/a.xml"),
        ("a.jpg", "a.jpg.xml"),
        ("images/a.jpg", "labels/a.jpg.xml"),
        ("IMG.JPG", "img.xml"),
        (f"{unicodedata.normalize('NFC', 'ä')}.jpg", f"{unicodedata.normalize('NFD', 'ä')}.xml"),
        ("train/img/a.jpg", "train-xml/a.xml"),
        ("a.webp", "a.xml"),
        ("a.gif", "a.xml"),
    ],
)
def test_pairs_over_the_whole_tree(tmp_path: Path, image: str, label: str) -> None:
    write(draw(tmp_path, image), label, xml(CAT))
    found = Reading(tmp_path, "voc")
    assert found.boxes(image) == [CAT_BOX] and found.reasons == []


def test_twins_of_one_name_keep_to_their_folders(tmp_path: Path) -> None:
    draw(tmp_path, "new/img/a.jpg", "old/img/a.jpg")
    write(tmp_path, "new/xml/a.xml", xml(CAT))
    write(tmp_path, "old/xml/a.xml", xml())
    found = Reading(tmp_path, "voc")
    assert found.boxes("new/img/a.jpg") == [CAT_BOX] and found.boxes("old/img/a.jpg") == []


def test_what_may_belong_to_two_is_refused_and_both_are_named(tmp_path: Path) -> None:
    write(draw(tmp_path, "p/a.jpg", "q/a.jpg"), "a.xml", xml(CAT))
    found = Reading(tmp_path, "voc")
    assert ("a.xml", "image_ambiguous", 1) in found.reasons and found.images == {}
    assert next(item for item in found.rejected if item.file == "a.xml").advice.startswith("p/a.jpg or q/a.jpg: ")


def test_copies_of_labels_count_once_and_others_are_refused(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "img/a.jpg"), "x/a.xml", xml(CAT)), "y/a.xml", xml(CAT))
    found = Reading(tmp_path, "voc")
    assert found.boxes("img/a.jpg") == [CAT_BOX] and found.reasons == [("y/a.xml", "labels_twice", 1)]
    write(tmp_path, "y/a.xml", xml())
    found = Reading(tmp_path, "voc")
    assert found.images == {}
    assert {(file, reason) for file, reason, _ in found.reasons} == {
        (file, "labels_ambiguous") for file in ("img/a.jpg", "x/a.xml", "y/a.xml")
    }


@pytest.mark.parametrize("folder", ["", "ImageSets/", "ImageSets/Main/", "imagesets/Main/", "splits/"])
def test_lists_of_any_spelling(tmp_path: Path, folder: str) -> None:
    for stem in ("a", "b", "c"):
        write(draw(tmp_path, f"JPEGImages/{stem}.jpg"), f"Annotations/{stem}.xml", xml(CAT))
    write(tmp_path, f"{folder}Train.txt", "a\n")
    write(tmp_path, f"{folder}Validation.txt", "JPEGImages/b.jpg\n", encoding="utf-16")
    write(tmp_path, f"{folder}Test_set.txt", "C:\\me\\JPEGImages\\C.JPG\n")
    found = Reading(tmp_path, "voc")
    assert found.splits == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "val", "JPEGImages/c.jpg": "test"}
    assert f"{folder}Train.txt lists the train images" in found.notes


def test_a_text_that_names_no_images_is_no_list(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "a.jpg"), "a.xml", xml(CAT)), "train.txt", "How to train:\nread the manual\n")
    found = Reading(tmp_path, "voc")
    assert found.splits == {"a.jpg": None} and found.reasons == []


def test_split_folders_of_any_spelling(tmp_path: Path) -> None:
    for folder in ("Training", "TestSet", "val2017"):
        write(draw(tmp_path, f"{folder}/a.jpg"), f"{folder}/a.xml", xml(CAT))
    assert Reading(tmp_path, "voc").splits == {
        "Training/a.jpg": "train",
        "TestSet/a.jpg": "test",
        "val2017/a.jpg": "val",
    }


def test_broken_xml_says_where_and_what_it_held(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(CAT, CAT)[:-20])
    found = Reading(tmp_path, "voc")
    assert found.reasons == [("a.jpg", "xml_broken", 2)]
    assert found.rejected[0].advice.startswith("line 1, column ")


def test_a_class_name_with_blanks_and_line_breaks(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "a.xml", xml(CAT.replace("<name>cat<", "<name>\n stop\n  sign <")))
    assert Reading(tmp_path, "voc").boxes("a.jpg") == [(10, 20, 30, 40, "stop sign")]
