"""Masks as labelling tools pack them, to the boxes around them: Label Studio's brush, and pictures inside a JSON."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import warnings
from collections.abc import Sequence

from PIL import Image

from mirada.data.folders.geometry import Corners, enclose_runs

_MAX_PIXELS = 1 << 28


def enclose_brush(rle: Sequence[int], width: int, height: int) -> Corners | None:
    """The box around what a brush of Label Studio painted.

    The encoding is that of the package rle-pack of thi.ng/umbrella, of RGBA values, pixel by pixel and row by row; what
    isn't wholly transparent is painted. Bits, the first of a byte its highest: 32 for the number of values, 5 for the bits
    of a value less one, four times 4 for the bits of a length less one; then blocks of a bit (1: one value, repeated), 2
    for which of the four lengths follows, that length less one, and the value or the values.

    Args:
        rle: the bytes.
        width, height: of the image.

    Returns:
        Corners in pixels, x2 and y2 exclusive; None for bytes that aren't such a mask of that size, or an empty mask.
    """
    try:
        bits = bin(int.from_bytes(b"\1" + bytes(rle)))[3:]
        number, value_bits = int(bits[:32], 2), int(bits[32:37], 2) + 1
        sizes = [int(bits[start : start + 4], 2) + 1 for start in range(37, 53, 4)]
        if number != width * height * 4 or not 0 < number <= 4 * _MAX_PIXELS:
            return None
        return enclose_runs(_painted(bits, number, value_bits, sizes), height, width, by_rows=True)
    except (TypeError, ValueError, OverflowError):
        return None


def _painted(bits: str, number: int, value_bits: int, sizes: Sequence[int]) -> list[int]:
    """Runs of pixels, the first transparent, the next painted, and so on.

    Raises:
        ValueError: the bits end too early.
    """
    runs, painted = [0], False
    at, index = 53, 0  # of the next bit, of the next value
    while index < number:
        size = sizes[int(bits[at + 1 : at + 3], 2)]
        count = min(int(bits[at + 3 : at + 3 + size], 2) + 1, number - index)
        repeated = bits[at] == "1"
        at += 3 + size
        for _ in range(1 if repeated else count):
            value = int(bits[at : at + value_bits], 2)
            at += value_bits
            end = index + (count if repeated else 1)
            pixels = end // 4 - index // 4  # whose fourth value, the opacity, this is
            index = end
            if pixels and (value > 0) is not painted:
                runs.append(0)
                painted = not painted
            runs[-1] += pixels
    return runs


def enclose_picture(packed: str) -> Corners | None:
    """The box around what isn't black or transparent in a picture that a JSON holds in base64, as a data URL or not.

    Returns:
        Corners in its pixels; None for what is no picture, or an empty one.
    """
    try:
        content = base64.b64decode(packed.rpartition(",")[2], validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    return None
                shown = picture.getchannel("A") if picture.mode in ("RGBA", "LA") else picture.convert("L")
                found = shown.getbbox()
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, binascii.Error, Image.DecompressionBombError):
        return None
    return (float(found[0]), float(found[1]), float(found[2]), float(found[3])) if found else None
