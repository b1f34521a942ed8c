"""Where a data set goes: a folder of this machine or of a store. It is built beside it and put there whole, at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mirada.data.shards import clean_stale, partial_folder, publish
from mirada.data.stored_data import publish_dataset
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.storage import Store, cache_dir, is_url


class Target(Protocol):
    """A place for a data set.

    Attributes:
        built: the empty folder to build it in.
    """

    built: Path

    def publish(self) -> Path:
        """Put what was built in its place; returns a folder of this machine with the files, until the target is closed."""

    def write_timing(self, content: str) -> None:
        """Write `<output>.timing.json` beside the data set."""


@contextmanager
def open_target(output_dir: str) -> Iterator[Target]:
    """Prepare a place; what was left unfinished in it is removed at the end.

    Args:
        output_dir: a folder, or the URL of one.

    Raises:
        MiradaError: it can't be written.
    """
    target: _Folder | _StoredFolder = _StoredFolder(output_dir) if is_url(output_dir) else _Folder(output_dir)
    try:
        with disk_errors(target.shown):
            target.built.parent.mkdir(parents=True, exist_ok=True)
            clean_stale(target.whole)
            target.built.mkdir()
        yield target
    finally:
        shutil.rmtree(target.built, ignore_errors=True)


@contextmanager
def disk_errors(shown: object) -> Iterator[None]:
    """Tell an error of this machine's disk in a sentence that names the output."""
    try:
        yield
    except OSError as error:
        raise MiradaError(
            f"{shown} cannot be made ({error.strerror or error}): free space or choose another output_dir."
        ) from error


class _Folder:
    """A folder of this machine."""

    def __init__(self, output_dir: str) -> None:
        self.whole = self.shown = Path(output_dir).absolute()
        self.built = partial_folder(self.whole, os.getpid())

    def publish(self) -> Path:
        publish(self.built, self.whole, os.getpid())
        return self.whole

    def write_timing(self, content: str) -> None:
        write_whole(self.whole.parent / f"{self.whole.name}.timing.json", content)


class _StoredFolder:
    """A folder of a store; the data set is built in the cache."""

    def __init__(self, url: str) -> None:
        self._store = Store(url)
        self._store.refuse_read_only()
        self.shown = self._store.url
        self.whole = cache_dir() / "outgoing" / hashlib.sha256(self.shown.encode()).hexdigest()[:16]
        self.built = partial_folder(self.whole, os.getpid())

    def publish(self) -> Path:
        publish_dataset(self.built, self._store)
        return self.built

    def write_timing(self, content: str) -> None:
        parent, _, name = self._store.full_url.rpartition("/")
        with tempfile.TemporaryDirectory(dir=self.built.parent) as folder:
            file = Path(folder) / f"{name}.timing.json"
            file.write_text(content, encoding="utf-8")
            Store(parent).put([file])
