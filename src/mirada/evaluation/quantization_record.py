"""What the quantize stage left: its variants, the ladder, and what int8 does to each layer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.data.records import sha256_of
from mirada.errors import MiradaError
from mirada.tasks.base import REFERENCE, Table, ms_text, signed_text


@dataclass
class QuantizationRecord:
    """All of it empty where the stage left nothing.

    Attributes:
        ladder: `ladder.json`.
        sentences: `layers.json`, variant -> what hurts it most.
        plot: `layers.png`.
    """

    ladder: dict[str, Any] = field(default_factory=dict)
    sentences: dict[str, list[str]] = field(default_factory=dict)
    plot: bytes | None = None

    def ladder_table(self) -> Table | None:
        """One row a rung that was tried; None without a ladder."""
        if not self.ladder:
            return None
        head = ["rung", "how", "on val", "drop [95 % interval]", "size MB", "p50 ms", "minutes", "layers in float"]
        mark = "✓" if self.ladder["met"] else "(best)"
        rows = [
            [
                f"{rung['rung']} {mark}" if rung["rung"] == self.ladder["best"] else rung["rung"],
                rung["what"],
                f"{rung['value']:.3f}",
                "{} [{}, {}]".format(*(signed_text(rung[key]) for key in ("drop", "drop_low", "drop_high"))),
                f"{rung['size_bytes'] / 1e6:.2f}",
                ms_text(rung["latency_ms_p50"]),
                f"{rung['minutes']:.1f}",
                str(len(rung["float_layers"])),
            ]
            for rung in self.ladder["rungs"]
        ]
        return Table(head, rows)


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


def read_quantization(folder: Path) -> QuantizationRecord:
    """Read what lies beside the variants.

    Raises:
        MiradaError: a file is damaged; it is named.
    """
    plot = folder / "layers.png"
    return QuantizationRecord(
        ladder=_read(folder / "ladder.json"),
        sentences=_read(folder / "layers.json"),
        plot=plot.read_bytes() if plot.is_file() else None,
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MiradaError(f"{path} is corrupt ({error}): run the quantize stage again.") from error
    return content if isinstance(content, dict) else {}
