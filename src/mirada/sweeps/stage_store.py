"""Outputs of stages kept for other jobs that would make the same: `<folder>/<stage>/<key>/`, found by what shapes them.

An entry is `entry.json` (size and sha256 of each file, and what is told about them) and `files/`. Files come and go as hard
links, so that an entry takes no space of its own while the folder of a job that uses it is there; across file systems
they are copied. An entry appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mirada.data.records import sha256_of

_FORMAT = 1


class StageStore:
    """The outputs of stages that have run, below one folder."""

    def __init__(self, folder: Path) -> None:
        """Prepare a store in a folder that may not be there yet."""
        self._folder = folder

    @contextmanager
    def locked(self, stage: str, key: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold an entry for this process alone; the lock ends with the process, however that ends.

        Args:
            stage: 'train' and so on.
            key: of `fingerprint.job_key`.
            on_wait: called once where another process holds it.
        """
        (self._folder / stage).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / stage / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def take(self, stage: str, key: str, job_dir: Path) -> dict[str, Any] | None:
        """Link an entry's files into a job's folder, where they replace what a former run left at their place.

        Args:
            stage: 'train' and so on.
            key: of `fingerprint.job_key`; `locked` holds it.
            job_dir: the files go to the same relative paths that they were published from.

        Returns:
            What was told about them; None without such an entry, or with a damaged one.
        """
        entry = self._folder / stage / key
        about = _read(entry)
        if about is None:
            return None
        _remove(job_dir, about["outputs"])
        for name in about["files"]:
            link(entry / "files" / name, job_dir / name)
        return dict(about["told"])

    def publish(self, stage: str, key: str, job_dir: Path, outputs: Iterable[str], told: dict[str, Any]) -> None:
        """Make an entry of a job's files, in the place of an older one.

        Args:
            stage: 'train' and so on.
            key: of `fingerprint.job_key`; `locked` holds it.
            job_dir: the job's folder.
            outputs: files and folders below it; what is absent is left out.
            told: anything that JSON can hold.
        """
        parent, outputs = self._folder / stage, list(outputs)
        for stale in parent.glob(f".{key}.*"):
            shutil.rmtree(stale)
        part = parent / f".{key}.part"
        files = {}
        for name in _names(job_dir, outputs):
            link(job_dir / name, part / "files" / name)
            stored = part / "files" / name
            files[name] = {"bytes": stored.stat().st_size, "sha256": sha256_of(stored)}
        part.mkdir(exist_ok=True)
        about = {"format": _FORMAT, "outputs": outputs, "files": files, "told": told}
        (part / "entry.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if (parent / key).exists():
            (parent / key).rename(parent / f".{key}.old")
        part.rename(parent / key)
        shutil.rmtree(parent / f".{key}.old", ignore_errors=True)


def unlink_shared(job_dir: Path, outputs: Iterable[str]) -> None:
    """Remove a job's files that are links to those of others, before a stage writes at their place."""
    for name in _names(job_dir, outputs):
        if (job_dir / name).stat().st_nlink > 1:
            (job_dir / name).unlink()


def link(source: Path, target: Path) -> None:
    """Let the target be the same file as the source, or a copy where that can't be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _read(entry: Path) -> dict[str, Any] | None:
    """`entry.json`, when all its files are what it says."""
    try:
        about = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        if about["format"] != _FORMAT:
            return None
        for name, expected in about["files"].items():
            path = entry / "files" / name
            if path.stat().st_size != expected["bytes"] or sha256_of(path) != expected["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(about)


def _names(job_dir: Path, outputs: Iterable[str]) -> list[str]:
    """The relative paths of the files that the outputs are or hold."""
    found = []
    for output in outputs:
        path = job_dir / output
        if path.is_file():
            found.append(output)
        found += [file.relative_to(job_dir).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
    return found


def _remove(job_dir: Path, outputs: Iterable[str]) -> None:
    for path in (job_dir / output for output in outputs):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
