"""Grey images of more than 8 bits: what range of their values becomes 0 to 255, over a whole data set.

Thermal, medical and depth images use a small part of 16 bits, each device another, or hold measurements as floats. One range
for all images of a data set keeps equal values equal, and a model's card tells it, so that serving scales as training did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mirada.errors import MiradaError

PERCENTILES = (0.5, 99.5)  # of the values that the training images hold: so much is cut off at either end
SAMPLED_IMAGES = 256
SAMPLED_PIXELS = 4096  # of each
_PHOTOMETRIC = 262  # tag of a TIFF: 0 where the least value is white
_ROWS = 256  # scaled at a time, so that floats never fill memory


class DepthUnknown(MiradaError):
    """Pixels that mean nothing without a range."""


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey with more than 8 bits: 12, 16 or 32 of them, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image, opened and not yet decoded, has several channels of 16 bits; Pillow keeps their upper 8."""
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else None
    rawmode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return not is_deep(image) and isinstance(rawmode, str) and ";16" in rawmode


def is_inverted(image: Image.Image) -> bool:
    """Whether the least value of a deep TIFF is white, as some X-rays have it; of 8 bits Pillow turns them by itself."""
    return is_deep(image) and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def to_8_bits(
    image: Image.Image, depth_range: Sequence[float] | None, name: str = "the image", *, inverted: bool = False
) -> Image.Image:
    """A deep image in mode L.

    Args:
        image: for which `is_deep` is true.
        depth_range: the values that become 0 and 255; what is beyond is cut, and what is no number becomes 0. None: integers
            are of 16 bits and keep their upper 8.
        name: of the file, for the message.
        inverted: the least value is white.

    Raises:
        DepthUnknown: floats without a range.
    """
    values = np.asarray(image)
    if depth_range is None and values.dtype.kind == "f":
        raise DepthUnknown(
            f"{name} holds floating-point pixels of unknown range: set data.depth_range=[low,high], or save it with 8 bits."
        )
    narrow = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):
        rows = values[top : top + _ROWS]
        narrow[top : top + _ROWS] = _upper_bits(rows) if depth_range is None else _scale(rows, *depth_range)
    return Image.fromarray(255 - narrow if inverted else narrow)


def _upper_bits(values: np.ndarray) -> np.ndarray:
    return np.clip(values.astype(np.int64), 0, 65535) >> 8


def _scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((known - low) * (255 / (high - low)), 0, 255))


def sample_values(image: Image.Image, seed: int, name: str) -> np.ndarray:
    """Some of a deep image's values, drawn by the seed and the name; (n,) float64, n at most SAMPLED_PIXELS."""
    values = np.asarray(image).ravel()
    if len(values) > SAMPLED_PIXELS:
        digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        values = values[rng.integers(0, len(values), SAMPLED_PIXELS)]
    values = values.astype(np.float64)
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
    what = f"{images} grey images of more than 8 bits"
    if found is None:
        return f"{what}, none of them to train on: the upper 8 of 16 bits are kept; data.depth_range=[low,high] sets a range"
    if by_hand:
        return f"{what}: values {found[0]:g} to {found[1]:g} become 0 to 255, as data.depth_range says"
    low, high = PERCENTILES
    return (
        f"{what}: values {found[0]:g} to {found[1]:g} ({low:g} to {high:g} % of what the training images hold) become 0 to "
        "255; data.depth_range=[low,high] sets others"
    )
