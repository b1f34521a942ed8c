"""COCO as tools export it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw, write

CAT = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 20, 20, 20]}
CAT_BOX = (10, 20, 30, 40, "cat")


def coco(*annotations: dict[str, Any], images: Any = None, categories: Any = None) -> dict[str, Any]:
    return {
        "images": images or [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
        "annotations": list(annotations),
        "categories": categories or [{"id": 7, "name": "cat"}, {"id": 90, "name": "dog"}],
    }


def test_boxes_ids_with_gaps_and_negative_images(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 40, "file_name": "b.jpg"}]
    dog = CAT | {"category_id": 90, "bbox": [0.5, 0, 10, 10]}
    write(draw(tmp_path, "a.jpg", "b.jpg"), "labels.json", coco(CAT, dog, images=images))
    found = Reading(tmp_path, "coco", rename={"dog": "hound"})
    assert found.boxes("a.jpg") == [CAT_BOX, (0.5, 0, 10.5, 10, "hound")]
    assert found.boxes("b.jpg") == [] and found.reasons == []


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "images/a.jpg",
        "..\\train2017\\A.JPG",
        "C:\\me\\a.jpg",
        "/home/me/images/a.jpg",
        "https://x.org/b/a.jpg",
    ],
)
def test_file_names_of_any_machine(tmp_path: Path, name: str) -> None:
    write(draw(tmp_path, "images/a.jpg"), "x/labels.json", coco(CAT, images=[{"id": 1, "file_name": name}]))
    assert Reading(tmp_path, "coco").boxes("images/a.jpg") == [CAT_BOX]


def test_nothing_outside_the_folder_is_opened(tmp_path: Path) -> None:
    draw(tmp_path, "secret.jpg", "raw/b.jpg")
    names = ["../secret.jpg", str(tmp_path / "secret.jpg")]
    images = [{"id": at, "file_name": name} for at, name in enumerate(names, start=1)]
    write(tmp_path, "raw/labels.json", coco(CAT, images=images))
    found = Reading(tmp_path / "raw", "coco")
    assert found.images == {}
    assert found.reasons == [
        ("b.jpg", "image_without_labels", 0),
        ("labels.json: ../secret.jpg", "labels_without_image", 1),
        (f"labels.json: {tmp_path}/secret.jpg", "labels_without_image", 0),
    ]


def test_masks_without_boxes(tmp_path: Path) -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[5:25, 40:60] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    runs = [40 * 80 + 5, 20, *[60, 20] * 19]
    runs.append(8000 - sum(runs))
    shapes: list[Any] = [
        [[10, 20, 30, 20, 30, 40], [5, 30, 6, 35, 7, 36]],
        {"size": [80, 100], "counts": packed["counts"].decode()},
        {"size": [80, 100], "counts": runs},
        {"size": [80, 100], "counts": "~~"},
        [],
    ]
    objects = [
        CAT | {"id": at, "category_id": at % 2 * 83 + 7, "bbox": []} | {"segmentation": s}
        for at, s in enumerate(shapes)
    ]
    write(draw(tmp_path, "a.jpg"), "labels.json", coco(*objects))
    found = Reading(tmp_path, "coco")
    assert found.boxes("a.jpg") == [(5, 20, 30, 40, "cat"), (40, 5, 60, 25, "dog"), (40, 5, 60, 25, "cat")]
    assert found.repairs("a.jpg") == [
        "box_unreadable",
        "mask_enclosed",
        "mask_enclosed",
        "mask_unreadable",
        "polygon_enclosed",
    ]


def test_crowds_are_ignored_unless_all_are(tmp_path: Path) -> None:
    crowd = CAT | {"iscrowd": 1, "bbox": [50, 50, 10, 10]}
    write(draw(tmp_path, "a.jpg"), "labels.json", coco(CAT, crowd))
    assert [box.difficult for box in Reading(tmp_path, "coco").images["a.jpg"].boxes] == [False, True]
    write(tmp_path, "labels.json", coco(CAT | {"iscrowd": 1}, crowd))
    found = Reading(tmp_path, "coco")
    assert [box.difficult for box in found.images["a.jpg"].boxes] == [False, False]
    assert found.repairs("a.jpg") == ["crowd_flag_ignored", "crowd_flag_ignored"]


def test_what_is_to_be_ignored_is_so_even_if_all_is(tmp_path: Path) -> None:
    objects = [CAT | {"iscrowd": 1, "ignore": 1}, CAT | {"iscrowd": 0, "ignore": 1, "bbox": [50, 50, 10, 10]}]
    for count in (1, 2):
        write(draw(tmp_path, "a.jpg"), "labels.json", coco(*objects[:count]))
        found = Reading(tmp_path, "coco")
        assert [box.difficult for box in found.images["a.jpg"].boxes] == [True] * count
        assert found.repairs("a.jpg") == []


def test_category_zero_is_a_placeholder_or_the_only_class(tmp_path: Path) -> None:
    roboflow = [{"id": 0, "name": "cat", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "cat"}]
    write(draw(tmp_path, "a.jpg"), "labels.json", coco(CAT | {"category_id": 1}, categories=roboflow))
    assert Reading(tmp_path, "coco").boxes("a.jpg") == [CAT_BOX]
    write(tmp_path, "labels.json", coco(CAT | {"category_id": 0}, categories=[{"id": 0, "name": "cat"}]))
    assert Reading(tmp_path, "coco").boxes("a.jpg") == [CAT_BOX]


def test_every_object_that_is_lost_is_told(tmp_path: Path) -> None:
    objects = [
        CAT | {"category_id": 8},
        CAT | {"bbox": [10, 20, 0, 5]},
        CAT | {"bbox": [500, 20, 5, 5]},
        CAT | {"bbox": ["a", 1, 2, 3]},
        CAT,
        CAT,
        CAT | {"image_id": 99},
        {"category_id": 7, "bbox": [1, 2, 3, 4]},
    ]
    write(draw(tmp_path, "a.jpg"), "labels.json", coco(*objects))
    found = Reading(tmp_path, "coco")
    assert found.boxes("a.jpg") == [CAT_BOX]
    assert found.repairs("a.jpg") == ["box_empty", "box_outside", "box_unreadable", "class_unknown", "object_repeated"]
    assert found.reasons == [
        ("labels.json: image 99", "labels_without_image", 1),
        ("labels.json: objects without an image_id", "labels_unreadable", 1),
    ]


def test_images_absent_unlisted_and_of_one_id(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "gone.jpg"}, {"id": 2, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    write(draw(tmp_path, "a.jpg", "b.jpg", "c.jpg"), "labels.json", coco(CAT, CAT | {"image_id": 2}, images=images))
    found = Reading(tmp_path, "coco")
    assert {(file, reason) for file, reason, _ in found.reasons} == {
        ("labels.json: gone.jpg", "labels_without_image"),
        ("labels.json: a.jpg", "image_id_twice"),
        ("labels.json: b.jpg", "image_id_twice"),
        ("a.jpg", "image_without_labels"),
        ("b.jpg", "image_without_labels"),
        ("c.jpg", "image_without_labels"),
    }
    assert sum(objects for _, _, objects in found.reasons) == 2


def test_several_files_give_the_splits(tmp_path: Path) -> None:
    draw(tmp_path, "images/a.jpg", "images/b.jpg")
    write(tmp_path, "annotations/instances_train2017.json", coco(CAT))
    write(tmp_path, "annotations/instances_val2017.json", coco(CAT, images=[{"id": 1, "file_name": "b.jpg"}]))
    captions = {"images": [], "annotations": [{"image_id": 1, "caption": "a cat"}], "categories": []}
    write(tmp_path, "annotations/captions_val2017.json", captions)
    found = Reading(tmp_path, "coco")
    assert found.splits == {"images/a.jpg": "train", "images/b.jpg": "val"} and found.reasons == []
    assert "annotations/captions_val2017.json holds no boxes of COCO and was left alone" in found.notes


def test_roboflow_keeps_a_file_in_each_split(tmp_path: Path) -> None:
    for folder in ("train", "valid", "test"):
        write(draw(tmp_path, f"{folder}/a.jpg"), f"{folder}/_annotations.coco.json", coco(CAT))
    found = Reading(tmp_path, "coco")
    assert found.splits == {"train/a.jpg": "train", "valid/a.jpg": "val", "test/a.jpg": "test"} and found.reasons == []


def test_the_same_labels_twice_count_once(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "a.jpg"), "all.json", coco(CAT, CAT)), "train.json", coco(CAT))
    found = Reading(tmp_path, "coco")
    assert found.boxes("a.jpg") == [CAT_BOX] and found.splits == {"a.jpg": "train"}
    assert found.reasons == [("all.json: images of train.json", "labels_twice", 2)]


def test_an_image_in_train_and_test_is_in_neither(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "a.jpg"), "test.json", coco(CAT)), "train.json", coco(CAT))
    found = Reading(tmp_path, "coco")
    assert found.images == {} and found.reasons == [("a.jpg", "in_several_lists", 2)]


def test_an_absent_image_is_told_with_its_objects(tmp_path: Path) -> None:
    draw(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"")
    write(tmp_path, "labels.json", coco(CAT, CAT | {"category_id": 8}))
    assert Reading(tmp_path, "coco").reasons == [("a.jpg", "image_unreadable", 2)]


def test_json_that_is_broken_or_too_big(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "labels.json", '{"images": [')
    with pytest.raises(MiradaError, match=r"labels\.json is no JSON from line 1, column 13 on"):
        Reading(tmp_path, "coco")
    with (tmp_path / "labels.json").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(MiradaError, match=r"labels\.json has 2\.0 GiB"):
        Reading(tmp_path, "coco")
