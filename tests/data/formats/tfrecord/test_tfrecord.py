"""TFRecord files of the Object Detection API."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from mirada.config import DataConfig
from mirada.data.formats import FORMATS
from mirada.data.formats.auto import recognise
from mirada.data.inputs import read_image
from tests.data.formats.drawing import Reading, write
from tests.data.formats.tfrecord.records import detection, example, framed, picture

BOX = (0.1, 0.25, 0.3, 0.5)
CAT_BOX = (10, 20, 30, 40, "cat")
CAT = detection("photos\\a b.jpg", picture(1), [BOX], class__text=[b"cat"], class__label=[1])
EMPTY = detection("b", picture(2, "PNG"), [])


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "name", ["x.tfrecord", "x.record", "x.tfrecords.gz", "pet_faces.record-00000-of-00001", "x-00000-of-00001"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_images_and_boxes_come_from_their_place_in_the_file(tmp_path: Path, name: str, packed: bool) -> None:
    put(tmp_path, name, gzip.compress(CAT + EMPTY) if packed else CAT + EMPTY)
    found = Reading(tmp_path, "tfrecord")
    first, second = f"{name}/000000-a b.jpg", f"{name}/000001-b.png"
    assert found.boxes(first) == [CAT_BOX] and found.boxes(second) == [] and found.reasons == []
    assert found.images[first].read() == picture(1) and found.images[second].read() == picture(2, "PNG")
    assert (found.images[first].width, found.images[first].height, found.repairs(first)) == (100, 80, [])
    assert found.notes == [f"{name}: TFRecord, 2 images"]


def test_a_label_map_names_the_numbers(tmp_path: Path) -> None:
    text = """# item { id: 7 name: "no" }
    item {\n  id: 1\n  name: 'stop sign'\n}\nitem { name: "caf\u00e9 \\"x\\"", id: 3, display_name: "y" }"""
    record = detection("a.jpg", picture(1), [BOX, (0, 0, 0.5, 0.5), (0, 0, 1, 1)], class__label=[1, 3, 9])
    write(put(tmp_path, "tf/train/x.record", record), "tf/label_map.pbtxt", text)
    found = Reading(tmp_path, "tfrecord", rename={"stop sign": "sign"})
    source = "tf/train/x.record/000000-a.jpg"
    assert found.boxes(source) == [(10, 20, 30, 40, "sign"), (0, 0, 50, 40, 'caf\u00e9 "x"')]
    assert found.repairs(source) == ["class_unknown"]


def test_roboflow_keeps_a_map_with_each_split(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        record = detection(f"{split}.jpg", picture(number), [BOX], class__label=[1])
        put(tmp_path, f"{split}/Cats.tfrecord", record)
        write(
            tmp_path,
            f"{split}/Cats_label_map.pbtxt",
            'item {\n    name: "cat",\n    id: 1,\n    display_name: "cat"\n}',
        )
    found = Reading(tmp_path, "tfrecord")
    assert found.splits == {
        "train/Cats.tfrecord/000000-train.jpg": "train",
        "valid/Cats.tfrecord/000000-valid.jpg": "val",
        "test/Cats.tfrecord/000000-test.jpg": "test",
    }
    assert all(found.boxes(source) == [CAT_BOX] for source in found.images)


def test_splits_by_the_names_of_files_and_a_shard_that_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "coco_train.record-00000-of-00003", CAT)
    put(tmp_path, "coco_train.record-00002-of-00003", EMPTY)
    put(tmp_path, "coco_val.record-00000-of-00001", detection("c", picture(3), []))
    put(tmp_path, "probe.record", detection("d", picture(4), []))
    found = Reading(tmp_path, "tfrecord")
    assert sorted(found.splits.values(), key=str) == [None, "train", "train", "val"]
    assert found.reasons == [("coco_train.record-00001-of-00003", "shard_missing", 0)]


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (CAT + EMPTY[:-9], [("x.record", "record_damaged", 0)]),
        (CAT + EMPTY[:7], [("x.record", "record_damaged", 0)]),
        (CAT + EMPTY[:100] + b"?" + EMPTY[101:], [("x.record/000001", "record_damaged", 0)]),
        (CAT + b"?" + EMPTY[1:], [("x.record", "record_damaged", 0)]),
        (CAT + framed(b"\xff\xff\xff"), [("x.record/000001", "record_foreign", 0)]),
        (CAT + framed(example({"image": [b"x"]})), [("x.record/000001", "record_foreign", 0)]),
        (CAT + detection("b", b"", [BOX, BOX]), [("x.record/000001-b.jpg", "record_without_image", 2)]),
        (CAT + detection("b", b"<html>", [BOX]), [("x.record/000001-b.jpg", "image_is_text", 1)]),
        (gzip.compress(CAT + EMPTY)[:-20], [("x.record", "record_damaged", 0)]),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, content: bytes, reasons: list[tuple[str, str, int]]) -> None:
    found = Reading(put(tmp_path, "x.record", content), "tfrecord")
    assert found.reasons == reasons
    assert [found.boxes(source) for source in found.images] == ([] if content[:2] == b"\x1f\x8b" else [[CAT_BOX]])


def test_every_object_that_is_lost_is_told(tmp_path: Path) -> None:
    boxes = [
        BOX,
        BOX,
        (10, 20, 30, 40),
        (float("nan"), 0, 1, 1),
        (0, 0, 0.5, 0.5),
        (0.5, 0.5, 1, 1),
        (0.9, 0.9, 1.5, 1),
    ]
    texts = [b"cat", b"cat", b"cat", b"cat", b"", b"cat", b"cat", b"cat"]  # one more than boxes
    flags = {"difficult": [0, 0, 0, 0, 0, 1], "truncated": [1, 0, 0, 0, 0, 0, 1], "occluded": [0]}
    put(tmp_path, "x.record", detection("a.jpg", picture(1), boxes, class__text=texts, **flags))
    found = Reading(tmp_path, "tfrecord")
    (source,) = found.images
    assert found.boxes(source) == [CAT_BOX, (50, 40, 100, 80, "cat"), (90, 72, 100, 80, "cat")]
    assert [box.difficult for box in found.images[source].boxes] == [False, True, False]
    assert found.hidden(source) == [(True, False), (False, None), (True, None)]
    assert found.repairs(source) == ["box_clipped", *["box_unreadable"] * 3, "name_missing", "object_repeated"]


def test_copies_of_a_file_count_once(tmp_path: Path) -> None:
    put(put(tmp_path, "copy/x.record", CAT), "x.record", CAT)
    found = Reading(tmp_path, "tfrecord")
    assert len(found.images) == 1 and found.reasons == [("copy/x.record", "labels_twice", 1)]


def test_auto_knows_them_and_no_others(tmp_path: Path) -> None:
    put(tmp_path, "a/x.record-00000-of-00001", CAT)
    auto = DataConfig(format="auto", task="auto")
    assert recognise(tmp_path, auto)[0] == "tfrecord"
    put(tmp_path, "b/x.tfrecord", framed(example({"image": [b"x"], "boxes_xyxy": [0.5]})))
    write(tmp_path, "b/x.txt", "0 0.5 0.5 1 1")
    assert recognise(tmp_path, auto)[0] == "tfrecord"


def test_all_of_it_is_read_for_the_digest(tmp_path: Path) -> None:

    put(tmp_path, "x.record", CAT)
    data = DataConfig(format="tfrecord")
    (item,) = FORMATS["tfrecord"].list(tmp_path, data, [])[0]
    assert read_image(item, data)[1] == hashlib.sha256(picture(1)).hexdigest()
