"""Values of more than 8 bits, each scaled by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mirada.data.annotations import read_header
from mirada.data.images import open_image, to_mode
from mirada.data.pixels.depth import Deep, choose_range, read_deep, sample_values
from mirada.errors import MiradaError
from tests.data.pixels.writing import png_of, tiff_of

GREY = np.array(
    [[0, 1000, 1400, 2000, 3000, 4095]]
)  # scaled by [1000, 3000]: 400 / 2000 is 51 of 255, 1000 / 2000 127.5
SCALED = [0, 0, 51, 128, 255, 255]
RANGE = [1000.0, 3000.0]


def shown(data: bytes, depth_range: list[float] | None = RANGE) -> list[int]:
    return np.asarray(open_image(data, channels=1, depth_range=depth_range))[0].tolist()


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<u4", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4"])
def test_every_grey_tiff_is_scaled(kind: str) -> None:
    assert shown(tiff_of(GREY.astype(kind))) == SCALED
    assert np.asarray(open_image(tiff_of(GREY.astype(kind)), depth_range=RANGE))[0, 2].tolist() == [51, 51, 51]


def test_a_grey_png_is_scaled() -> None:
    assert shown(png_of(GREY)) == SCALED


def test_12_bits_in_a_byte_and_a_half() -> None:
    """Three bytes hold two numbers: 0x578 is 1400, 0x7D0 is 2000."""
    packed = np.array([[0x57, 0x87, 0xD0]], np.uint8)
    assert shown(tiff_of(packed, {258: (12,), 256: (2,)})) == SCALED[2:4]


def test_negative_values_have_their_place() -> None:
    """Hounsfield units: air is -1000, water 0; 400 of the 1600 from -600 to 1000 are 63.75 of 255."""
    assert shown(tiff_of(np.array([[-1000, -200, 1000]], "<i2")), [-600, 1000]) == [0, 64, 255]


def test_floats_that_are_no_numbers() -> None:
    assert shown(tiff_of(np.array([[np.nan, np.inf, -np.inf, 21.5]], "<f4")), [20, 25]) == [
        0,
        255,
        0,
        76,
    ]  # 76.5, to even


@pytest.mark.parametrize("kind", ["<u2", "<f4"])
def test_an_x_ray_whose_least_value_is_white(kind: str) -> None:
    assert shown(tiff_of(GREY.astype(kind), {262: (0,)})) == [255 - value for value in SCALED]


def test_without_a_range_16_bits_keep_their_upper_8() -> None:
    assert shown(png_of(np.array([[0, 255, 256, 65535]])), None) == [0, 0, 1, 255]
    assert shown(tiff_of(np.array([[-5, 70_000, 0x1234]], "<i4")), None) == [0, 255, 0x12]


def test_floats_without_a_range_are_refused(tmp_path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_of(GREY.astype("<f4")))
    with pytest.raises(
        MiradaError, match=r"a\.tif holds floating-point pixels of unknown range: set data\.depth_range"
    ):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
@pytest.mark.parametrize("deflate", [False, True])
def test_colours_of_16_bits_keep_all_of_them(kind: str, deflate: bool) -> None:
    """Of 12 bits of a satellite's 16 the upper 8 alone would be black."""
    colours = np.array([[[1400, 2000, 3000], [1000, 1008, 4095]]], kind)
    for data in (tiff_of(colours, deflate=deflate), png_of(colours)):
        assert np.asarray(open_image(data, depth_range=RANGE))[0].tolist() == [[51, 128, 255], [0, 1, 255]]
        assert np.asarray(open_image(data))[0].tolist() == [[5, 7, 11], [3, 3, 15]]
    four = np.concatenate([colours, np.full((1, 2, 1), 9, kind)], axis=2)  # near infrared, say
    beside = tiff_of(four, {262: (2,), 338: (0,)}, deflate=deflate)
    assert np.asarray(open_image(beside, depth_range=RANGE))[0, 0].tolist() == [51, 128, 255]


def test_what_is_transparent_is_white_and_what_is_half_so_is_half() -> None:
    """Alpha 0x8000 keeps its upper 8 bits: 51 * 128 / 255 + 255 * 127 / 255 is 152.6."""
    alphas = [0, 0x8000, 0xFFFF]
    grey = png_of(np.array([[[1400, alpha] for alpha in alphas]]))
    colour = png_of(np.array([[[1400, 1400, 1400, alpha] for alpha in alphas]]))
    assert shown(grey) == shown(colour) == [255, 153, 51]


def test_an_exif_orientation_turns_values_with_their_colours() -> None:
    colours = np.arange(6 * 3).reshape(2, 3, 3).astype("<u2") * 1000
    for data in (tiff_of(colours), tiff_of(colours[..., 0])):
        plain = read_deep(data, True).values
        marked = tiff_of(colours if plain.ndim == 3 else colours[..., 0], {274: (6,)})
        assert (read_deep(marked, True).values == np.rot90(plain, -1)).all()
        assert np.asarray(open_image(marked, True, depth_range=[0, 17_000])).shape == (3, 2, 3)


def test_an_image_of_8_bits_is_taken_as_it_is() -> None:
    image = Image.new("L", (2, 2), 40)
    assert to_mode(image, 1, RANGE).getpixel((0, 0)) == 40
    assert to_mode(Image.fromarray(GREY.astype(np.uint16)), 1, RANGE).getpixel((2, 0)) == 51


def test_a_header_tells_of_depth(tmp_path) -> None:
    files = {
        "grey.png": png_of(GREY),
        "colour.png": png_of(np.zeros((1, 1, 3))),
        "float.tif": tiff_of(GREY.astype("<f4")),
        "print.tif": tiff_of(np.zeros((1, 1, 4), "<u2"), {262: (5,)}),
        "flat.tif": tiff_of(np.zeros((2, 2, 3), np.uint8)),
    }
    found = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        found[name] = read_header(tmp_path / name)[2]
    assert found == {
        "grey.png": ["depth_reduced"],
        "colour.png": ["depth_reduced"],
        "float.tif": ["depth_reduced"],
        "print.tif": ["colour_depth_reduced"],
        "flat.tif": [],
    }


def test_the_range_leaves_out_half_a_per_cent_at_either_end() -> None:
    assert choose_range([np.arange(1000.0, 1101.0), np.arange(1101.0, 1201.0)]) == (1001.0, 1199.0)  # of 201 values
    assert choose_range([np.full(5, 7.0)]) == (7.0, 8.0)
    assert choose_range([]) is None and choose_range([np.zeros(0)]) is None


def test_samples_are_of_what_shows_and_drawn_by_the_seed() -> None:
    values = np.arange(100 * 100).reshape(100, 100)
    drawn = sample_values(Deep(values), (0, 0, 100, 100), 0, "a")
    assert len(drawn) == 4096 and (drawn == sample_values(Deep(values), (0, 0, 100, 100), 0, "a")).all()
    assert (drawn != sample_values(Deep(values), (0, 0, 100, 100), 1, "a")).any()
    assert sample_values(Deep(values), (3, 2, 5, 3), 0, "a").tolist() == [203, 204]
    alpha = np.zeros((100, 100), np.uint8)
    alpha[7, 9] = 1
    assert sample_values(Deep(values, alpha), (0, 0, 100, 100), 0, "a").tolist() == [709]
    assert sample_values(Deep(np.array([[np.nan, 2.0]])), (0, 0, 2, 1), 0, "a").tolist() == [2.0]
