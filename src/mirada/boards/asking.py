"""A board with its limits, asked about one file after the other: what a search or a ladder holds on to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mirada.boards.carried import FIGURES, Carried, measure, why_not
from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH, Verdict, judge
from mirada.boards.limits import Limits, known_limits, limits_of
from mirada.boards.table import read_boards, smallest_board
from mirada.config import BoardLimitsConfig, DeviceConfig
from mirada.errors import MiradaError
from mirada.tables import Table

Record = Mapping[str, Any]
"""As `BoardJudge.record` gives it."""
_SHORT = {FITS: "yes", TOO_MUCH: "no", CANNOT_TELL: "cannot tell"}


@dataclass
class BoardJudge:
    """Remembers what it was asked, so that equal files are measured once.

    Attributes:
        board: the target. limits: what a model may take of it.
    """

    board: DeviceConfig
    limits: Limits
    _known: dict[str, tuple[Carried, Verdict]] = field(default_factory=dict, repr=False)

    def ask(self, content: bytes) -> tuple[Carried, Verdict]:
        """What a `.tflite` takes, and whether it fits."""
        key = hashlib.sha256(content).hexdigest()
        if key not in self._known:
            carried = measure(content, self.board)
            self._known[key] = carried, judge(carried, self.limits)
        return self._known[key]

    def record(self, content: bytes) -> dict[str, Any]:
        """The same for JSON: figures, `lacking`, `unknown`, and what `Verdict.record` gives, with its `sentence`."""
        carried, verdict = self.ask(content)
        figures = {name: getattr(carried, name) for name in FIGURES}
        about: dict[str, Any] = {"device": self.board.name, "title": self.board.title, "runtime": self.board.runtime}
        about |= {"arithmetic": vars(self.board.arithmetic), "time_known": self.board.time_known}
        more = {"lacking": carried.lacking, "unknown": carried.unknown}
        return about | figures | more | verdict.record() | {"sentence": self.sentence(carried, verdict)}

    def sentence(self, carried: Carried, verdict: Verdict) -> str:
        """The verdict's, and where a chip's memory is too small the smallest board that would carry the model as it is."""
        said = verdict.sentence(self.board.title)
        if verdict.excess() in (0, float("inf")) or self.board.runtime != "tflm" or carried.arena_bytes is None:
            return said
        larger = smallest_board(carried.arena_bytes, carried.flash_bytes, read_boards())
        return f"{said} {f'{larger.title} would carry it as it is' if larger else 'No microcontroller of the table would'}."


def wanted_judge(name: str) -> BoardJudge:
    """A judge for a board of the table by its name, also where that sets no limit.

    Raises:
        MiradaError: there is no such board, or the package is absent that its memory is known by.
    """
    boards = read_boards()
    if name not in boards:
        raise MiradaError(f"wanted_device={name} is no file of conf/device: choose one of {', '.join(boards)}.")
    if reason := why_not(boards[name]):
        raise MiradaError(f"wanted_device={name} can't be judged: {reason}")
    return BoardJudge(boards[name], known_limits(boards[name]))


def board_judge(board: DeviceConfig, own: BoardLimitsConfig | None = None) -> BoardJudge:
    """A judge for a board.

    Raises:
        MiradaError: as `limits_of`, or the package is absent that its memory is known by.
    """
    limits = limits_of(board, own)
    if reason := why_not(board):
        raise MiradaError(f"device={board.name} can't be judged: {reason}")
    return BoardJudge(board, limits)


def board_table(records: Mapping[str, Record]) -> Table:
    """A row a variant or rung."""
    rows = [
        [
            name,
            *(_text(record[key]) for key in FIGURES),
            ", ".join(record["lacking"]) or "all",
            _SHORT[record["answer"]],
        ]
        for name, record in records.items()
    ]
    return Table(["", "arena bytes", "flash bytes", "ms", "operators", "fits"], rows)


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
