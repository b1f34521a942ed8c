"""A bundle as a folder that is there whole or not at all, with the digest of every file."""

from __future__ import annotations

import errno
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from mirada.data.records import sha256_of
from mirada.errors import MiradaError
from mirada.export.bundle import model_file
from mirada.export.bundle.content import BundleContent, Part
from mirada.export.bundle.golden import write_golden
from mirada.export.bundle.labels import labels_text
from mirada.export.bundle.metadata import LABELS_FILE
from mirada.export.bundle.readme import write_readme
from mirada.export.bundle.script import MODEL, SUMS
from mirada.export.bundle.single_file import write_single_file
from mirada.inference.card import save_card
from mirada.inference.tflite_file import list_operators, read_tables

FORMAT = 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ABOUT_RUN = """Run the model of this bundle: predict, selftest, benchmark. It needs numpy, pillow and ai-edge-litert.

    python run.py selftest
    python run.py predict photograph.jpg
    python run.py benchmark --threads 2

The functions below are those of Mirada itself, copied from the modules that the lines of dashes name.
"""


def check_output(output_dir: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        MiradaError: it is there and not empty, or no folder.
    """
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise MiradaError(f"{output_dir} is not empty: give a new output_dir.")


@contextmanager
def whole_folder(output_dir: Path) -> Iterator[Path]:
    """A folder to write meanwhile, which becomes `output_dir` at the end, or goes if an error ends the block.

    Raises:
        MiradaError: it can't be written, for want of space or another reason.
    """
    try:
        output_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.") as place:
            new = Path(place) / "new"
            new.mkdir()
            yield new
            if output_dir.exists():
                output_dir.rmdir()
            new.rename(output_dir)
    except OSError as error:
        why = "the disk is full: free space" if error.errno in _FULL else f"{error}: correct that or output_dir"
        raise MiradaError(f"{output_dir} can't be written, {why}; nothing was left half-written.") from error


def write_bundle(bundle: BundleContent, folder: Path, parts: Sequence[Part] = ()) -> None:
    """Write all files of a bundle but its golden vectors' making.

    Args:
        bundle: what it is made of.
        folder: empty.
        parts: what other modules add, in this order; the README is written after them, the digests last.
    """
    (folder / MODEL).write_bytes(bundle.model)
    (folder / LABELS_FILE).write_text(labels_text(bundle.card.labels), encoding="utf-8", newline="\n")
    save_card(bundle.card, folder / "model.json")
    (folder / "run.py").write_text(write_single_file("mirada.export.bundle.script", _ABOUT_RUN), encoding="utf-8")
    write_golden(bundle.golden, folder)
    for part in parts:
        part(bundle, folder)
    _write_about(bundle, folder)
    write_readme(bundle, folder)
    write_sums(folder)


def _write_about(bundle: BundleContent, folder: Path) -> None:
    tables = read_tables(bundle.model)
    kind, outputs = model_file.types_of_ends(tables)
    about = {
        "format": FORMAT,
        "variant": bundle.variant,
        "size_bytes": len(bundle.model),
        "input": kind,
        "outputs": dict(zip(model_file.output_names(tables), outputs, strict=True)),
        "operators": dict(sorted(Counter(list_operators(tables)).items())),
        "device": asdict(bundle.device),
        "figures": bundle.figures,
    }
    (folder / "bundle.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_sums(folder: Path) -> None:
    """`SHA256SUMS`, as `sha256sum -c` reads it: every file below the folder but itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
