"""Records on their way to disk: a spool in the order of the work, shards in the order of the data set, one swap at the end.

Nothing but the index of the records is held in memory.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

DATA_SET_FILE = re.compile(r"(((photographs-)?(val|test)|train)-\d{5}-of-\d{5}\.tfrecord|dataset\.json|rejected\.csv)")


class Spool:
    """A file of records in the order in which they were made; `with` opens and removes it."""

    def __init__(self, path: Path) -> None:
        """Prepare a spool at `path`."""
        self._path = path
        self._size = 0
        self.places: dict[str, list[tuple[str, int, int]]] = {}  # split -> (image_id, offset, length)

    def __enter__(self) -> Spool:
        """Open the file."""
        self._file = self._path.open("w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, split: str, image_id: str, framed: bytes) -> None:
        """Append a framed record."""
        self._file.write(framed)
        self.places.setdefault(split, []).append((image_id, self._size, len(framed)))
        self._size += len(framed)

    def read(self, offset: int, length: int) -> bytes:
        """A record again."""
        self._file.seek(offset)
        return self._file.read(length)


def write_shards(
    spool: Spool, split: str, places: Sequence[tuple[str, int, int]], folder: Path, shard_images: int
) -> list[dict[str, Any]]:
    """Copy records into shards whose sizes differ by one image at most.

    Args:
        spool: where the records are.
        split: names the files.
        places: the records in their final order.
        folder: where the shards go.
        shard_images: images a shard, at most.

    Returns:
        For each shard its file name, number of images and sha256.
    """
    count = -(-len(places) // shard_images)
    shards = []
    for number in range(count):
        part = places[len(places) * number // count : len(places) * (number + 1) // count]
        path = folder / f"{split}-{number:05d}-of-{count:05d}.tfrecord"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for _, offset, length in part:
                framed = spool.read(offset, length)
                digest.update(framed)
                file.write(framed)
        shards.append({"file": path.name, "images": len(part), "sha256": digest.hexdigest()})
    return shards


def partial_folder(output_dir: Path, pid: int) -> Path:
    """Where a process builds its output: beside the folder it will become."""
    return output_dir.parent / f".{output_dir.name}.partial-{pid}"


def clean_stale(output_dir: Path) -> None:
    """Remove what killed runs left beside the output; bring an old output back that was moved aside and not replaced."""
    pattern = re.compile(rf"\.{re.escape(output_dir.name)}\.(partial|old)-(\d+)")
    for path in sorted(output_dir.parent.glob(".*")) if output_dir.parent.is_dir() else []:
        found = pattern.fullmatch(path.name)
        if not found or psutil.pid_exists(int(found[2])):
            continue
        if found[1] == "old" and not output_dir.exists():
            path.rename(output_dir)
        else:
            shutil.rmtree(path)


def publish(built: Path, output_dir: Path, pid: int) -> None:
    """Put a finished folder in the place of the old output.

    Where the old folder holds other files as well (Hydra keeps its log there), they stay and ours are replaced one by
    one: `dataset.json`, without which there is no data set, goes first and comes last.

    Args:
        built: the finished folder, beside `output_dir`.
        output_dir: the old output, or nothing.
        pid: of this process, to name the old output while it goes.
    """
    if not output_dir.exists():
        built.rename(output_dir)
        return
    ours = [path for path in output_dir.iterdir() if DATA_SET_FILE.fullmatch(path.name)]
    if len(ours) == sum(1 for _ in output_dir.iterdir()):
        old = output_dir.parent / f".{output_dir.name}.old-{pid}"
        output_dir.rename(old)
        built.rename(output_dir)
        shutil.rmtree(old)
        return
    for path in sorted(ours, key=lambda path: path.name != "dataset.json"):
        path.unlink()
    for path in sorted(built.iterdir(), key=lambda path: path.name == "dataset.json"):
        path.replace(output_dir / path.name)
    built.rmdir()
