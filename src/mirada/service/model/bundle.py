"""A model as the service holds it: a copy of its card and variants, known by their digest, that nothing changes any more.

A stage that runs again writes new files under the same names, and LiteRT maps files into memory: so a model is copied
below the service's folder before it is used. Workers, which may be on other machines, get the same files from the queue.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.usual import Histogram

_KEPT = 3  # copies below the service's folder
_FILE = re.compile(r"[A-Za-z0-9_-]+\.(tflite|json)")


@dataclass
class Bundle:
    """A model's copy.

    Attributes:
        folder: where it lies: model.json, variants.json and a .tflite a variant.
        digest: SHA-256 of card and variants, hexadecimal.
        card: its card.
        variants: name -> file, in the order of variants.json.
        entries: name -> its entry in variants.json.
        figures: name -> what evaluation measured, as in metrics.json; empty where it was not measured.
        version: in the registry, else None.
        usual: what images showed and what was found, on those of validation; empty where that was not measured.
    """

    folder: Path
    digest: str
    card: Card
    variants: dict[str, Path]
    entries: dict[str, dict[str, Any]]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str | None = None
    usual: dict[str, Histogram] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the model: its data and its network."""
        return f"{self.card.dataset} {self.card.model.get('name', '')}".strip()

    def default_variant(self, wanted: str | None = None) -> str:
        """The variant for requests that name none."""
        names = ([wanted] if wanted else []) + ["best", "int8"]
        return next((name for name in names if name in self.variants), next(iter(self.variants)))

    def least_score(self, wanted: float | None = None) -> float:
        """The score of detections from which on they are given to requests that name none."""
        return self.card.min_score if wanted is None else wanted

    def files(self) -> dict[str, bytes]:
        """File name -> content, for `unpack` on another machine."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


def copy_model(card_dir: Path, variants_dir: Path, var_dir: Path) -> Bundle:
    """Copy a model below `var_dir`, unless it lies there already.

    Raises:
        MiradaError: a stage has not run, or a file is damaged.
    """
    card_file, list_file = card_dir / "model.json", variants_dir / "variants.json"
    for path, stage in ((card_file, "train"), (list_file, "quantize")):
        if not path.is_file():
            raise MiradaError(f"{path} is missing: there is no model to serve yet, run `make run` first ({stage}).")
    load_card(card_dir)
    try:
        entries = json.loads(list_file.read_text())["variants"]
        names = {str(entry["file"]): str(entry["sha256"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{list_file} is corrupt ({error!r}): run the quantize stage again.") from error
    try:
        files = {"model.json": card_file.read_bytes(), "variants.json": list_file.read_bytes()}
        files |= {name: (variants_dir / name).read_bytes() for name in names}
    except FileNotFoundError as error:
        raise MiradaError(f"{error.filename} is missing: run the quantize stage again.") from error
    if not names:
        raise MiradaError(f"{list_file} names no variant: run the quantize stage again.")
    for name, digest in names.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise MiradaError(
                f"{variants_dir / name} is corrupt, its sha256 differs from variants.json: run the quantize stage again."
            )
    return unpack(files, var_dir)


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, hexadecimal."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return whole.hexdigest()


def unpack(files: Mapping[str, bytes], var_dir: Path) -> Bundle:
    """Write a model's files below `var_dir`, whole or not at all, and open the copy.

    Raises:
        MiradaError: a name is not one of a model's files, or the disk is full.
    """
    if wrong := [name for name in files if not _FILE.fullmatch(name)]:
        raise MiradaError(f"{wrong[0]!r} is no name of a model's file: quantize the model again.")
    models, digest = var_dir / "models", digest_of_files(files)
    folder = models / digest[:16]
    if not _is_whole(folder, digest):
        part: Path | None = None
        try:
            models.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=".part-", dir=models))
            for name, content in files.items():
                (part / name).write_bytes(content)
            shutil.rmtree(folder, ignore_errors=True)  # what a power cut left
            part.rename(folder)
        except OSError as error:
            if part is not None:
                shutil.rmtree(part, ignore_errors=True)
            if not folder.is_dir():  # else another process was faster
                raise MiradaError(
                    f"{folder} can't be written ({error.strerror}): make room on its disk, or give var_dir another one."
                ) from error
    return open_bundle(folder, digest)


def _is_whole(folder: Path, digest: str) -> bool:
    """Whether a copy is there with all that it had."""
    try:
        return digest_of_files({path.name: path.read_bytes() for path in folder.iterdir()}) == digest
    except OSError:
        return False


def open_bundle(folder: Path, digest: str) -> Bundle:
    """A copy that lies there."""
    told = json.loads((folder / "variants.json").read_text())
    entries = {entry["name"]: entry for entry in told["variants"]}
    variants = {name: folder / entry["file"] for name, entry in entries.items()}
    usual = {name: Histogram(**counted) for name, counted in told.get("usual", {}).items()}
    return Bundle(folder, digest, load_card(folder), variants, entries, usual=usual)


def find_copy(digest: str, var_dir: Path) -> Bundle | None:
    """The copy of a digest, where there is one that is whole."""
    folder = var_dir / "models" / digest[:16]
    return open_bundle(folder, digest) if _is_whole(folder, digest) else None


def find_model(digest: str, var_dir: Path, fetch: Callable[[], Mapping[str, bytes]]) -> Bundle | None:
    """The copy of a digest, made of the files that `fetch` gives where there is none yet; None where it gives none.

    Raises:
        MiradaError: as `unpack`.
    """
    if (bundle := find_copy(digest, var_dir)) is None and (files := fetch()):
        bundle = unpack(files, var_dir)
    return bundle


def remove_old_copies(var_dir: Path, used: str) -> None:
    """Keep the newest few copies and the one in use."""
    folders = [path for path in (var_dir / "models").iterdir() if path.is_dir() and path.name != used[:16]]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
