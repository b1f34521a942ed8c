"""The records of a TFRecord file, compressed by gzip or not: where they are, and the bytes of one.

The framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from mirada.data.records import masked_crc
from mirada.files import open_content, read_part


def find_records(path: Path) -> Iterator[tuple[int, int]]:
    """Where each record of a TFRecord file begins and how long it is, by the headers alone; compressed by gzip or not.

    Raises:
        ValueError: the file is damaged or cut short from here on; the text says from which record.
        OSError: as `files.open_content`.
    """
    with open_content(path) as file:
        end, at, number = os.fstat(file).st_size, 0, 0
        while at < end:
            header = os.pread(file, 12, at)
            if len(header) < 12 or struct.unpack("<I", header[8:])[0] != masked_crc(header[:8]):
                raise ValueError(f"damaged from record {number} on")
            (length,) = struct.unpack("<Q", header[:8])
            if at + length + 16 > end:
                raise ValueError(f"cut short in record {number}")
            yield at + 12, length
            at, number = at + length + 16, number + 1


def read_record(path: Path, offset: int, length: int) -> bytes:
    """A record of a TFRecord file.

    Args:
        path: the file.
        offset, length: from `find_records`.

    Raises:
        ValueError: its bytes are not those that its checksum tells of.
        OSError: as `files.open_content`.
    """
    body = read_part(path, offset, length + 4)
    if len(body) < length + 4 or struct.unpack("<I", body[length:])[0] != masked_crc(body[:length]):
        raise ValueError("its checksum is another")
    return body[:length]
