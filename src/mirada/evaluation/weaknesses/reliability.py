"""Whether a model's certainty is worth its word: what it says beside how often it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.tables import Table, signed_text
from mirada.tasks.accuracy import CALIBRATION_BINS


@dataclass(frozen=True)
class Reliability:
    """A variant's certainty, sorted into bins of equal width.

    Attributes:
        counts: (B,) answers in each bin.
        certainty, right: (B,) their mean certainty, and the share of right ones; NaN where there is none.
        error: expected calibration error, 0..1: the mean distance between the two, weighted by the counts.
        excess: mean certainty less the share of right ones, over all; above 0 the model is too sure.
    """

    counts: np.ndarray
    certainty: np.ndarray
    right: np.ndarray
    error: float
    excess: float


def measure_reliability(certainty: np.ndarray, right: np.ndarray, least: float = 0.0) -> Reliability | None:
    """Sort answers into 15 bins; None without one.

    Args:
        certainty: (N,) 0..1.
        right: (N,) bool.
        least: answers less certain are left out.
    """
    kept = certainty >= least
    certainty, right = np.asarray(certainty[kept], np.float64), np.asarray(right[kept], bool)
    if not len(certainty):
        return None
    bins = np.minimum((certainty * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    told, came = (np.bincount(bins, row, CALIBRATION_BINS) for row in (certainty, right))
    return Reliability(
        counts=counts,
        certainty=np.divide(told, counts, out=np.full(len(counts), np.nan), where=counts > 0),
        right=np.divide(came, counts, out=np.full(len(counts), np.nan), where=counts > 0),
        error=float(np.abs(told - came).sum() / len(certainty)),
        excess=float(certainty.mean() - right.mean()),
    )


def reliability_table(reliability: Mapping[str, Reliability]) -> Table:
    """A row a variant."""
    rows = [
        [name, f"{int(row.counts.sum())}", f"{row.error:.3f}", signed_text(row.excess)]
        for name, row in reliability.items()
    ]
    return Table(["variant", "answers", "calibration error", "certainty less share right"], rows)


def plot_reliability(reliability: Mapping[str, Reliability], *, dark: bool = False) -> bytes:
    """The share of right answers over the certainty as a PNG; a larger mark stands for more answers."""
    figure, axes = new_figure(dark, 6.4, 4.2)
    axes.plot([0, 1], [0, 1], color=ink_colour(dark), linewidth=1, linestyle=":", label="as sure as right")
    for number, (name, row) in enumerate(reliability.items()):
        known = row.counts > 0
        colour, size = line_colour(number), 14 + 90 * row.counts[known] / row.counts.max()
        axes.plot(row.certainty[known], row.right[known], color=colour, linewidth=1.4)
        axes.scatter(
            row.certainty[known], row.right[known], s=size, color=colour, marker="os^D"[number % 4], label=name
        )
    axes.set(xlabel="certainty", ylabel="share that is right", xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.legend(frameon=False, labelcolor=ink_colour(dark))
    return to_png(figure)
