"""Files that Pillow opens with help, or not at all."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirada.config.serving import LimitsConfig
from mirada.data.annotations import ADVICE, read_header
from mirada.data.images import image_size, open_image
from mirada.data.pixels import opening
from mirada.errors import MiradaError
from mirada.service.safety import check_image
from tests.data.pixels.writing import tiff_of


def heic(size: tuple[int, int] = (64, 48), colour: tuple[int, int, int] = (200, 60, 30), **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", size, colour)).save(buffer, quality=90, **options)
    return buffer.getvalue()


@pytest.fixture
def unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow as it is before anything has met a HEIC file."""
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"})


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jpg"])
def test_heic_is_opened_by_what_is_in_the_file(tmp_path: Path, unregistered: None, name: str) -> None:
    (tmp_path / name).write_bytes(heic())
    assert read_header(tmp_path / name) == ((64, 48), 1, ["extension_wrong"] if name == "a.jpg" else [])
    pixel = open_image(tmp_path / name).getpixel((30, 20))
    assert np.abs(np.array(pixel) - (200, 60, 30)).max() <= 4


def test_a_turned_heic_is_turned_once(tmp_path: Path, unregistered: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = heic(exif=exif.tobytes())
    assert image_size(data, transpose=True) == open_image(data, transpose=True).size


def test_heic_without_its_library_says_what_to_install(
    tmp_path: Path, unregistered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(heic())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert read_header(tmp_path / "a.heic") == "image_needs_heic"
    assert "install mirada[heic]" in ADVICE["image_needs_heic"]
    with pytest.raises(MiradaError, match=r"a\.heic is a HEIC photograph: install mirada\[heic\], or save it as JPEG"):
        open_image(tmp_path / "a.heic")


@pytest.mark.parametrize(
    ("pixels", "tags", "planar", "bands"),
    [
        (np.zeros((2, 2, 5), "<u2"), {}, False, "5 bands of 16 bits"),
        (np.zeros((2, 2, 8), np.uint8), {}, False, "8 bands of 8 bits"),
        (np.zeros((2, 2, 3), "<f4"), {}, False, "3 bands of 32 bits"),
        (np.zeros((2, 2), "<f8"), {}, False, "1 band of 64 bits"),
        (np.zeros((2, 2, 3), "<u2"), {}, True, "3 bands of 16 bits in planes"),  # Pillow opens it, and reads it wrongly
    ],
)
def test_a_tiff_of_strange_bands_is_refused(
    tmp_path: Path, pixels: np.ndarray, tags: dict[int, tuple[int, ...]], planar: bool, bands: str
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_of(pixels, tags, planar=planar))
    assert read_header(tmp_path / "a.tif") == "image_bands_unknown"
    with pytest.raises(
        MiradaError, match=rf"a\.tif is a TIFF of {bands}, which Pillow does not open: save three bands"
    ):
        open_image(tmp_path / "a.tif")


def test_ordinary_bands_in_planes_are_read() -> None:
    colours = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert np.asarray(open_image(tiff_of(colours, planar=True))).tolist() == colours.tolist()


@pytest.mark.filterwarnings("ignore")  # Pillow's own
def test_a_broken_tiff_is_no_tiff_of_bands(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_of(np.zeros((9, 9), np.uint8))[:60])
    assert read_header(tmp_path / "a.tif") in ("image_unreadable", ((9, 9), 1, []))
    with pytest.raises(MiradaError, match=r"a\.tif cannot be decoded"):
        open_image(tmp_path / "a.tif")
    assert not opening.is_heic(b"II*\x00\x08\x00\x00\x00")


def jpeg_and(ending: bytes = b"", **options: object) -> bytes:
    """A photograph of two colours, and what is written behind it."""
    image = Image.new("RGB", (64, 48), (200, 60, 30))
    image.paste((20, 40, 220), (0, 0, 20, 48))
    written = io.BytesIO()
    image.save(written, str(options.pop("format", "JPEG")), **options)
    return written.getvalue() + ending


@pytest.mark.parametrize(
    "content",
    [
        jpeg_and(
            b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x08" * 3000
        ),  # a film behind it, full of what looks like scans
        jpeg_and(bytes(100_000)),
        jpeg_and(format="MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))]),  # with its small copies
        jpeg_and(icc_profile=bytes(range(256)) * 12_000),  # 3 MB
    ],
    ids=["film", "zeros", "mpo", "icc"],
)
def test_what_cameras_put_around_a_photograph_is_passed_by(content: bytes) -> None:
    assert image_size(content, transpose=True) == (64, 48)
    assert check_image(content, LimitsConfig()) == (64, 48)
    assert np.array_equal(np.asarray(open_image(content, True)), np.asarray(open_image(jpeg_and(), True)))
