"""What the quantize stage left: its variants, the ladder, and what int8 does to each layer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError
from mirada.tables import Table, ms_text, signed_text


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
        head = [
            "rung",
            "how",
            "on val",
            "drop [95 % interval]",
            "answer",
            "size MB",
            "p50 ms",
            "minutes",
            "layers in float",
        ]
        mark = "✓" if self.ladder["answer"] == "within" else "(best)"
        rows = [
            [
                f"{rung['rung']} {mark}" if rung["rung"] == self.ladder["best"] else rung["rung"],
                rung["what"],
                f"{rung['value']:.3f}",
                "{} [{}, {}]".format(*(signed_text(rung[key]) for key in ("drop", "drop_low", "drop_high"))),
                rung["answer"].replace("_", " "),
                f"{rung['size_bytes'] / 1e6:.2f}",
                ms_text(rung["latency_ms_p50"]),
                f"{rung['minutes']:.1f}",
                str(len(rung["float_layers"])),
            ]
            for rung in self.ladder["rungs"]
        ]
        if any("board" in rung for rung in self.ladder["rungs"]):
            head.append("fits the device")
            for row, rung in zip(rows, self.ladder["rungs"], strict=True):
                row.append(rung["board"]["answer"].replace("_", " "))
        return Table(head, rows)


def read_quantization(folder: Path) -> QuantizationRecord:
    """Read what lies beside the variants.

    Raises:
        MiradaError: a file is damaged, or of an earlier version; it is named.
    """
    plot = folder / "layers.png"
    ladder = _read(folder / "ladder.json")
    if ladder and "answer" not in ladder:
        raise MiradaError(f"{folder / 'ladder.json'} is of an earlier version of Mirada: run the quantize stage again.")
    return QuantizationRecord(
        ladder=ladder,
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
