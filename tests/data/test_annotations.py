"""Reading VOC annotations: each oddity in a file of its own, built on the spot."""

from pathlib import Path

import pytest
from PIL import Image

from mirada.data.annotations import RawImage, Rejected
from mirada.data.formats.voc import VocPair, list_voc, read_voc
from mirada.data.records import Box

CAT = ("cat", 10, 20, 30, 40)
CAT_BOX = Box(10, 20, 30, 40, "cat")


def voc(*objects, size=(100, 80), filename="a.jpg", extra=""):
    body = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        f"</object>"
        for name, x1, y1, x2, y2 in objects
    )
    size_xml = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>{filename}</filename>{size_xml}{extra}{body}</annotation>"


def make(folder, name="a.jpg", xml=None, size=(100, 80), mode="RGB", orientation=None, format=None):
    """An image with its XML beside it, as a pair."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new(mode, size).save(path, format=format, exif=exif)
    path.with_suffix(".xml").write_text(voc(CAT) if xml is None else xml)
    return VocPair(path, path.with_suffix(".xml"), name, None)


def read(tmp_path, *objects, **options):
    """What becomes of one 100 x 80 JPEG with these objects."""
    xml = voc(*objects, **{key: options.pop(key) for key in ("extra", "filename") if key in options})
    return read_voc(make(tmp_path, xml=options.pop("xml", xml), **options), {})


def test_reads_image_boxes_and_labels(tmp_path):
    pair = make(tmp_path, xml=voc(CAT, ("dog", 0, 0, 100, 80)))
    assert read_voc(pair, {"dog": "hound"}) == RawImage(
        tmp_path / "a.jpg", "a.jpg", None, 100, 80, False, (CAT_BOX, Box(0, 0, 100, 80, "hound")), ()
    )


def test_image_without_objects_is_background(tmp_path):
    image = read(tmp_path)
    assert image.boxes == () and image.repairs == ()


def test_tags_in_any_order_floats_difficult_and_parts(tmp_path):
    xml = """<annotation><object><bndbox><ymax> 40.5 </ymax><xmin>1e1</xmin><xmax>30</xmax><ymin>20.25</ymin></bndbox>
    <part><name>ear</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
    <difficult>1</difficult><name> cat </name></object><size><height>80</height><width>100.0</width></size></annotation>"""
    image = read(tmp_path, xml=xml)
    assert image.boxes == (Box(10, 20.25, 30, 40.5, "cat", difficult=True),)
    assert image.repairs == ()


@pytest.mark.parametrize(
    ("box", "kept", "repairs"),
    [
        ((-1, 20, 30, 40), (0, 20, 30, 40), ("box_clipped",)),
        ((10, 20, 101, 81), (10, 20, 100, 80), ("box_clipped",)),
        ((30, 40, 10, 20), (10, 20, 30, 40), ("corners_swapped",)),
        ((30, 20, 10, 40), (10, 20, 30, 40), ("corners_swapped",)),
        ((110, 20, 90, 40), (90, 20, 100, 40), ("corners_swapped", "box_clipped")),
        ((10, 20, 10, 40), None, ("box_empty",)),
        ((10, 20, 30, 20), None, ("box_empty",)),
        ((100, 20, 120, 40), None, ("box_outside",)),
        ((10, -50, 30, -1), None, ("box_outside",)),
    ],
)
def test_boxes_that_need_mending(tmp_path, box, kept, repairs):
    image = read(tmp_path, CAT, ("dog", *box))
    assert image.boxes == (CAT_BOX, *([Box(*kept, "dog")] if kept else []))
    assert image.repairs == repairs


def test_an_empty_box_alone_leaves_a_background_image(tmp_path):
    image = read(tmp_path, ("cat", 10, 10, 10, 10))
    assert image.boxes == () and image.repairs == ("box_empty",)


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (("", 10, 20, 30, 40), "name_missing"),
        (("dog", "", 20, 30, 40), "box_unreadable"),
        (("dog", "ten", 20, 30, 40), "box_unreadable"),
        (("dog", "nan", 20, 30, 40), "box_unreadable"),
        (("dog", 10, 20, "inf", 40), "box_unreadable"),
    ],
)
def test_objects_without_name_or_numbers_are_counted(tmp_path, lost, reason):
    assert read(tmp_path, CAT, lost).repairs == (reason,)
    alone = read(tmp_path, lost)
    assert isinstance(alone, Rejected) and alone.reason == "no_usable_box"


def test_object_without_bndbox(tmp_path):
    image = read(tmp_path, CAT, extra="<object><name>dog</name><polygon/></object>")
    assert image.boxes == (CAT_BOX,) and image.repairs == ("box_unreadable",)


@pytest.mark.parametrize("size", [(0, 0), (640, 480), ("wide", "high"), None])
def test_the_image_decides_its_size(tmp_path, size):
    image = read(tmp_path, xml=voc(CAT, size=size))
    assert (image.width, image.height) == (100, 80)
    assert image.repairs == ("size_wrong",)


@pytest.mark.parametrize("filename", ["b.jpg", "a.tif", "C:\\photos\\b.jpg"])
def test_wrong_filename_is_counted_and_ignored(tmp_path, filename):
    assert read(tmp_path, CAT, filename=filename).repairs == ("filename_wrong",)


@pytest.mark.parametrize("filename", ["", "a.jpg", "C:\\photos\\a.jpg", "/photos/a.jpg"])
def test_right_or_absent_filename_is_nothing_to_mend(tmp_path, filename):
    assert read(tmp_path, CAT, filename=filename).repairs == ()


@pytest.mark.parametrize(
    ("orientation", "box", "size", "turned"),
    [
        (6, (10, 70, 30, 95), (0, 0), True),  # only the turned image, 80 x 100, holds the box
        (8, (10, 70, 30, 95), (100, 80), True),  # boxes count for more than <size>
        (6, (70, 10, 95, 30), (80, 100), False),  # only the stored image holds the box
        (6, (10, 20, 30, 40), (80, 100), True),  # both do; <size> is the turned one
        (6, (10, 20, 30, 40), (100, 80), False),  # both do; <size> is the stored one
        (6, (10, 20, 30, 40), (0, 0), False),  # nothing speaks for turning
        (3, (10, 20, 30, 40), (100, 80), False),  # a half turn leaves no trace in size or boxes
        (5, (10, 75, 30, 101), (100, 80), True),  # a pixel outside is no contradiction
    ],
)
def test_exif_is_applied_when_the_annotation_agrees(tmp_path, orientation, box, size, turned):
    image = read(tmp_path, xml=voc(("cat", *box), size=size), orientation=orientation)
    assert image.transpose is turned
    assert (image.width, image.height) == ((80, 100) if turned else (100, 80))
    assert image.repairs[0] == ("exif_applied" if turned else "exif_ignored")


def test_one_wild_box_does_not_turn_the_image(tmp_path):
    image = read(tmp_path, ("cat", 70, 10, 95, 30), ("cat", 75, 10, 99, 30), ("cat", 5, 5, 9, 95), orientation=6)
    assert not image.transpose and len(image.boxes) == 3
    assert image.repairs == ("exif_ignored", "box_clipped")


def test_orientation_of_a_png(tmp_path):
    pair = make(tmp_path, name="a.png", orientation=6, xml=voc(("cat", 10, 70, 30, 95), size=(80, 100), filename=""))
    image = read_voc(pair, {})
    assert image.transpose and image.repairs == ("exif_applied",)


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "LA", "1", "I;16"])
def test_every_mode_of_png(tmp_path, mode):
    image = read_voc(make(tmp_path, name="a.PNG", mode=mode, xml=voc(CAT, filename="a.PNG")), {})
    assert image.boxes == (CAT_BOX,) and image.repairs == (("depth_reduced",) if mode == "I;16" else ())


def test_png_bytes_in_a_jpg(tmp_path):
    image = read(tmp_path, CAT, format="PNG")
    assert (image.width, image.height) == (100, 80) and image.repairs == ("extension_wrong",)


BOMB = """<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("", "xml_empty"),
        (" \n", "xml_empty"),
        (voc(CAT)[:150], "xml_broken"),
        ("no xml", "xml_broken"),
        (BOMB, "xml_unsafe"),
        ("<html><body/></html>", "xml_not_voc"),
    ],
)
def test_xml_that_cannot_be_read(tmp_path, xml, reason):
    rejected = read(tmp_path, xml=xml)
    assert isinstance(rejected, Rejected)
    assert (rejected.file, rejected.reason) == ("a.jpg", reason)
    assert rejected.advice


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "image_unreadable"),
        (b"\xff\xd8\xff\xe0", "image_unreadable"),
        (b"<html>not found</html>", "image_is_text"),
        (b"404: there is no such file", "image_is_text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "image_is_pointer"),
    ],
)
def test_image_that_cannot_be_opened(tmp_path, content, reason):
    pair = make(tmp_path)
    pair.image.write_bytes(content)
    rejected = read_voc(pair, {})
    assert (rejected.reason, rejected.objects) == (reason, 1)


def test_image_too_large_to_decode(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)  # 100 x 80 is more than twice that
    assert read(tmp_path, CAT).reason == "image_too_large"


def test_a_big_image_is_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    assert read(tmp_path, CAT).boxes == (CAT_BOX,)


def files(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(folder):
    pairs, rejected = list_voc(folder)
    return {pair.source: pair.split for pair in pairs}, {(r.file, r.reason) for r in rejected}


def test_folders_give_the_splits(tmp_path):
    files(tmp_path, "train/a.jpg", "train/a.xml", "Test/b.JPG", "Test/b.XML", "valid/c.jpeg", "valid/c.xml")
    files(tmp_path, "validation/d.PNG", "validation/d.xml", "val/e.tif", "val/e.xml", "f.bmp", "f.xml")
    assert listed(tmp_path) == (
        {
            "Test/b.JPG": "test",
            "f.bmp": None,
            "train/a.jpg": "train",
            "val/e.tif": "val",
            "valid/c.jpeg": "val",
            "validation/d.PNG": "val",
        },
        set(),
    )


def test_sorted_the_same_on_every_machine(tmp_path):
    names = ["b.jpg", "a b (1).jpg", "a.b.c.jpg", "ä.jpg", "B.jpg"]
    files(tmp_path, *names, *(name[:-4] + ".xml" for name in names))
    pairs, rejected = list_voc(tmp_path)
    assert [pair.source for pair in pairs] == sorted(names) and rejected == []
    assert all(pair.xml == pair.image.with_suffix(".xml") for pair in pairs)


def test_archive_folders_around_the_data_do_not_matter(tmp_path):
    files(tmp_path, "photos/v2/train/a.jpg", "photos/v2/train/a.xml", "photos/v2/test/a.jpg", "photos/v2/test/a.xml")
    assert listed(tmp_path) == ({"photos/v2/train/a.jpg": "train", "photos/v2/test/a.jpg": "test"}, set())


def test_files_without_a_partner_and_hidden_ones(tmp_path):
    files(
        tmp_path, "a.jpg", "b.xml", "train/c.jpg", "test/c.xml", "._d.jpg", ".git/e.jpg", "__MACOSX/f.jpg", "notes.txt"
    )
    assert listed(tmp_path) == (
        {},
        {
            ("a.jpg", "image_without_xml"),
            ("b.xml", "xml_without_image"),
            ("train/c.jpg", "image_without_xml"),
            ("test/c.xml", "xml_without_image"),
        },
    )


def test_two_images_of_one_name(tmp_path):
    files(tmp_path, "a.png", "a.jpg", "a.xml")
    assert listed(tmp_path) == ({"a.jpg": None}, {("a.png", "duplicate_name")})


@pytest.mark.parametrize("root", ["", "VOCdevkit/VOC2007/"])
def test_vocdevkit_lists_give_the_splits(tmp_path, root):
    for stem in ("a", "b.c (1)", "d", "e", "lost", "both"):
        files(tmp_path, f"{root}JPEGImages/{stem}.jpg", f"{root}Annotations/{stem}.xml")
    files(tmp_path, f"{root}SegmentationClass/a.png", f"{root}ImageSets/Main/x.txt")
    lists = {
        "train": "a  1\nboth\n",
        "val": "b.c (1)\r\n\r\n",
        "trainval": "a\nb.c (1)\ne\n",
        "test": "d.jpg\ngone\nboth\n",
        "cat_train": "lost 1\n",
    }
    for name, text in lists.items():
        (tmp_path / root / f"ImageSets/Main/{name}.txt").write_text(text)
    assert listed(tmp_path) == (
        {
            f"{root}JPEGImages/a.jpg": "train",
            f"{root}JPEGImages/b.c (1).jpg": "val",
            f"{root}JPEGImages/d.jpg": "test",
            f"{root}JPEGImages/e.jpg": "train",
        },
        {
            (f"{root}JPEGImages/lost.jpg", "in_no_list"),
            (f"{root}JPEGImages/both.jpg", "in_several_lists"),
            (f"{root}ImageSets/Main/test.txt: gone", "listed_but_missing"),
        },
    )


def test_vocdevkit_without_lists_has_no_split(tmp_path):
    files(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml", "Annotations/b.xml")
    assert listed(tmp_path) == ({"JPEGImages/a.jpg": None}, {("Annotations/b.xml", "xml_without_image")})


def test_two_devkits_side_by_side_keep_their_lists(tmp_path):
    for year, split in (("VOC2007", "train"), ("VOC2012", "test")):
        files(tmp_path, f"{year}/JPEGImages/a.jpg", f"{year}/Annotations/a.xml", f"{year}/ImageSets/Main/{split}.txt")
        (tmp_path / year / f"ImageSets/Main/{split}.txt").write_text("a")
    assert listed(tmp_path) == ({"VOC2007/JPEGImages/a.jpg": "train", "VOC2012/JPEGImages/a.jpg": "test"}, set())


def test_a_pair_without_its_half_is_rejected(tmp_path):
    assert read_voc(VocPair(None, Path("a.xml"), "a.xml", None), {}).reason == "xml_without_image"
    assert read_voc(VocPair(Path("a.jpg"), None, "a.jpg", None), {}).reason == "image_without_xml"
