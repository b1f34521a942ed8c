"""Files that are there whole or not at all, whatever stops the process that writes them; and parts of big ones."""

from __future__ import annotations

import gzip
import os
import secrets
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

# A compressed file that grows by more than this, once it is past a gibibyte, is taken for a bomb; photographs hardly grow.
_MAX_GROWTH = 100
_GROWTH_COUNTS_FROM = 1 << 30
_BLOCK = 1 << 20


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write meanwhile: it takes the place of `path` at the end, or goes if an error ends the block.

    It lies beside `path`, with the same suffix and a name that no other process takes. As `path` is replaced and not
    written over, other names of the same file (hard links) keep the old content.
    """
    part = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, so that nobody ever sees half of it."""
    with written_aside(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def check_room(folder: Path, size: int) -> None:
    """Ask before a library writes that takes a full disk badly, as HDF5 does: it crashes the process.

    Raises:
        OSError: so many bytes can't be written there.
    """
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            os.posix_fallocate(probe.fileno(), 0, size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from error


class _Unpacked:
    """The content of a gzip file in a file without a name, closed with the last who knows it."""

    def __init__(self, path: Path) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        allowance = max(_GROWTH_COUNTS_FROM, path.stat().st_size * _MAX_GROWTH)
        try:
            with gzip.open(path) as packed:
                while block := packed.read(_BLOCK):
                    allowance -= len(block)
                    if allowance < 0:
                        raise OSError("it unpacks to far more than photographs would")
                    self.file.write(block)
        except (EOFError, zlib.error) as error:
            raise OSError(str(error)) from error
        self.file.flush()

    def __del__(self) -> None:
        self.file.close()


@lru_cache(maxsize=2)
def _unpack(path: Path, size: int, time: int) -> _Unpacked:
    return _Unpacked(path)


@contextmanager
def open_content(path: Path) -> Iterator[int]:
    """A number to give to `os.pread`, of a file, or of the content where it is a gzip file.

    That content is unpacked once and kept for the next parts: no part of it can be had without all before it.

    Raises:
        OSError: the file can't be read, or its compression is damaged or that of a bomb.
    """
    with path.open("rb") as file:
        if os.pread(file.fileno(), 3, 0) != b"\x1f\x8b\x08":
            yield file.fileno()
            return
    status = path.stat()
    content = _unpack(path, status.st_size, status.st_mtime_ns)
    yield content.file.fileno()


def read_part(path: Path, offset: int, length: int) -> bytes:
    """Bytes of a file, or of the content of a gzip file; fewer at its end.

    Raises:
        OSError: as `open_content`.
    """
    with open_content(path) as file:
        return os.pread(file, length, offset)
