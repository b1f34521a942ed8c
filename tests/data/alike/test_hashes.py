import imagehash
import numpy as np
import pytest
from PIL import Image

from mirada.data.alike.hashes import ORIENTATIONS, SIDE, WINDOWS, hashes_of, turned
from tests.data.alike.photographs import photograph

METHODS = {
    1: Image.Transpose.FLIP_LEFT_RIGHT,
    2: Image.Transpose.FLIP_TOP_BOTTOM,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.TRANSPOSE,
    5: Image.Transpose.ROTATE_270,  # Pillow turns to the left
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
}


def bits_apart(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()


@pytest.mark.parametrize("seed", range(5))
def test_the_hash_is_that_of_imagehash(seed: int) -> None:
    """But for bits about the median, which another rounding of the scaled picture turns."""
    image = photograph(seed)
    expected = np.packbits(imagehash.phash(image).hash.ravel()).tobytes()
    assert bits_apart(hashes_of(image).whole[:8], expected) <= 4


@pytest.mark.parametrize("number", METHODS)
def test_a_turned_photograph_has_the_hash_of_its_orientation(number: int) -> None:
    image = photograph(1, (256, 256))
    plain, other = hashes_of(image), hashes_of(image.transpose(METHODS[number]))
    assert bits_apart(other.whole[:8], plain.whole[8 * number : 8 * number + 8]) <= 2  # grey values round another way
    small, expected = (np.frombuffer(one.small, np.uint8).reshape(SIDE, SIDE).astype(int) for one in (plain, other))
    assert np.abs(turned(small, number) - expected).max() <= 1
    assert len(ORIENTATIONS) == len(METHODS) + 1


def test_a_crop_has_nearly_the_hash_of_its_window() -> None:
    image = photograph(2, (400, 400))
    whole = hashes_of(image)
    for number, (x1, y1, x2, y2) in enumerate(WINDOWS):
        crop = image.crop((round(400 * x1), round(400 * y1), round(400 * x2), round(400 * y2)))
        assert bits_apart(hashes_of(crop).whole[:8], whole.windows[8 * number : 8 * number + 8]) <= 8


def test_pixels_tell_of_every_pixel_and_of_nothing_else() -> None:
    image = photograph(3)
    same = hashes_of(image.copy())
    assert same == hashes_of(image)
    image.putpixel((7, 7), (0, 0, 0) if image.getpixel((7, 7)) != (0, 0, 0) else (1, 1, 1))
    assert hashes_of(image).pixels != same.pixels


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_any_mode_is_hashed_and_the_full_size_is_kept(mode: str) -> None:
    image = photograph(4).convert(mode)
    found = hashes_of(image, (3200, 2400))
    assert (found.width, found.height) == (3200, 2400)
    assert (len(found.whole), len(found.windows), len(found.small)) == (64, 8 * len(WINDOWS), SIDE * SIDE)
