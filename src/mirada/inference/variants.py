"""The variants of a model: its `.tflite` files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mirada.data.records import sha256_of
from mirada.errors import MiradaError

REFERENCE = "float32"  # the variant that all others are compared with


def load_variants(folder: Path) -> dict[str, Path]:
    """The `.tflite` files that `variants.json` lists, in its order, each checked by its sha256.

    Raises:
        MiradaError: the quantize stage has not run, a file is missing or damaged, or float32 is not among them.
    """
    path = folder / "variants.json"
    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the quantize stage first (`dvc repro quantize`).")
    try:
        entries = [
            (entry["name"], folder / entry["file"], entry["sha256"])
            for entry in json.loads(path.read_text())["variants"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{path} is corrupt ({error!r}): run the quantize stage again.") from error
    for _, file, digest in entries:
        if not file.is_file():
            raise MiradaError(f"{file} is missing: run the quantize stage again (`dvc repro quantize`).")
        if sha256_of(file) != digest:
            raise MiradaError(
                f"{file} is corrupt, its sha256 differs from variants.json: run the quantize stage again."
            )
    if REFERENCE not in [name for name, _, _ in entries]:
        raise MiradaError(f"{path} lists no float32, which every variant is compared with: quantize with it.")
    return {name: file for name, file, _ in entries}


def same_files(variants: Mapping[str, Path]) -> dict[str, str]:
    """Each variant -> the first whose file holds the same bytes; mostly itself, but `best` often is the file of another."""
    digests = {name: sha256_of(path) for name, path in variants.items()}
    return {name: next(first for first in digests if digests[first] == digest) for name, digest in digests.items()}


def choose_variant(names: Sequence[str], wanted: str | None = None) -> str:
    """The variant that is wanted; where none is named, the one that the ladder chose, else int8, else the first.

    Raises:
        MiradaError: the wanted one is not among them.
    """
    if wanted is not None and wanted not in names:
        raise MiradaError(f"variant={wanted} is not among {', '.join(names)}: choose one of them.")
    return wanted or next((name for name in ("best", "int8") if name in names), names[0])
