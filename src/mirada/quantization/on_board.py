"""What the quantize stage tells of a device: for each variant and rung what it takes there, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping

from mirada.boards.asking import Record
from mirada.boards.carried import FIGURES
from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH

MISSES: dict[str, tuple[str, ...]] = {"warn": (), "fail": (TOO_MUCH,), "strict": (TOO_MUCH, CANNOT_TELL)}
"""`on_miss` -> the answers that end the stage with an error."""
WORDS = {
    FITS: "It fits the device.",
    TOO_MUCH: "It does not fit the device.",
    CANNOT_TELL: "Whether it fits the device cannot be told.",
}


def may_fit(record: Record | None) -> bool:
    """Whether nothing speaks against a candidate: it fits, or cannot be told, or there is no device."""
    return record is None or record["answer"] != TOO_MUCH


def board_figures(records: Mapping[str, Record]) -> dict[str, float]:
    """The figures for the tracking: `<name>/<figure>`, and `<name>/fits_device` (1 or 0) where it is told."""
    found: dict[str, float] = {}
    for name, record in records.items():
        found |= {f"{name}/{key}": float(record[key]) for key in FIGURES if record[key] is not None}
        if record["answer"] != CANNOT_TELL:
            found[f"{name}/fits_device"] = float(record["answer"] == FITS)
    return found
