"""What is kept of a photograph to find others that are like it: a few kilobytes, in half a millisecond.

A hash is the perceptual hash of the library `imagehash` (`phash`: the signs of the 64 lowest cosine coefficients about their
median). That library takes a tenth of a millisecond for one and a resizing for each; here all 71 of a photograph, of its
eight orientations and of the windows that a crop may have left, come out of one matrix product with the small picture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import google_crc32c
import numpy as np
from PIL import Image

SIDE = 64  # pixels of the small picture
_SAMPLES = 32  # a side of what is hashed
_FREQUENCIES = 8

ORIENTATIONS = (
    "as it is",
    "flipped left to right",
    "flipped upside down",
    "turned by 180°",
    "flipped about a diagonal",
    "turned by 90° to the right",
    "turned by 90° to the left",
    "flipped about the other diagonal",
)
"""What the small picture becomes by `turned`."""

# A crop keeps so much of both sides; so many places along each are tried. Between two of them a crop lies at most a
# twelfth of its side from a window, which changes 14 bits of 64 at most for nine crops of ten.
_KEPT = ((0.95, 2), (0.9, 3), (0.85, 3), (0.8, 3), (0.75, 4), (0.7, 4))
_STARTS = tuple((kept, tuple(np.linspace(0, 1 - kept, places).tolist())) for kept, places in _KEPT)
WINDOWS = tuple((x, y, x + kept, y + kept) for kept, starts in _STARTS for y in starts for x in starts)
"""The windows: x1, y1, x2, y2 as shares of the sides."""
_FIRST_OF_NINE = (4, 13, 22)  # of the three sizes that have three places along each side
OPPOSITE = tuple((first + at, first + 8 - at) for first in _FIRST_OF_NINE for at in range(9) if at != 4)
"""Pairs of windows: what a view shows in the first, one that is shifted by as much as they are shows in the second."""


@dataclass(frozen=True, slots=True)
class Hashes:
    """What is known of one photograph.

    Attributes:
        pixels: digest of the decoded pixels and their number.
        width, height: of the photograph in pixels.
        whole: 8 hashes of 64 bits, of the photograph in each of `ORIENTATIONS`.
        windows: a hash for each of `WINDOWS`.
        small: the photograph in 64 x 64 grey values, whatever its shape.
    """

    pixels: str
    width: int
    height: int
    whole: bytes
    windows: bytes
    small: bytes


def hashes_of(image: Image.Image, full_size: tuple[int, int] | None = None) -> Hashes:
    """What is to be kept of a photograph.

    Args:
        image: grey or in colour; it may be decoded at 1/2, 1/4 or 1/8 of its size, if photographs of that size always are.
        full_size: width and height before a reduced decoding; None when the image has its full size.
    """
    plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
    small = np.asarray(plain.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    # Of pictures that are one when small, a checksum tells whether they are when large: ten times as fast as a digest.
    large = google_crc32c.value(plain.tobytes())
    digest = hashlib.sha256(f"{plain.mode} {image.width} {image.height} {large} ".encode() + small.tobytes())
    width, height = full_size or image.size
    return Hashes(digest.hexdigest()[:32], width, height, _hash_whole(small), _hash_windows(small), small.tobytes())


def turned(small: np.ndarray, orientation: int) -> np.ndarray:
    """(…, H, W) pictures in one of `ORIENTATIONS`, a number from 0."""
    if orientation & 4:
        small = np.swapaxes(small, -1, -2)
    if orientation & 2:
        small = small[..., ::-1, :]
    return small[..., ::-1] if orientation & 1 else small


def _frequencies(start: float, end: float) -> np.ndarray:
    """(8, 64): sample a part of a row of the small picture 32 times, and take the lowest cosine coefficients of that.

    Args:
        start, end: of the part, as shares of the row.
    """
    edges = np.linspace(start, end, _SAMPLES + 1) * SIDE
    pixel = np.arange(SIDE)
    # How much of each pixel lies in each sample: the mean of the row there, as a resizing by boxes has it.
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    samples = np.clip(covered, 0, None) / (edges[1] - edges[0])
    angle = np.pi * np.arange(_FREQUENCIES)[:, None] * (2 * np.arange(_SAMPLES) + 1) / (2 * _SAMPLES)
    return np.cos(angle) @ samples


_WHOLE = _frequencies(0, 1)
_WINDOWS = [np.concatenate([_frequencies(start, start + kept) for start in starts]) for kept, starts in _STARTS]


def _hash_whole(small: np.ndarray) -> bytes:
    pictures = np.stack([turned(small, orientation) for orientation in range(len(ORIENTATIONS))])
    return _bits(_WHOLE @ pictures @ _WHOLE.T)


def _hash_windows(small: np.ndarray) -> bytes:
    """Of all windows that keep the same share, the coefficients are the blocks of one product."""
    blocks = []
    for frequencies in _WINDOWS:
        places = len(frequencies) // _FREQUENCIES
        product = (frequencies @ small @ frequencies.T).reshape(places, _FREQUENCIES, places, _FREQUENCIES)
        blocks.append(product.swapaxes(1, 2).reshape(-1, _FREQUENCIES, _FREQUENCIES))
    return _bits(np.concatenate(blocks))


def _bits(coefficients: np.ndarray) -> bytes:
    """(N, 8, 8) coefficients to N hashes of 8 bytes: which of them are above their median."""
    flat = coefficients.reshape(len(coefficients), -1)
    return np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1).tobytes()
