"""The picture of a search: the values trial by trial, or two objectives against each other with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.sweeps.search.study import Trial, best_trials

_DOT = 46


def plot_search(trials: Sequence[Trial], directions: Sequence[str], names: Sequence[str], dark: bool = False) -> bytes:
    """A PNG: a history for one objective, the first over the second for more.

    Args:
        trials: at least one complete.
        directions: of the objectives; names: what the axes say.
        dark: for a dark page.
    """
    return (_history if len(directions) == 1 else _front)(trials, directions, names, dark)


def _history(trials: Sequence[Trial], directions: Sequence[str], names: Sequence[str], dark: bool) -> bytes:
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(dark, 7.2, 4.2)
    ink, better = ink_colour(dark), max if directions[0] == "maximize" else min
    complete = [trial for trial in trials if trial.state == "complete"]
    pruned = [trial for trial in trials if trial.state == "pruned" and trial.values]
    best, steps = complete[0].values[0], []
    for trial in complete:
        best = better(best, trial.values[0])
        steps.append((trial.number, best))
    steps.append((trials[-1].number, best))
    axes.step(
        *zip(*steps, strict=True),
        where="post",
        color=ink,
        alpha=0.7,
        linewidth=1.2,
        linestyle="--",
        label="best so far",
    )
    for chosen, marker, colour, label in (
        (complete, "o", 0, "complete"),
        (pruned, "x", 4, "pruned, at its best by then"),
    ):
        if chosen:
            xs, ys = [trial.number for trial in chosen], [trial.values[0] for trial in chosen]
            axes.scatter(xs, ys, _DOT, color=line_colour(colour), marker=marker, label=label, zorder=3)
    winner = best_trials(trials, directions)[0]
    place = (winner.number, winner.values[0])
    axes.annotate(f"{place[1]:.4g}", place, (0, 8), textcoords="offset points", ha="center", color=ink, fontsize=9)
    axes.set(xlabel="trial", ylabel=names[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(0.06, 0.14)
    figure.legend(frameon=False, labelcolor=ink, loc="outside upper left", ncols=3, fontsize=9)
    return to_png(figure)


def _front(trials: Sequence[Trial], directions: Sequence[str], names: Sequence[str], dark: bool) -> bytes:
    figure, axes = new_figure(dark, 7.2, 4.8)
    ink = ink_colour(dark)
    complete = [trial for trial in trials if trial.state == "complete"]
    best = sorted(best_trials(complete, directions), key=lambda trial: trial.values[1])
    numbers = {trial.number for trial in best}
    beaten = [trial for trial in complete if trial.number not in numbers]
    for chosen, number, filled, label in ((beaten, 0, False, "beaten"), (best, 1, True, "Pareto front")):
        if chosen:
            xs, ys = [trial.values[1] for trial in chosen], [trial.values[0] for trial in chosen]
            colour = line_colour(number)
            face = colour if filled else "none"
            axes.scatter(xs, ys, _DOT, edgecolors=colour, facecolors=face, label=label, zorder=3)
    if len(directions) == 2:  # with more, the front is no line in this plane
        points = zip(*[(trial.values[1], trial.values[0]) for trial in best], strict=True)
        axes.plot(*points, color=ink, alpha=0.7, linewidth=1.2, linestyle="--", zorder=2)
    to_better = [1 if direction == "maximize" else -1 for direction in directions]
    for trial in complete:  # a number of the front lies on the side where nothing is, that of a beaten one opposite
        side = 1 if trial.number in numbers else -1
        right, up = side * to_better[1], side * to_better[0]
        axes.annotate(
            str(trial.number), (trial.values[1], trial.values[0]), (6 * right, 6 * up), textcoords="offset points",
            ha="left" if right > 0 else "right", va="bottom" if up > 0 else "top", color=ink, fontsize=9,
            alpha=1.0 if side > 0 else 0.75,
        )  # fmt: skip
    better = ["→" if direction == "maximize" else "←" for direction in directions]
    axes.set(xlabel=f"{names[1]}  ({better[1]} better)", ylabel=f"{names[0]}  ({better[0]} better)")
    axes.margins(0.1, 0.12)
    figure.legend(
        frameon=False, labelcolor=ink, loc="outside upper left", ncols=3, fontsize=9, title="trials by number",
        title_fontsize=9, alignment="left",
    ).get_title().set_color(ink)  # fmt: skip
    return to_png(figure)
