"""Masks as labelling tools pack them; the bytes were written by hand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mirada.data.folders.masks import enclose_brush, enclose_picture


def pack(*fields: tuple[int, int]) -> list[int]:
    """Bytes of (value, bits) one after the other, filled up with zeros."""
    bits = "".join(f"{value:0{count}b}" for value, count in fields)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def header(pixels: int) -> list[tuple[int, int]]:
    """Four values a pixel of 8 bits; lengths of 3, 4, 8 and 16 bits."""
    return [(pixels * 4, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]


def test_a_brush() -> None:
    """Of 3 x 2 pixels the second and third of the upper row."""
    blocks = [(1, 1), (0, 2), (3, 3), (0, 8)]  # 4 times 0: the first pixel
    blocks += [(1, 1), (1, 2), (7, 4), (255, 8)]  # 8 times 255: the next two
    blocks += [(0, 1), (2, 2), (2, 8), (0, 8), (0, 8), (0, 8)]  # three values one by one
    blocks += [(1, 1), (3, 2), (8, 16), (0, 8)]  # and 9 times 0
    assert enclose_brush(pack(*header(6), *blocks), 3, 2) == (1, 0, 3, 1)


def test_opacity_alone_counts() -> None:
    colour = [(0, 1), (0, 2), (3, 3), (255, 8), (255, 8), (255, 8), (0, 8)]
    faint = [(0, 1), (0, 2), (3, 3), (0, 8), (0, 8), (0, 8), (1, 8)]
    assert enclose_brush(pack(*header(2), *colour, *faint), 2, 1) == (1, 0, 2, 1)
    assert enclose_brush(pack(*header(2), *colour, *colour), 2, 1) is None


@pytest.mark.parametrize(
    ("rle", "size"),
    [
        (pack(*header(2), (1, 1), (1, 2), (7, 4), (255, 8)), (3, 1)),  # of another size
        (pack(*header(2), (1, 1), (0, 2), (3, 3), (255, 8)), (2, 1)),  # cut short
        (pack((2**32 - 1, 32), (7, 5)), (2**15, 2**15)),
        ([1, 2], (1, 1)),
        ([], (1, 1)),
        (["x"], (1, 1)),
        ([300], (1, 1)),
    ],
)
def test_bytes_that_are_no_brush(rle: list[int], size: tuple[int, int]) -> None:
    assert enclose_brush(rle, *size) is None


def packed(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA"])
@pytest.mark.parametrize("start", ["", "data:image/png;base64,"])
def test_a_picture_of_a_mask(mode: str, start: str) -> None:
    shown = np.zeros((20, 30), np.uint8)
    shown[5:9, 10:12] = 255
    mask = Image.fromarray(shown)
    if mode == "LA":
        mask = Image.merge("LA", (mask, mask))
    assert enclose_picture(start + packed(mask if mode == "LA" else mask.convert(mode))) == (10, 5, 12, 9)


@pytest.mark.parametrize("text", ["", "?", "AAAA", packed(Image.new("L", (5, 5)))])
def test_pictures_without_a_mask(text: str) -> None:
    assert enclose_picture(text) is None
