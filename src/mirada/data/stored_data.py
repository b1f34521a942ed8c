"""Data sets and raw folders that lie in a store: put there as one, and read through a copy in the cache.

Copies are kept by what is in them, so a data set that was made anew gets a folder of its own, and whoever still reads the
old copy is not disturbed. The cache may be emptied at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mirada.data.records import Dataset, load_dataset, sha256_of
from mirada.data.shards import DATA_SET_FILE, clean_stale, partial_folder, publish
from mirada.data.sources import extract_archive, is_archive, list_folder
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.storage import Store, StoredFile, cache_dir, digest_listing, is_url

_KEY_DIGITS = 20  # of a sha256 in a folder's name


def publish_dataset(built: Path, store: Store) -> None:
    """Put a finished data set into a store, in the place of the one that is there.

    `dataset.json`, without which there is no data set, goes first and comes last: an interruption leaves files that
    nobody takes for one.

    Args:
        built: the folder with the files.
        store: where they go; what else lies there stays.
    """
    files = sorted(built.iterdir())
    old = {name for name in store.list(deep=False) if DATA_SET_FILE.fullmatch(name)}
    store.remove(old & {"dataset.json"})
    store.put(file for file in files if file.name != "dataset.json")
    store.remove(old - {file.name for file in files} - {"dataset.json"})
    store.put(file for file in files if file.name == "dataset.json")


def open_dataset(folder: str | Path, *, verify: bool = False) -> Dataset:
    """The data set of a folder, or of a URL in a store: then of its copy in the cache.

    Args:
        folder: what preprocess wrote.
        verify: also compare each shard's sha256, which reads every byte.

    Raises:
        MiradaError: the stage has not run, a file is missing or damaged, or the store fails.
    """
    if is_url(folder):
        return load_dataset(copy_dataset(str(folder), verify=verify))
    return load_dataset(folder, verify=verify)


def copy_dataset(url: str, *, verify: bool = False) -> Path:
    """The folder of the cache that holds a data set of a store; what is missing there is fetched and checked.

    Args:
        url: of the folder that preprocess wrote.
        verify: also read what is there already, and fetch again what is damaged.

    Raises:
        MiradaError: there is no data set, the store fails, or a shard isn't the one that `dataset.json` names.
    """
    store = Store(url)
    advice = f"run the preprocess stage again (`python src/preprocess.py output_dir={store.url}`)"
    content = store.read("dataset.json")
    if content is None:
        store.refuse_absent()
        raise MiradaError(f"{store.url}/dataset.json is missing: {advice}.")
    shards = _shards(content, f"{store.url}/dataset.json is corrupt: {advice}.")
    with _locked("datasets", content) as folder:
        missing: dict[str, StoredFile | None] = {
            name: None
            for name, sha256 in shards.items()
            if not (folder / name).is_file() or (verify and sha256_of(folder / name) != sha256)
        }
        if missing:
            part = folder / f".part-{os.getpid()}"
            try:
                store.get(missing, part)
                for name in missing:
                    if sha256_of(part / name) != shards[name]:
                        raise MiradaError(f"{store.url}/{name} is not the one that dataset.json names: {advice}.")
                    (part / name).replace(folder / name)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        (folder / "dataset.json").write_bytes(content)
        timing = Store(f"{url.rstrip('/')}.timing.json")
        if timing.is_file:
            timing.get({f"{folder.name}.timing.json": None}, folder.parent)
    return folder


def _shards(content: bytes, mistake: str) -> dict[str, str]:
    """File name -> sha256 of every shard that a `dataset.json` names."""
    try:
        described = json.loads(content)
        splits = [*described["splits"].values(), *described.get("photographs", {}).values()]
        shards = {shard["file"]: shard["sha256"] for split in splits for shard in split["shards"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MiradaError(mistake) from error
    if not all(isinstance(name, str) and DATA_SET_FILE.fullmatch(name) for name in shards):
        raise MiradaError(mistake)
    return shards


def copy_raw(url: str) -> Path:
    """The folder of the cache that holds the raw files of a store, all of them.

    Raises:
        MiradaError: there is nothing, or the store fails.
    """
    store = Store(url)
    store.refuse_absent()
    files = store.list()
    with _locked("raw", f"{store.url}\0{digest_listing(files)}".encode()) as folder:
        whole = folder / "files"
        if not whole.is_dir():
            part = folder / "part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            store.get(files, part)
            part.rename(whole)
    return whole


def raw_folder(source: str, unpacked: Path, *, follow_links: bool) -> Path:
    """The folder to read: one of this machine as it is, an archive unpacked, a copy of what lies in a store.

    Args:
        source: a folder, an archive, or the URL of a store.
        unpacked: where an archive goes; made where it is needed.
        follow_links: whether links in a folder may lead out of it.

    Raises:
        MiradaError: it is none of these, or holds a link that leads out.
    """
    if is_url(source):
        return copy_raw(source)
    path = Path(source).expanduser()
    if path.is_dir():
        for _ in list_folder(path, follow_links=follow_links):  # refuses a link that leads out
            pass
        return path
    if not path.is_file() or not is_archive(path):
        raise MiradaError(
            f"{path} is no folder and no archive: correct data.path, or run fetch first (`dvc repro fetch`)."
        )
    unpacked.mkdir()
    extract_archive(path, unpacked, lambda done, total: None)
    return unpacked


@contextmanager
def _locked(kind: str, content: bytes) -> Iterator[Path]:
    """A folder of the cache, named by content, for one process at a time."""
    from filelock import FileLock

    folder = cache_dir() / kind / hashlib.sha256(content).hexdigest()[:_KEY_DIGITS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            yield folder
    except OSError as error:
        raise MiradaError(
            f"{cache_dir()} can't hold a copy ({error.strerror}): free space or set MIRADA_CACHE to another folder."
        ) from error


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
