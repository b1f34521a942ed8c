"""Records written by hand, byte by byte, so that what reads them is not what wrote them."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c
from PIL import Image

Feature = Sequence[bytes] | Sequence[float] | Sequence[int]


def _number(value: int) -> bytes:
    """A protobuf varint."""
    value &= (1 << 64) - 1
    rest = value >> 7
    return bytes([value & 127 | 128]) + _number(rest) if rest else bytes([value])


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    return _number(number << 3 | 2) + _number(len(content)) + content


def example(features: Mapping[str, Any]) -> bytes:
    """A `tf.train.Example`: bytes, floats or integers by name."""
    entries = b""
    for name, values in features.items():
        if values and isinstance(values[0], bytes):
            kind, content = 1, b"".join(_field(1, value) for value in values)
        elif values and isinstance(values[0], float):
            kind, content = 2, _field(1, b"".join(struct.pack("<f", value) for value in values))
        else:
            kind, content = 3, _field(1, b"".join(_number(value) for value in values))
        entries += _field(1, _field(1, name.encode()) + _field(2, _field(kind, content)))
    return _field(1, entries)


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(record: bytes) -> bytes:
    """A record as it lies in a file."""
    length = struct.pack("<Q", len(record))
    return length + _checksum(length) + record + _checksum(record)


def picture(colour: int, kind: str = "JPEG") -> bytes:
    """An image of 100 x 80 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (100, 80), (colour, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def detection(name: str, image: bytes, boxes: Sequence[Sequence[float]], **more: Any) -> bytes:
    """A record of the Object Detection API with boxes as shares: xmin, ymin, xmax, ymax."""
    features: dict[str, Any] = {
        "image/encoded": [image] if image else [],
        "image/filename": [name.encode()],
        "image/height": [80],
        "image/width": [100],
    }
    for at, side in enumerate(("xmin", "ymin", "xmax", "ymax")):
        features[f"image/object/bbox/{side}"] = [float(box[at]) for box in boxes]
    return framed(example(features | {f"image/object/{key.replace('__', '/')}": value for key, value in more.items()}))
