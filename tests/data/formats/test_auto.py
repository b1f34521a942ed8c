"""`data=auto`: which format a folder is in, and why."""

from pathlib import Path

import pytest

from mirada.config import DataConfig
from mirada.data.formats.auto import recognise
from mirada.errors import MiradaError
from tests.data.formats.drawing import draw, write

VOC = "<annotation><object/></annotation>"
COCO = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}


def found(folder: Path) -> tuple[str, list[str]]:
    return recognise(folder, DataConfig(format="auto", task="auto"))


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("a.xml", "<?xml version='1.0'?><!-- x -->\n<annotation verified='yes'>", "voc"),
        ("x/annotations.xml", "<annotations><version>1.1</version>", "cvat"),
        ("instances.json", COCO, "coco"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n", "yolo"),
        ("a.json", {"version": "5", "shapes": [], "imagePath": "a.jpg"}, "labelme"),
        (
            "p.json",
            [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [{"original_width": 1}]}]}],
            "label_studio",
        ),
        ("p.json", [{"image": "a.jpg", "label": [{"rectanglelabels": ["x"]}]}], "label_studio"),
        ("b.csv", "filename,class,xmin,ymin,xmax,ymax\n", "csv"),
        ("c.json", [{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}], "createml"),
        ("via.json", {"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": {}}]}}, "via"),
        ("via.csv", "filename,file_size,region_shape_attributes,region_attributes\n", "via"),
        ("_annotations.txt", "a.jpg 1,2,3,4,0\nb.jpg\n", "keras"),
        ("a.txt", "gsd:1\n1 2 3 4 5 6 7 8 ship 0\n", "dota"),
    ],
)
def test_each_format_is_known_by_its_labels(tmp_path: Path, name: str, content: object, format_: str) -> None:
    draw(tmp_path, "a.jpg")
    write(tmp_path, name, content)
    what, notes = found(tmp_path)
    assert what == format_ and notes == [f"labels such as {name}: data={format_}"]


def test_folders_of_classes(tmp_path: Path) -> None:
    draw(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", "test/cat/c.jpg")
    assert found(tmp_path) == ("folder", ["3 images in folders of 2 classes (cat, dog): data=folder"])


def test_the_same_labels_in_two_formats_count_once(tmp_path: Path) -> None:
    write(write(draw(tmp_path, "a.jpg", "b.jpg"), "a.xml", VOC), "b.xml", VOC)
    write(tmp_path, "a.txt", "0 0.5 0.5 0.1 0.1\n")
    assert found(tmp_path) == (
        "voc",
        ["labels such as a.xml: data=voc", "also there and not used: a.txt (data.format=yolo)"],
    )


def test_a_folder_without_labels(tmp_path: Path) -> None:
    write(draw(tmp_path, "images/a.jpg"), "package.json", {"name": "x"})
    with pytest.raises(MiradaError, match=r"holds 1 images and no labels that are known \(VOC, COCO, YOLO"):
        found(tmp_path)


@pytest.mark.parametrize(("data", "key"), [({"task": "auto"}, r"data\.task"), ({"format": "no"}, r"data\.format")])
def test_only_auto_leaves_the_task_open(data: dict[str, str], key: str) -> None:
    with pytest.raises(MiradaError, match=key):
        DataConfig(**data)  # type: ignore[arg-type]
