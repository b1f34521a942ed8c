"""Pruning in a search, of trials and not of weights: a training that falls behind the others is stopped.

The jobs of a search may run in other processes than the search itself, so the curves of finished trainings lie in a file of
the search's folder, `curves.jsonl`. The rule is Optuna's and Vizier's median rule, and serves any number of objectives.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mirada.errors import Pruned

CURVES = "curves.jsonl"  # in the search's folder: one line a finished training
Curve = Mapping[int, float]  # epoch, from 1 -> the task's main metric on val; epochs without a validation are left out


def median_to_reach(curve: Curve, others: Iterable[Curve], after_trials: int, after_epochs: int) -> float | None:
    """The median of the others' best values up to the curve's last epoch, where the curve's best lies below it.

    Args:
        curve: of the training in question.
        others: of finished trainings; those without a value by that epoch don't count.
        after_trials: with fewer others nothing is pruned.
        after_epochs: nothing is pruned up to this epoch.

    Returns:
        None where the training may go on.
    """
    if not curve or max(curve) <= after_epochs:
        return None
    epoch = max(curve)
    bests = [best for other in others if (best := _best(other, epoch)) is not None]
    if len(bests) < max(after_trials, 1):
        return None
    median = statistics.median(bests)
    return median if max(curve.values()) < median else None


def _best(curve: Curve, epoch: int) -> float | None:
    return max((value for at, value in curve.items() if at <= epoch), default=None)


@dataclass(frozen=True)
class TrialWatch:
    """Looks at one training; without a path it lets everything pass."""

    path: Path | None = None
    after_trials: int = 0
    after_epochs: int = 0

    def check(self, history: Sequence[Mapping[str, float]], key: str) -> None:
        """Stop the training where it is hopeless.

        Args:
            history: a row an epoch, with 'epoch' and, where it was validated, `key`.
            key: 'val_map50' and the like; higher is better.

        Raises:
            Pruned: the median rule says so.
        """
        if self.path is None or key not in history[-1]:
            return
        curve = curve_of(history, key)
        median = median_to_reach(curve, read_curves(self.path), self.after_trials, self.after_epochs)
        if median is not None:
            raise Pruned(max(curve), max(curve.values()), median)

    def finish(self, history: Sequence[Mapping[str, Any]], key: str) -> None:
        """Add the curve of a finished training to those that later ones are held against."""
        if self.path is None or not (curve := curve_of(history, key)):
            return
        line = json.dumps({str(epoch): value for epoch, value in curve.items()}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode())  # in one piece: other jobs write, too
        finally:
            os.close(descriptor)


def curve_of(history: Sequence[Mapping[str, Any]], key: str) -> dict[int, float]:
    """Epoch -> figure, of the epochs that have it; numbers may be text, as in `history.csv`."""
    return {int(row["epoch"]): float(row[key]) for row in history if row.get(key) not in (None, "")}


def read_history(path: Path) -> list[dict[str, str]]:
    """The rows of a `history.csv`; none where it is gone."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_curves(path: Path) -> list[dict[int, float]]:
    """The finished trainings' curves; a line that is being written is left for later."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [{int(epoch): value for epoch, value in json.loads(line).items()} for line in lines]


def watch() -> TrialWatch:
    """What looks at this process's training: the median rule in a job of a search with hydra.sweeper.prune, else nothing."""
    if not HydraConfig.initialized():
        return TrialWatch()
    hydra = HydraConfig.get()
    if hydra.mode is not RunMode.MULTIRUN or not hydra.sweeper.get("prune"):
        return TrialWatch()
    sweeper = hydra.sweeper
    return TrialWatch(Path(hydra.sweep.dir) / CURVES, int(sweeper.prune_after_trials), int(sweeper.prune_after_epochs))
