"""Folders in object stores, and whatever else fsspec knows by a URL: `s3://bucket/folder`, `gs://…`, `file:///…`.

A store's client raises what it likes; here everything becomes a sentence that names the URL. Stages work on files of this
machine: what is read from a store lies in the cache meanwhile, and what goes there is built in it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mirada.errors import MiradaError

ANSWER_S = 8.0  # a store that has said nothing for so long at the first question counts as away
_AT_ONCE = 256  # files handed to the store's client at a time, which transfers several of them at once
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "r2", "b2"}  # have no folders to be made
_MARKS = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "last_modified", "mtime", "created", "updated")

Report = Callable[[int, int], None]  # (done, total) files


def is_url(path: str | Path | None) -> bool:
    """Whether a path names a place beyond this machine's file system, `scheme://…`."""
    return path is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(path)) is not None


def without_password(url: str) -> str:
    """A URL as it may be shown and recorded."""
    return re.sub(r"//[^/@]*@", "//", url).rstrip("/")


def cache_dir() -> Path:
    """Where downloads that every project shares are kept: $MIRADA_CACHE, else the user's cache folder."""
    base = os.environ.get("MIRADA_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mirada"


@dataclass(frozen=True)
class StoredFile:
    """A file of a store: its size in bytes and what changes with its content, an etag or a time, as the store has it."""

    size: int
    mark: str


class Store:
    """A folder, or one file, that fsspec reaches by a URL."""

    def __init__(self, url: str) -> None:
        """Make contact.

        Args:
            url: `scheme://…`, of a folder or a file; it need not exist.

        Raises:
            MiradaError: the client is not installed, or the store doesn't answer in time.
        """
        self.full_url = url.rstrip("/")
        self.url = without_password(self.full_url)  # as it is shown
        for name in ("aiobotocore", "botocore"):  # they tell where they found credentials and endpoint
            logging.getLogger(name).setLevel(logging.WARNING)
        with self._told("reached"):
            import fsspec

            try:
                self._fs, path = fsspec.core.url_to_fs(url)
            except ImportError as error:
                protocol = url.partition(":")[0]
                extra = "'mirada[s3]'" if protocol in ("s3", "s3a") else f"what fsspec needs for it ({error})"
                raise MiradaError(f"{self.url} needs a package that is not installed: pip install {extra}.") from error
        self._path = str(path).rstrip("/")
        self._fs.invalidate_cache()
        self._kind = self._ask(self._look)

    def _look(self) -> str:
        """'file', 'directory' or 'nothing'."""
        try:
            return str(self._fs.info(self._path)["type"])
        except FileNotFoundError as error:
            self._absent = error
            return "nothing"

    def _ask(self, question: Callable[[], str]) -> str:
        """The store's first answer; a client left to itself may try for minutes."""
        answers: list[Any] = []

        def ask() -> None:
            try:
                answers.append(question())
            except Exception as error:  # told below, in the thread that wants to know
                answers.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ANSWER_S)
        if not answers:
            raise MiradaError(f"{self.url} has not answered for {ANSWER_S:.0f} s: {_NETWORK}.")
        with self._told("read"):
            if isinstance(answers[0], Exception):
                raise answers[0]
        return str(answers[0])

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn whatever the client raises into a sentence."""
        try:
            yield
        except MiradaError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise MiradaError(f"{self.url} can't be {what} ({reason}): {_advice(error)}.") from error

    @property
    def is_file(self) -> bool:
        """Whether the URL is that of a file."""
        return self._kind == "file"

    def refuse_absent(self) -> None:
        """Refuse a URL that names nothing.

        Raises:
            MiradaError: in that case.
        """
        if self._kind == "nothing":
            with self._told("read"):
                raise self._absent

    def refuse_read_only(self) -> None:
        """Find out before the work, not after it, whether its result can be written.

        Raises:
            MiradaError: the bucket doesn't exist, or this user may not write.
        """
        with self._told("written"):
            self._make_folder()
            name = self._at(f".mirada-{os.getpid()}")
            self._fs.pipe_file(name, b"")
            self._fs.rm_file(name)

    def _make_folder(self) -> None:
        protocol = self._fs.protocol
        if not _BUCKETS & set((protocol,) if isinstance(protocol, str) else protocol):
            self._fs.makedirs(self._path, exist_ok=True)  # in an object store it might make a bucket

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def list(self, *, deep: bool = True) -> dict[str, StoredFile]:
        """The visible files by their path below the folder, sorted; the file itself by its name.

        Args:
            deep: those in folders, too.

        Raises:
            MiradaError: the store fails, or a name would land outside of a folder.
        """
        root = str(PurePosixPath(self._path).parent) if self.is_file else self._path
        with self._told("listed"):
            self._fs.invalidate_cache()
            try:
                if self.is_file:
                    infos = {self._path: self._fs.info(self._path)}
                else:
                    infos = self._fs.find(self._path, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError:
                infos = {}
        files = {}
        for path in sorted(infos):
            name = path[len(root) :].lstrip("/")
            if name and not name.endswith("/") and not any(map(_is_hidden, name.split("/"))):
                files[name] = StoredFile(int(infos[path]["size"] or 0), _mark(infos[path]))
        if escaping := [name for name in files if {"", ".", ".."} & set(name.split("/"))]:
            raise MiradaError(
                f"{self.url} holds {escaping[0]!r}, which would land outside its folder: rename it there."
            )
        return files

    def read(self, name: str) -> bytes | None:
        """The bytes of one file below the folder; None where there is none."""
        with self._told("read"):
            try:
                content: bytes = self._fs.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

    def get(self, files: Mapping[str, StoredFile | None], folder: Path, report: Report | None = None) -> None:
        """Copy files into a folder, under their names, and check their sizes where they are known.

        Raises:
            MiradaError: the store fails, or a file has another size than the listing said.
        """
        names = list(files)
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            sources = [self._path if self.is_file else self._at(name) for name in part]
            with self._told("read"):
                self._fs.get(sources, [str(folder / name) for name in part])
            for name in part:
                told = files[name]
                if told is not None and (folder / name).stat().st_size != told.size:
                    raise MiradaError(f"{self.url}: {name} has changed while it was read: run this again.")
            if report is not None:
                report(start + len(part), len(names))

    def put(self, files: Iterable[Path]) -> None:
        """Copy files into the folder, under their names.

        Raises:
            MiradaError: the store fails.
        """
        todo = list(files)
        for start in range(0, len(todo), _AT_ONCE):
            part = todo[start : start + _AT_ONCE]
            with self._told("written"):
                self._fs.put([str(file) for file in part], [self._at(file.name) for file in part])

    def remove(self, names: Iterable[str]) -> None:
        """Remove files from the folder."""
        if paths := [self._at(name) for name in names]:
            with self._told("written"):
                self._fs.rm(paths)


_NETWORK = "check the network, and the address of the store (AWS_ENDPOINT_URL for one of your own)"


def _advice(error: Exception) -> str:
    """What to do about an error of a client."""
    name = type(error).__name__
    if "Credential" in name or "token" in str(error).lower():
        return "give credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws)"
    if isinstance(error, PermissionError):
        return "use credentials that may do that, or another place"
    if isinstance(error, FileNotFoundError):
        return "correct the bucket or the path"
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return "use a scheme that fsspec knows, such as s3://"
    return _NETWORK


def _mark(info: Mapping[str, Any]) -> str:
    return next((str(info[key]).strip('"') for key in _MARKS if info.get(key)), "")


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..") or part == "__MACOSX"


def digest_listing(files: Mapping[str, StoredFile]) -> str:
    """One sha256 over names, sizes and marks: it changes when a file does."""
    lines = (f"{name}\0{file.size}\0{file.mark}\0" for name, file in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
