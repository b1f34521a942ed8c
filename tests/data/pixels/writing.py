"""Files of kinds that Pillow opens and does not write, made byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel: (H, W), or (H, W, bands) with grey and alpha, RGB or RGBA."""
    height, width = pixels.shape[:2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, content) for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def tiff_of(
    pixels: np.ndarray,
    tags: Mapping[int, tuple[int, ...]] | None = None,
    *,
    planar: bool = False,
    deflate: bool = False,
) -> bytes:
    """A TIFF of an (H, W) or (H, W, bands) array, in the array's byte order, least value black.

    Args:
        pixels: of any integer or float type.
        tags: that overrule or go with the usual ones, each of numbers of 16 bits.
        planar: the bands follow one another, as satellites' images have them.
        deflate: compressed; else as the numbers are.
    """
    order = ">" if pixels.dtype.str[0] == ">" else "<"
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    planes = [pixels[..., band].tobytes() for band in range(bands)] if planar else [pixels.tobytes()]
    planes = [zlib.compress(plane) for plane in planes] if deflate else planes
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    entries: dict[int, tuple[int, ...]] = {
        258: (8 * pixels.dtype.itemsize,) * bands,
        259: (8 if deflate else 1,),
        262: (2 if bands == 3 else 1,),
        277: (bands,),
        284: (2 if planar else 1,),
        339: (kind,) * bands,
    }
    entries |= dict(tags or {})
    long: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        278: (height,),
        279: tuple(map(len, planes)),
        273: (0,) * len(planes),
    }
    long = {tag: values for tag, values in long.items() if tag not in entries}
    count = len(entries) + len(long)
    where = 8 + 2 + 12 * count + 4
    kinds = {**dict.fromkeys(entries, ("H", 3)), **dict.fromkeys(long, ("I", 4))}
    spills = {
        tag: struct.calcsize(f"{len(values)}{kinds[tag][0]}")
        for tag, values in {**entries, **long}.items()
        if struct.calcsize(f"{len(values)}{kinds[tag][0]}") > 4
    }
    at = where + sum(spills.values())
    long[273] = tuple(at + sum(map(len, planes[:number])) for number in range(len(planes)))
    directory, spilled = struct.pack(f"{order}H", count), b""
    for tag, values in sorted({**entries, **long}.items()):
        form, number = kinds[tag]
        content = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(content) > 4:
            spilled, content = spilled + content, struct.pack(f"{order}I", where + len(spilled))
        directory += struct.pack(f"{order}HHI", tag, number, len(values)) + content.ljust(4, b"\0")
    magic = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8)
    return magic + directory + struct.pack(f"{order}I", 0) + spilled + b"".join(planes)
