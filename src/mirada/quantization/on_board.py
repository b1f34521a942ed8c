"""What the quantize stage tells of a device: for each variant and rung what it takes there, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirada.boards.asking import FIGURES
from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH
from mirada.tables import Table

Record = Mapping[str, Any]
"""As `boards.asking.BoardJudge.record` gives it."""
MISSES: dict[str, tuple[str, ...]] = {"warn": (), "fail": (TOO_MUCH,), "strict": (TOO_MUCH, CANNOT_TELL)}
"""`on_miss` -> the answers that end the stage with an error."""
_WORDS = {FITS: "yes", TOO_MUCH: "no", CANNOT_TELL: "cannot tell"}


def may_fit(record: Record | None) -> bool:
    """Whether nothing speaks against a candidate: it fits, or cannot be told, or there is no device."""
    return record is None or record["answer"] != TOO_MUCH


def board_table(records: Mapping[str, Record]) -> Table:
    """A row a variant or rung."""
    rows = [
        [
            name,
            *(_text(record[key]) for key in FIGURES),
            ", ".join(record["lacking"]) or "all",
            _WORDS[record["answer"]],
        ]
        for name, record in records.items()
    ]
    return Table(["", "arena bytes", "flash bytes", "ms", "operators", "fits"], rows)


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def board_figures(records: Mapping[str, Record]) -> dict[str, float]:
    """The figures for the tracking: `<name>/<figure>`, and `<name>/fits_device` (1 or 0) where it is told."""
    found = {}
    for name, record in records.items():
        found |= {f"{name}/{key}": float(record[key]) for key in FIGURES if record[key] is not None}
        if record["answer"] != CANNOT_TELL:
            found[f"{name}/fits_device"] = float(record["answer"] == FITS)
    return found
