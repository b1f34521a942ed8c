"""Runs that differ in their seed or fold alone: repeats of one thing, whose figures have a mean and scatter around it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mirada.comparison.groups import Group, RunRecord, differing

REPEATED = {"seed": ("seed", "quantize.seed", "evaluate.seed"), "fold": ("fold",)}
"""A key of `compare`'s `repeats` -> the settings in which repeats may differ."""
MINUTES = "train_minutes"


@dataclass(frozen=True)
class Spread:
    """A figure over repeats: its mean, its standard deviation (of a sample, n - 1; NaN of one), and of how many."""

    mean: float
    sd: float
    count: int


def spread_of(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation; None without a value."""
    known = [float(value) for value in values if not math.isnan(value)]
    if not known:
        return None
    sd = statistics.stdev(known) if len(known) > 1 else math.nan
    return Spread(statistics.fmean(known), sd, len(known))


@dataclass
class Repeats:
    """What was run several times.

    Attributes:
        settings: in which it differs from other repeats of its group.
        runs: at least two, all evaluated.
    """

    settings: dict[str, str]
    runs: list[RunRecord]

    @property
    def seeds(self) -> list[str]:
        """The seeds, each once."""
        return sorted({run.params.get("seed", "–") for run in self.runs}, key=_by_number)

    @property
    def folds(self) -> list[str]:
        """The folds, each once; empty where val is no fold."""
        return sorted({run.params["fold"] for run in self.runs if "fold" in run.params}, key=_by_number)

    @property
    def over(self) -> str:
        """What the mean is of, such as '5 folds', '4 of 5 folds' or '5 folds × 3 seeds'."""
        seeds, folds, parts = len(self.seeds), len(self.folds), []
        if folds > 1:
            asked = int(next(run.params.get("kfold", "0") for run in self.runs if "fold" in run.params))
            parts.append(f"{folds} folds" if folds >= asked else f"{folds} of {asked} folds")
        if seeds > 1:
            parts.append(f"{seeds} seeds")
        lacking = "" if len(self.runs) == max(1, folds) * seeds else f" ({len(self.runs)} runs)"
        return (" × ".join(parts) or f"{len(self.runs)} runs") + lacking

    @property
    def variants(self) -> list[str]:
        """Those that every run has."""
        return [name for name in self.runs[0].figures if all(name in run.figures for run in self.runs)]

    def spread(self, variant: str, figure: str) -> Spread | None:
        """Of a variant's figure, or of `MINUTES`; None where no run has it."""
        if figure == MINUTES:
            return spread_of(run.train_minutes for run in self.runs if run.train_minutes is not None)
        return spread_of(run.figures[variant].get(figure, math.nan) for run in self.runs)


def repeats_of(group: Group, over: Sequence[str]) -> list[Repeats]:
    """The runs of a group that were run several times, put together.

    Args:
        group: of `groups.group_runs`. Runs without figures don't count; of those that agree in seed and fold too, the last
            does.
        over: keys of `REPEATED`.
    """
    free = {setting for key in over for setting in REPEATED[key]}
    evaluated = [run for run in group.runs if run.figures]
    columns = [column for column in differing(evaluated) if column not in free]
    members: dict[tuple[str, ...], dict[tuple[str, ...], RunRecord]] = {}
    for run in evaluated:
        key = tuple(run.params.get(column, "–") for column in columns)
        members.setdefault(key, {})[tuple(run.params.get(name, "–") for name in sorted(free))] = run
    return [
        Repeats(dict(zip(columns, key, strict=True)), list(runs.values()))
        for key, runs in members.items()
        if len(runs) > 1
    ]


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return math.inf, text
