"""`convert`: any format to any, and back to the same boxes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from mirada.config import ConvertConfig, DataConfig, TableConfig
from mirada.errors import MiradaError
from mirada.stages import convert
from tests.data.formats.drawing import Reading, draw, write

OF_BOXES = ["voc", "coco", "yolo", "cvat", "label_studio", "labelme", "csv", "jsonl"]
OF_CLASSES = ["folder", "table"]
BOXES = {
    "train/a.jpg": [(10, 20, 30, 40, "cat"), (0.25, 0.5, 99.75, 79.5, "stop sign")],
    "train/b c.v2.png": [],
    "val/nothing.jpg": [],
    "val/a.jpg": [(1, 2, 3, 4, "stop sign")],
    "test/ä.jpg": [(33.33, 11.11, 44.44, 55.55, "cat")],
}


def raw(folder: Path) -> Path:
    """A VOC folder: two images of one name, two without objects, one that can't be read; stop signs are difficult."""
    for source, boxes in BOXES.items():
        objects = "".join(
            f"<object><name>{label}</name><difficult>{len(label) // 5}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
            f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for a, b, c, d, label in boxes
        )
        write(draw(folder, source), source.rpartition(".")[0] + ".xml", f"<annotation>{objects}</annotation>")
    write(folder, "train/gone.xml", "<annotation><object><name>cat</name></object></annotation>")
    return folder


def classes(folder: Path) -> Path:
    """A folder a class in each split."""
    return draw(folder, "train/cat/a.jpg", "train/stop sign/b c.png", "val/cat/d.jpg", "test/stop sign/a.jpg")


def settings(name: str) -> dict[str, Any]:
    """What the settings of data say besides its format."""
    table = {"table": TableConfig("labels.csv", ",", header=True)} if name == "table" else {}
    return table | ({"task": "classification"} if name in OF_CLASSES else {})


def run(source: Path, name: str, to: str, target: Path) -> Path:
    convert.run(ConvertConfig(DataConfig(format=name, path=str(source), **settings(name)), None, to, str(target)))
    return target


Content = dict[tuple[str | None, str], list[tuple[Any, ...]]]


def content(folder: Path, name: str, flags: bool = True) -> Content:
    """Of each image its boxes, and whether they are difficult."""
    found = Reading(folder, name, **settings(name))
    assert {reason for _, reason, _ in found.reasons} <= {"xml_without_image"}
    return {
        (image.split, image.path.name): [
            (*box, one.difficult and flags) for box, one in zip(found.boxes(source), image.boxes, strict=True)
        ]
        for source, image in found.images.items()
    }


@pytest.mark.parametrize("back", OF_BOXES)
@pytest.mark.parametrize("to", OF_BOXES)
def test_round_trips(tmp_path: Path, to: str, back: str) -> None:
    expected = content(raw(tmp_path / "raw"), "voc", flags=to != "yolo")
    assert len(expected) == 5 and sum(map(len, expected.values())) == 4
    there = run(tmp_path / "raw", "voc", to, tmp_path / "there")
    assert content(there, to) == expected
    expected = content(tmp_path / "raw", "voc", flags="yolo" not in (to, back))
    assert content(run(there, to, back, tmp_path / "back"), back) == expected
    copied = next(path for path in there.rglob("*.jpg") if path.name == "ä.jpg")
    assert copied.read_bytes() == (tmp_path / "raw/test/ä.jpg").read_bytes()
    assert "train/gone.xml,xml_without_image" in (there / "rejected.csv").read_text()


@pytest.mark.parametrize("back", OF_BOXES + OF_CLASSES)
@pytest.mark.parametrize("to", OF_BOXES + OF_CLASSES)
def test_round_trips_of_labels_of_whole_images(tmp_path: Path, to: str, back: str) -> None:
    expected = content(classes(tmp_path / "raw"), "folder")
    assert sorted(expected) == [("test", "a.jpg"), ("train", "a.jpg"), ("train", "b c.png"), ("val", "d.jpg")]
    assert expected["test", "a.jpg"] == [(0, 0, 100, 80, "stop sign", False)]
    there = run(tmp_path / "raw", "folder", to, tmp_path / "there")
    assert content(there, to) == expected
    assert content(run(there, to, back, tmp_path / "back"), back) == expected


@pytest.mark.parametrize("to", OF_BOXES)
def test_auto_knows_what_was_written(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw(tmp_path / "raw"), "voc", to, tmp_path / "there")
    capsys.readouterr()
    run(tmp_path / "there", "auto", "jsonl", tmp_path / "lines")
    said = capsys.readouterr().out
    assert f": data={to}" in said and f"{to} to jsonl: 5 images, 4 of 4 objects" in said
    first = (tmp_path / "lines/annotations.jsonl").read_text().splitlines()[0]
    assert first.startswith('{"file": "') and '"box": [33.33, 11.11, 44.44, 55.55]' in first


def test_what_is_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw(tmp_path / "raw"), "voc", "yolo", tmp_path / "yolo")
    assert "2 objects lose the flag difficult, which yolo can't hold\n" in capsys.readouterr().out
    run(tmp_path / "raw", "voc", "cvat", tmp_path / "cvat")
    assert " lose " not in capsys.readouterr().out
    for name in ("train/b c.v2", "val/nothing", "train/a"):
        (tmp_path / f"raw/{name}.xml").unlink()
    run(tmp_path / "raw", "voc", "folder", tmp_path / "folder")
    assert "2 objects lose the box, which folder can't hold\n1 objects lose the flag" in capsys.readouterr().out
    assert content(tmp_path / "folder", "folder")["test", "ä.jpg"] == [(0, 0, 100, 80, "cat", False)]


@pytest.mark.parametrize("to", OF_CLASSES)
def test_boxes_are_no_classes(tmp_path: Path, to: str) -> None:
    with pytest.raises(MiradaError, match=r"train/a\.jpg shows objects of several classes \(cat, stop sign\), and a"):
        run(raw(tmp_path / "raw"), "voc", to, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_archive(tmp_path: Path) -> None:
    raw(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in (tmp_path / "raw").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    assert content(run(tmp_path / "raw.zip", "auto", "coco", tmp_path / "out"), "coco") == content(
        tmp_path / "raw", "voc"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "raw.zip"]


def test_twins_of_one_split_keep_apart(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write(draw(tmp_path / "raw", f"{place}/a.jpg"), f"{place}/a.xml", "<annotation/>")
    write(
        draw(tmp_path / "raw", "c.jpg"),
        "c.xml",
        (tmp_path / "raw/one/a.xml")
        .read_text()
        .replace(
            "/>",
            "><object><name>x</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
        ),
    )
    out = run(tmp_path / "raw", "voc", "yolo", tmp_path / "out")
    assert sorted(path.name for path in (out / "images").iterdir()) == ["c.jpg", "one__a_jpg.jpg", "two__a_jpg.jpg"]


def test_boxes_of_the_stored_pixels_stay_where_they_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    objects = (
        "<object><name>x</name><bndbox><xmin>70</xmin><ymin>10</ymin><xmax>95</xmax><ymax>30</ymax></bndbox></object>"
    )
    write(tmp_path / "raw", "a.xml", f"<annotation>{objects}</annotation>")
    Image.new("RGB", (100, 80)).save(tmp_path / "raw/a.jpg", exif=exif)
    found = Reading(run(tmp_path / "raw", "voc", "yolo", tmp_path / "out"), "yolo")
    image = found.images["images/a.jpg"]
    assert (image.width, image.height, image.transpose) == (100, 80, False)
    assert found.boxes("images/a.jpg") == [(70, 10, 95, 30, "x")]


@pytest.mark.parametrize("to", OF_BOXES)
@pytest.mark.parametrize(("orientation", "size"), [(3, (100, 80)), (2, (100, 80)), (6, (90, 90)), (6, (100, 80))])
def test_boxes_of_turned_images_stay_where_they_are(
    tmp_path: Path, to: str, orientation: int, size: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A YOLO box is of the image as displayed, and holds the same pixels whatever the other reader makes of EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", size)
    image.paste((255, 0, 0), (10, 10, 30, 30))  # as stored
    shown = {3: (70, 50, 90, 70), 2: (70, 10, 90, 30), 6: (size[1] - 30, 10, size[1] - 10, 30)}[orientation]
    wide, high = size if orientation < 5 else size[::-1]
    x, y = (shown[0] + 10) / wide, (shown[1] + 10) / high
    write(tmp_path / "raw", "a.txt", f"0 {x} {y} {20 / wide} {20 / high}")
    write(tmp_path / "raw", "data.yaml", "names: [red]")
    image.save(tmp_path / "raw/a.png", exif=exif)
    found = Reading(run(tmp_path / "raw", "yolo", to, tmp_path / "out"), to)
    ((source, read),) = found.images.items()
    assert found.boxes(source) == [(*shown, "red")]
    with Image.open(read.path) as picture:
        seen = ImageOps.exif_transpose(picture) if read.transpose else picture
        assert seen.convert("RGB").getchannel("R").getbbox() == shown
    again = to not in ("yolo", "label_studio") and (orientation, size) != (6, (100, 80))
    assert ("1 images saved upright" in capsys.readouterr().out) == again


def test_mistakes(tmp_path: Path) -> None:
    draw(tmp_path / "raw", "a.jpg")
    with pytest.raises(MiradaError, match=r"raw holds no usable image with a VOC XML: put x\.xml beside"):
        run(tmp_path / "raw", "voc", "coco", tmp_path / "out")
    with pytest.raises(MiradaError, match=r"raw is not empty: give a new output_dir"):
        run(tmp_path / "raw", "voc", "coco", tmp_path / "raw")
    with pytest.raises(MiradaError, match=r"a\.jpg is no folder and no archive"):
        run(tmp_path / "raw/a.jpg", "voc", "coco", tmp_path / "out")
    with pytest.raises(MiradaError, match=r"lies in .*raw, which is read"):
        run(tmp_path / "raw", "voc", "coco", tmp_path / "raw/out")
    with pytest.raises(MiradaError, match=r"^to must be "):
        ConvertConfig(DataConfig(path="x"), None, "pdf", "out")
    with pytest.raises(MiradaError, match="Nothing to convert"):
        ConvertConfig(DataConfig(), None, "coco", "out")
    assert not (tmp_path / "out").exists()
