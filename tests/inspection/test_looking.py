"""One look at an image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.formats import FORMATS
from mirada.inspection.looking import look, measure
from tests.data.formats.drawing import draw, write
from tests.data.formats.tfrecord.records import detection, picture

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
XML = f"<annotation><object><name>cat</name>{BOX}</object></annotation>"


def look_at(folder: Path) -> tuple[RawImage | Rejected, object]:
    data = DataConfig()
    [item], _ = FORMATS["voc"].list(folder, data, [])
    return look(item, data)


def test_statistics_by_hand() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, 10:] = (200, 100, 0)  # half black, half orange
    seen = measure(Image.fromarray(pixels), "d", 7, "PNG", "RGB", 1)
    orange = int(0.299 * 200 + 0.587 * 100)  # 118, as Pillow cuts it
    assert seen.mean == (100, 50, 0) and seen.brightness == pytest.approx(orange / 2, abs=0.5)
    assert seen.colour == 100  # 200 between the channels of half of the pixels
    assert (seen.low, seen.high) == (0, pytest.approx(orange, abs=1)) and seen.contrast == pytest.approx(
        orange / 2, abs=0.5
    )
    assert seen.sharpness == pytest.approx(seen.high / 19 / 2)  # one of nineteen steps across, none down
    assert seen.thumbnail_array()[:, :16].max() == 0 and seen.thumbnail_array()[:, 16:].min() == seen.high


def test_a_large_jpeg_is_read_at_a_smaller_scale_with_its_digest(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg", size=(1600, 1200)), "a.xml", XML)
    found, seen = look_at(tmp_path)
    assert isinstance(found, RawImage) and (found.width, found.height) == (1600, 1200)
    assert seen.digest == hashlib.sha256((tmp_path / "a.jpg").read_bytes()).hexdigest()
    assert (seen.format, seen.mode, seen.frames) == ("JPEG", "RGB", 1)
    assert seen.high - seen.low < 4


def test_an_image_cut_short_is_left_out_with_its_objects(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    found, seen = look_at(write(tmp_path, "a.xml", XML))
    assert isinstance(found, Rejected) and (found.reason, found.objects, seen) == ("image_undecodable", 1, None)


def test_floats_are_looked_at_by_their_own_range(tmp_path: Path) -> None:
    values = np.repeat(np.linspace(0.001, 0.002, 100, dtype=np.float32)[None], 80, axis=0)
    Image.fromarray(values).save(tmp_path / "a.tif")
    found, seen = look_at(write(tmp_path, "a.xml", XML))
    assert isinstance(found, RawImage) and (seen.format, seen.mode) == ("TIFF", "F")
    assert seen.low < 5 and seen.high > 250, "from black to white, and not all black"


def test_a_heic_photograph_is_looked_at(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (100, 80), (200, 100, 50))).save(tmp_path / "a.heic")
    found, seen = look_at(write(tmp_path, "a.xml", XML))
    assert isinstance(found, RawImage) and seen.format == "HEIF"
    assert seen.mean == pytest.approx((200, 100, 50), abs=4)


def test_an_image_inside_a_record_is_looked_at(tmp_path: Path) -> None:
    content = picture(50, "PNG")
    record = detection("a.png", content, [(0.1, 0.25, 0.3, 0.5)], class__text=[b"cat"])
    (tmp_path / "train.tfrecord").write_bytes(record)
    data = DataConfig(format="tfrecord")
    [item], _ = FORMATS["tfrecord"].list(tmp_path, data, [])
    found, seen = look(item, data)
    assert isinstance(found, RawImage) and found.part is not None
    assert (seen.format, seen.size_bytes, seen.digest) == ("PNG", len(content), hashlib.sha256(content).hexdigest())
