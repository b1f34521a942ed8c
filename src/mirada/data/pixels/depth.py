"""Images of more than 8 bits: what range of their values becomes 0 to 255, over a whole data set.

Thermal, medical, depth and satellite images use a small part of 16 bits, each device another, or hold measurements as
floats. One range for all images of a data set keeps equal values equal, and a model's card tells it, so that serving scales
as training did.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mirada.data.pixels.opening import open_picture
from mirada.errors import MiradaError

PERCENTILES = (0.5, 99.5)  # of the values that the training images hold: so much is cut off at either end
SAMPLED_IMAGES = 256
SAMPLED_PIXELS = 4096  # of each
_PHOTOMETRIC = 262  # tag of a TIFF: 0 where the least value is white
_ROWS = 256  # scaled at a time, so that floats never fill memory
# Pillow makes 8 bits of a colour's 16 while it unpacks them. What it takes for the upper byte is the lower one in the other
# order of bytes: unpacked twice, all 16 bits are there.
_OTHER_ORDER = {
    **{f"{bands};16L": f"{bands};16B" for bands in ("RGB", "RGBA", "RGBX")},
    **{f"{bands};16B": f"{bands};16L" for bands in ("RGB", "RGBA", "RGBX")},
    **{f"{bands};16N": f"{bands};16{'B' if sys.byteorder == 'little' else 'L'}" for bands in ("RGB", "RGBA", "RGBX")},
}
_GREY_AND_ALPHA = "LA;16B"  # four bytes, as RGBA has: grey's upper and lower, and alpha's


class DepthUnknown(MiradaError):
    """Pixels that mean nothing without a range."""


@dataclass(frozen=True)
class Deep:
    """A decoded image of more than 8 bits.

    Attributes:
        values: (H, W) or (H, W, 3), integers or floats.
        alpha: (H, W) uint8; None: all is opaque.
        inverted: the least value is white.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    inverted: bool = False


def is_deep_grey(image: Image.Image) -> bool:
    """Whether an image is grey with more than 8 bits: 12, 16 or 32 of them, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def is_deep(image: Image.Image) -> bool:
    """Whether an image, opened and not yet decoded, has more than 8 bits a channel, and all of them can be had."""
    return is_deep_grey(image) or _rawmode(image) in (*_OTHER_ORDER, _GREY_AND_ALPHA)


def is_cut_down(image: Image.Image) -> bool:
    """Whether an image, opened and not yet decoded, has more than 8 bits of which Pillow gives the upper 8 alone."""
    return not is_deep(image) and ";16" in _rawmode(image)


def _rawmode(image: Image.Image) -> str:
    """How Pillow unpacks the file's bytes; empty where the format has no such word."""
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def read_deep(source: Path | bytes, transpose: bool) -> Deep:
    """Decode an image for which `is_deep` is true.

    Args:
        source: a file, or the bytes of one.
        transpose: turn it as its EXIF orientation says.

    Raises:
        OSError, SyntaxError, ValueError: and whatever else is in `opening.UNREADABLE`.
    """
    with open_picture(source) as image:
        if is_deep_grey(image):
            inverted = is_inverted(image)
            return Deep(_decode(image, transpose), inverted=inverted)
        rawmode = _rawmode(image)
        if rawmode == _GREY_AND_ALPHA:
            four = _decode(image, transpose, "RGBA")
            return Deep(_join(four[..., 0], four[..., 1]), four[..., 2])
        upper = _decode(image, transpose)
    with open_picture(source) as image:
        lower = _decode(image, transpose, _OTHER_ORDER[rawmode])
    return Deep(_join(upper[..., :3], lower[..., :3]), upper[..., 3] if rawmode.startswith("RGBA") else None)


def _decode(image: Image.Image, transpose: bool, rawmode: str = "") -> np.ndarray:
    """The pixels of an opened image, unpacked in another way where one is given."""
    if rawmode:
        image.tile = [  # type: ignore[attr-defined]  # of files, which this one is
            tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
            for tile in image.tile  # type: ignore[attr-defined]
        ]
    image.load()
    return np.asarray(ImageOps.exif_transpose(image) if transpose else image)


def _join(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return (upper.astype(np.uint16) << 8) | lower


def is_inverted(image: Image.Image) -> bool:
    """Whether the least value of a deep TIFF is white, as some X-rays have it; of 8 bits Pillow turns them by itself."""
    return is_deep_grey(image) and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def to_8_bits(deep: Deep, depth_range: Sequence[float] | None, name: str = "the image") -> Image.Image:
    """A deep image in mode L, RGB, LA or RGBA.

    Args:
        deep: the image.
        depth_range: the values that become 0 and 255; what is beyond is cut, and what is no number becomes 0. None: integers
            are of 16 bits and keep their upper 8.
        name: of the file, for the message.

    Raises:
        DepthUnknown: floats without a range.
    """
    values = deep.values
    if depth_range is None and values.dtype.kind == "f":
        raise DepthUnknown(
            f"{name} holds floating-point pixels of unknown range: set data.depth_range=[low,high], or save it with 8 bits."
        )
    narrow = _narrow(values, depth_range)
    image = Image.fromarray(255 - narrow if deep.inverted else narrow)
    if deep.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(deep.alpha)))
    return image


def _narrow(values: np.ndarray, depth_range: Sequence[float] | None) -> np.ndarray:
    """The values as uint8."""
    if depth_range is not None and values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _scale(np.arange(1 << 16), *depth_range).astype(np.uint8)[
            values
        ]  # three times as fast as each by itself
    narrow = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):
        rows = values[top : top + _ROWS]
        narrow[top : top + _ROWS] = _upper_bits(rows) if depth_range is None else _scale(rows, *depth_range)
    return narrow


def _upper_bits(values: np.ndarray) -> np.ndarray:
    return np.clip(values.astype(np.int64), 0, 65535) >> 8


def _scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((known - low) * (255 / (high - low)), 0, 255))


def sample_values(deep: Deep, box: tuple[int, int, int, int], seed: int, name: str) -> np.ndarray:
    """Some values of a part of a deep image, those that show and are numbers, drawn by the seed and the name.

    Args:
        deep: the image.
        box: x1, y1, x2, y2 of the part in pixels.
        seed, name: whose pixels are drawn.

    Returns:
        (n,) float64; SAMPLED_PIXELS are drawn, of three values each where it has colours.
    """
    x1, y1, x2, y2 = box
    values = deep.values[y1:y2, x1:x2]
    values = values[deep.alpha[y1:y2, x1:x2] > 0] if deep.alpha is not None else values.reshape(-1, *values.shape[2:])
    if len(values) > SAMPLED_PIXELS:
        digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        values = values[rng.integers(0, len(values), SAMPLED_PIXELS)]
    values = values.astype(np.float64).ravel()
    return values[np.isfinite(values)]


def choose_range(samples: Iterable[np.ndarray]) -> tuple[float, float] | None:
    """The PERCENTILES of all samples, the upper one above the lower; None without any value."""
    values = np.concatenate([np.zeros(0), *samples])
    if not len(values):
        return None
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    return low, high if high > low else low + 1.0


def describe_range(found: tuple[float, float] | None, images: int, *, by_hand: bool) -> str:
    """A line that says what becomes of the deep images, and how to have it otherwise."""
    what = f"{images} images of more than 8 bits"
    if found is None:
        return f"{what}, none of them to train on: the upper 8 of 16 bits are kept; data.depth_range=[low,high] sets a range"
    if by_hand:
        return f"{what}: values {found[0]:g} to {found[1]:g} become 0 to 255, as data.depth_range says"
    low, high = PERCENTILES
    return (
        f"{what}: values {found[0]:g} to {found[1]:g} ({low:g} to {high:g} % of what the training images hold) become 0 to "
        "255; data.depth_range=[low,high] sets others"
    )
