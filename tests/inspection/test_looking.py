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
