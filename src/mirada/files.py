"""Files that are there whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
