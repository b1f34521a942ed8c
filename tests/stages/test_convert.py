"""`convert`: any format to any, and back to the same boxes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mirada.config import ConvertConfig, DataConfig
from mirada.data.annotations import RawImage
from mirada.data.formats import FORMATS, WRITERS
from mirada.data.formats.writing import Written
from mirada.data.records import Box
from mirada.errors import MiradaError
from mirada.stages import convert
from tests.data.formats.drawing import Reading, draw, write

BOXES = {
    "train/a.jpg": [(10, 20, 30, 40, "cat"), (0.25, 0.5, 99.75, 79.5, "stop sign")],
    "train/b c.v2.png": [],
    "val/a.jpg": [(1, 2, 3, 4, "stop sign")],
    "test/ä.jpg": [(33.33, 11.11, 44.44, 55.55, "cat")],
}


def raw(folder: Path) -> Path:
    """A VOC folder with two images of one name, one without objects, and one that can't be read."""
    for source, boxes in BOXES.items():
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for a, b, c, d, label in boxes
        )
        write(draw(folder, source), source.rpartition(".")[0] + ".xml", f"<annotation>{objects}</annotation>")
    write(folder, "train/gone.xml", "<annotation><object><name>cat</name></object></annotation>")
    return folder


def run(source: Path, name: str, to: str, target: Path) -> Path:
    convert.run(ConvertConfig(DataConfig(format=name, path=str(source)), None, to, str(target)))
    return target


def content(folder: Path, name: str) -> dict[tuple[str | None, str], list[tuple[float, float, float, float, str]]]:
    found = Reading(folder, name)
    assert {reason for _, reason, _ in found.reasons} <= {"xml_without_image"}
    return {(image.split, image.path.name): found.boxes(source) for source, image in found.images.items()}


@pytest.mark.parametrize("back", ["voc", "coco", "yolo", "csv", "label_studio"])
@pytest.mark.parametrize("to", ["voc", "coco", "yolo", "csv", "label_studio"])
def test_round_trips(tmp_path: Path, to: str, back: str) -> None:
    expected = content(raw(tmp_path / "raw"), "voc")
    assert len(expected) == 4 and sum(map(len, expected.values())) == 4
    there = run(tmp_path / "raw", "voc", to, tmp_path / "there")
    assert content(there, to) == expected
    assert content(run(there, to, back, tmp_path / "back"), back) == expected
    copied = next(path for path in there.rglob("*.jpg") if path.name == "ä.jpg")
    assert copied.read_bytes() == (tmp_path / "raw/test/ä.jpg").read_bytes()
    assert "train/gone.xml,xml_without_image" in (there / "rejected.csv").read_text()


@pytest.mark.parametrize("to", ["voc", "coco", "yolo", "csv", "label_studio"])
def test_auto_knows_what_was_written(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw(tmp_path / "raw"), "voc", to, tmp_path / "there")
    capsys.readouterr()
    run(tmp_path / "there", "auto", "jsonl", tmp_path / "lines")
    said = capsys.readouterr().out
    assert f": data={to}" in said and f"{to} to jsonl: 4 images, 4 of 4 objects" in said
    first = (tmp_path / "lines/labels.jsonl").read_text().splitlines()[0]
    assert first.startswith('{"file": "') and '"box": [33.33, 11.11, 44.44, 55.55]' in first


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


@pytest.mark.parametrize("name", WRITERS)
def test_scores_are_written(tmp_path: Path, name: str) -> None:
    images = [Written("a.jpg", 100, 80, (Box(10, 20, 30, 40, "cat"),), (0.875,), "test"), Written("b.jpg", 10, 10, ())]
    WRITERS[name].write(images, ["cat"], tmp_path)
    assert any("0.875" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    draw(tmp_path, *(WRITERS[name].place(image) for image in images))
    if name in ("voc", "coco", "yolo", "csv"):
        found = [
            FORMATS[name].read(item, DataConfig(format=name))
            for item in FORMATS[name].list(tmp_path, DataConfig(format=name), [])[0]
        ]
        boxes = [box for image in found if isinstance(image, RawImage) for box in image.boxes]
        assert [(round(b.x1, 3), round(b.y1, 3), round(b.x2, 3), round(b.y2, 3)) for b in boxes] == [(10, 20, 30, 40)]


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
