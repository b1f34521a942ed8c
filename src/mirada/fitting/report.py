"""What is told of a search: its table, and accuracy over what it takes of the board, as a picture."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH
from mirada.boards.limits import Limits
from mirada.evaluation.pareto import pareto_front
from mirada.fitting.book import FAILED, SPARED, Entry
from mirada.fitting.search import best_first
from mirada.palette import DARK, LIGHT
from mirada.plots import line_colour, new_figure, to_png
from mirada.tables import Table, ms_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KB = 1024
_SHOWN = 12  # rows of the terminal's table
_WORDS = {FITS: "fits", TOO_MUCH: "too much", CANNOT_TELL: "cannot tell", SPARED: "not built", FAILED: "broke off"}


def count_entries(entries: Sequence[Entry]) -> dict[str, int]:
    """How many were judged, fit, did not fit, were spared and trained, and how many of those trained did not fit."""
    answers = Counter(entry.answer for entry in entries)
    unfit = [entry for entry in entries if entry.answer in (TOO_MUCH, CANNOT_TELL, SPARED)]
    return {
        "judged": sum(entry.taken is not None for entry in entries),
        "fit": answers[FITS] + answers[FAILED],
        "unfit": len(unfit),
        "spared": answers[SPARED],
        "trained": sum(bool(entry.values) for entry in entries),
        "unfit_trained": sum(bool(entry.values) for entry in unfit),
    }


def say_counts(entries: Sequence[Entry], size: int) -> str:
    """The same in a sentence; `size` is the number of candidates in the space."""
    counts = count_entries(entries)
    asked = [entry.taken.seconds for entry in entries if entry.taken]
    each = f" ({sum(asked) / len(asked):.1f} s each, {max(asked):.1f} at most)" if asked else ""
    return (
        f"{size:,} candidates in the space: {len(entries)} drawn, {counts['judged']} built and held against the board"
        f"{each}, {counts['fit']} fit, {counts['unfit']} do not ({counts['spared']} of them told by a smaller one), "
        f"{counts['trained']} trained, {counts['unfit_trained']} of them unfit"
    )


def table_of(entries: Sequence[Entry], chosen: str, metric: str) -> Table:
    """The best rows for the terminal.

    Args:
        entries: of the search. chosen: key of the candidate that is trained fully. metric: what the figure is called.
    """
    rows = []
    for entry in [entry for entry in best_first(entries) if entry.taken][:_SHOWN]:
        assert entry.taken is not None
        value = "–" if entry.value is None else f"{entry.value:.3f}"
        mark = " ✓" if entry.candidate.key == chosen else ""
        rows.append(
            [entry.candidate.title + mark, *_sizes(entry), value, str(entry.epochs or "–"), _WORDS[entry.answer]]
        )
    return Table(["candidate", "arena KB", "flash KB", "ms", f"val {metric}", "epochs", "board"], rows)


def _sizes(entry: Entry) -> list[str]:
    assert entry.taken is not None
    arena = "–" if entry.taken.arena_bytes is None else f"{entry.taken.arena_bytes / _KB:.0f}"
    return [arena, f"{entry.taken.flash_bytes / _KB:.0f}", ms_text(entry.taken.milliseconds)]


def csv_of(entries: Sequence[Entry], chosen: str) -> str:
    """All candidates as the text of a file, the best first; figures to the byte."""
    keys = list(dict.fromkeys(key for entry in entries for key, _ in entry.candidate.values))
    epochs = sorted({epochs for entry in entries for epochs in entry.values})
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    head = ["chosen", "answer", "model", *keys, "arena_bytes", "flash_bytes", "milliseconds", "judged_s"]
    writer.writerow([*head, *(f"val_after_{number}" for number in epochs), "epoch_s", "run_id", "why", "peak"])
    for entry in best_first(entries):
        values, taken = dict(entry.candidate.values), entry.taken
        figures: list[Any] = ["", "", "", ""]
        if taken is not None:
            figures = [taken.arena_bytes, taken.flash_bytes, taken.milliseconds, taken.seconds]
        mark = "yes" if entry.candidate.key == chosen else ""
        row = [mark, entry.answer, entry.candidate.model, *(values.get(key, "") for key in keys), *figures]
        found = [entry.values.get(number, "") for number in epochs]
        peak = taken.peak if taken else ""
        writer.writerow([*row, *found, round(entry.epoch_seconds, 2) or "", entry.run_id or "", entry.why, peak])
    return buffer.getvalue()


@dataclass(frozen=True)
class Final:
    """What the chosen one came to on val after its full training of so many epochs."""

    epochs: int
    value: float


def plot_candidates(
    entries: Sequence[Entry],
    limits: Limits,
    chosen: str,
    metric: str,
    *,
    axis: str,
    final: Final | None = None,
    dark: bool = False,
) -> bytes:
    """Accuracy over memory or time, as a PNG: a series and a front for each length of training, and the chosen one's end.

    Candidates that do not fit have no accuracy; they stand as strokes at the foot.

    Args:
        entries: of the search. limits: the line not to be crossed. chosen: key of the chosen candidate.
        metric: what people call the accuracy.
        axis: 'arena_bytes', 'flash_bytes' or 'milliseconds'.
        final: the chosen one's full training; None: it was not trained fully.
        dark: for a dark page.
    """
    scale = 1.0 if axis == "milliseconds" else _KB
    figure, axes = new_figure(dark, 7.6, 4.8)
    scheme = DARK if dark else LIGHT
    costs = {entry.candidate.key: _cost(entry, axis, scale) for entry in entries}
    trained = _drawn(entries, axis)
    lengths = _lengths(trained)
    for number, epochs in enumerate(lengths):
        _draw_length(axes, [(costs[e.candidate.key], e.values[epochs]) for e in lengths[epochs]], number, epochs)
    best = next((entry for entry in trained if entry.candidate.key == chosen), None)
    if best is not None and best.value is not None:
        _draw_chosen(axes, best, costs[chosen], final, scheme.ink, len(lengths))
    unfit = [costs[entry.candidate.key] for entry in entries if entry.answer == TOO_MUCH and entry.taken]
    bound = getattr(limits, axis)
    right = max([costs[e.candidate.key] for e in trained] + ([bound / scale] if bound else [1.0])) * 1.25
    shown = [x for x in unfit if x <= right]
    if shown:
        more = f", {len(unfit) - len(shown)} more beyond" if len(unfit) > len(shown) else ""
        axes.scatter(
            shown, np.full(len(shown), 0.02), 60, marker="|", color=scheme.bad, transform=axes.get_xaxis_transform(),
            label=f"do not fit, not trained: {len(shown)}{more}",
        )  # fmt: skip
    if bound:
        axes.axvline(bound / scale, color=scheme.bad, linewidth=1.2, linestyle=":", label="limit")
    words = {"arena_bytes": "arena (KB)", "flash_bytes": "flash (KB)", "milliseconds": "time of an inference (ms)"}
    axes.set(xlabel=words[axis], ylabel=f"{metric} on val", xlim=(0, right))
    if axes.get_legend_handles_labels()[1]:
        figure.legend(frameon=False, labelcolor=scheme.ink, loc="outside upper left", ncols=2, fontsize=9)
    return to_png(figure)


def front_entries(entries: Sequence[Entry], axis: str) -> list[Entry]:
    """Those on the front of any length of training, by what they take."""
    found: dict[str, Entry] = {}
    for epochs, some in _lengths(_drawn(entries, axis)).items():
        on = pareto_front([(entry.values[epochs], _cost(entry, axis, 1.0)) for entry in some])
        found |= {entry.candidate.key: entry for entry, best in zip(some, on, strict=True) if best}
    return sorted(found.values(), key=lambda entry: _cost(entry, axis, 1.0))


def _drawn(entries: Sequence[Entry], axis: str) -> list[Entry]:
    """Those that were trained, and of which it is known what they take."""
    return [entry for entry in entries if entry.values and np.isfinite(_cost(entry, axis, 1.0))]


def _lengths(trained: Sequence[Entry]) -> dict[int, list[Entry]]:
    """Epochs of a training, ascending -> those that had it."""
    lengths = sorted({epochs for entry in trained for epochs in entry.values})
    return {epochs: [entry for entry in trained if epochs in entry.values] for epochs in lengths}


def _draw_length(axes: Axes, points: list[tuple[float, float]], number: int, epochs: int) -> None:
    """What trainings of one length came to, and their front; another length's would not compare."""
    on = pareto_front([(y, x) for x, y in points])
    front = sorted(point for point, best in zip(points, on, strict=True) if best)
    colour = line_colour(number)
    axes.plot(*zip(*front, strict=True), color=colour, alpha=0.8, linewidth=1.2, linestyle="--")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    axes.scatter(xs, ys, 36, color=colour, label=f"after {epochs} epochs, and their front", zorder=3)


def _draw_chosen(axes: Axes, entry: Entry, cost: float, final: Final | None, ink: str, number: int) -> None:
    """A ring around the chosen one where it was chosen; a star where its full training ended, and the way there."""
    assert entry.value is not None
    axes.scatter(
        [cost], [entry.value], 190, facecolors="none", edgecolors=ink, linewidths=1.6, zorder=4,
        label=f"chosen: {_short(entry)}",
    )  # fmt: skip
    if final is None:
        return
    axes.plot([cost, cost], [entry.value, final.value], color=ink, linewidth=1, alpha=0.5)
    axes.scatter(
        [cost], [final.value], 170, marker="*", color=line_colour(number), edgecolors=ink, linewidths=0.8, zorder=5,
        label=f"the chosen one, trained fully: {final.value:.3f} after {final.epochs} epochs",
    )  # fmt: skip


def _cost(entry: Entry, axis: str, scale: float) -> float:
    value = getattr(entry.taken, axis) if entry.taken else None
    return float("nan") if value is None else value / scale


def _short(entry: Entry) -> str:
    colour = "grey" if entry.candidate.channels == 1 else "RGB"
    return f"{entry.candidate.model} {entry.candidate.input_size} {colour}"


def cost_axis(limits: Limits, vela: bool) -> str:
    """What the picture is drawn over: time for an NPU, else the arena, else the flash."""
    if vela:
        return "milliseconds"
    return "arena_bytes" if limits.arena_bytes is not None else "flash_bytes"
