"""What is gained against what it costs: the Pareto front of variants, as a mask, a table and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mirada.inference.variants import REFERENCE
from mirada.plots import ink_colour, line_colour, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

AXES = {"latency": "time of an inference, one thread, p50 (ms)", "size": "size of the file (MB)"}
_MARKERS = "osD^vP*X"
_LABELLED = 12  # with more points, only those on the front have a text
_REACH = (9, 18, 30, 44, 60, 80)  # points from a point to its text, nearest first
_WAYS = tuple((math.cos(angle), math.sin(angle)) for angle in np.radians([90, -90, 0, 180, 45, -45, 135, -135]))


@dataclass(frozen=True)
class Point:
    """One variant of one run.

    Attributes:
        run: how the run is called in texts; may be empty where there is one only.
        variant: 'int8' and the like.
        accuracy: the main metric, higher is better.
        latency_ms: of one inference. size_bytes: of the file.
        low, high: the interval of the accuracy that its drop's interval gives; equal to it where none is known.
    """

    run: str
    variant: str
    accuracy: float
    latency_ms: float
    size_bytes: float
    low: float = math.nan
    high: float = math.nan

    def cost(self, axis: str) -> float:
        """Its place on an axis of `AXES`."""
        return self.latency_ms if axis == "latency" else self.size_bytes / 1e6


def pareto_front(values: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Which rows no other row beats.

    A row beats another when it is as good in every column and better in one. Of equal rows all are on the front; a row
    with a value that is not a number never is, and beats none.

    Args:
        values: (N, C); the first column is better when higher, all others when lower.

    Returns:
        (N,) bool.
    """
    rows = np.array(values, np.float64)
    if len(rows) == 0:
        return np.zeros(0, bool)
    rows[:, 0] *= -1
    as_good = (rows[:, None] <= rows[None]).all(axis=2)  # comparisons with NaN are false
    better = (rows[:, None] < rows[None]).any(axis=2)
    return np.logical_and(~(as_good & better).any(axis=0), np.isfinite(rows).all(axis=1))


def front_of(points: Sequence[Point], axis: str | None = None) -> np.ndarray:
    """(N,) bool, the points that none beats in accuracy, time and size; with an axis, in accuracy and that one alone."""
    if axis is not None:
        return pareto_front([(point.accuracy, point.cost(axis)) for point in points])
    return pareto_front([(point.accuracy, point.latency_ms, point.size_bytes) for point in points])


def variant_to_show(figures: Mapping[str, Mapping[str, float]], metric: str) -> str | None:
    """The variant that a page is about: what the ladder chose, else the better of int8 and qat, else the smallest.

    Args:
        figures: variant -> its figures, as in `metrics.json`. metric: the one that counts, higher is better.
    """
    if "best" in figures:
        return "best"
    others = [name for name in figures if name != REFERENCE]
    if full := [name for name in ("int8", "qat") if name in others]:
        return max(full, key=lambda name: figures[name][metric])
    return min(others, key=lambda name: figures[name]["size_bytes"]) if others else None


def points_of(figures: Mapping[str, Mapping[str, float]], metric: str, run: str = "") -> list[Point]:
    """The variants of one run, from its figures as in `metrics.json`; those without accuracy or cost are left out."""
    reference = figures.get(REFERENCE, {}).get(metric, math.nan)
    needed = (metric, "latency_ms_p50", "size_bytes")
    points = []
    for variant, row in figures.items():
        if all(key in row for key in needed):
            accuracy, latency_ms, size_bytes = (float(row[key]) for key in needed)
            low, high = (reference - row.get(key, math.nan) for key in ("drop_high", "drop_low"))
            points.append(Point(run, variant, accuracy, latency_ms, size_bytes, low, high))
    return points


def tradeoff_table(points: Sequence[Point], metric: str) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of `plots/tradeoff.csv`, a DVC plot with the same columns for every task: each point with its mark."""
    head = ["run", "variant", "metric", "value", "latency_ms_p50", "size_mb", "pareto"]
    marks = front_of(points)
    rows = [
        [
            point.run,
            point.variant,
            metric,
            f"{point.accuracy:.6f}",
            f"{point.latency_ms:.4f}",
            f"{point.size_bytes / 1e6:.4f}",
            "yes" if on else "no",
        ]
        for point, on in zip(points, marks, strict=True)
    ]
    return head, rows


def plot_pareto(points: Sequence[Point], *, x: str, metric_name: str, dark: bool = False) -> bytes:
    """Accuracy over time or size as a PNG: a line through the front, what it beats hollow.

    The front of this plot is that of its two axes. Shape and colour tell the variant; with one run, bars show the interval.

    Args:
        points: at least one.
        x: 'latency' or 'size'.
        metric_name: what people call the accuracy.
        dark: for a dark page.
    """
    figure, axes = new_figure(dark, 7.2, 4.8)
    front, ink = front_of(points, x), ink_colour(dark)
    several = len({point.run for point in points}) > 1
    variants = list(dict.fromkeys(point.variant for point in points))
    for number, variant in enumerate(variants):
        for on in (False, True):
            chosen = [
                point for point, mark in zip(points, front, strict=True) if point.variant == variant and mark == on
            ]
            axes.scatter(
                [point.cost(x) for point in chosen], [point.accuracy for point in chosen], 62 if on else 40,
                edgecolors=line_colour(number), facecolors=line_colour(number) if on else "none",
                marker=_MARKERS[number % len(_MARKERS)], zorder=3,
            )  # fmt: skip
        axes.scatter([], [], 50, color=line_colour(number), marker=_MARKERS[number % len(_MARKERS)], label=variant)
    best = sorted((point.cost(x), point.accuracy) for point, mark in zip(points, front, strict=True) if mark)
    label = "Pareto front"
    axes.plot(*zip(*best, strict=True), color=ink, alpha=0.7, linewidth=1.2, linestyle="--", label=label, zorder=2)
    bars = [
        [(point.cost(x), point.low), (point.cost(x), point.high)]
        for point in points
        if point.high > point.low and not several
    ]
    for bar in bars:
        axes.plot(*zip(*bar, strict=True), color=ink, alpha=0.6, linewidth=1)
    axes.set(xlabel=AXES[x], ylabel=metric_name)
    _limit(axes, [point.cost(x) for point in points])
    figure.legend(
        frameon=False, labelcolor=ink, loc="outside upper left", ncols=min(6, len(variants) + 1), fontsize=9,
        handletextpad=0.3, columnspacing=1.2,
    )  # fmt: skip
    order = sorted(range(len(points)), key=lambda index: (not front[index], -points[index].accuracy))
    texts = [point.run if several else point.variant for point in points]
    shown = {
        texts[index]: index for index in reversed(order) if front[index] or len(points) <= _LABELLED
    }  # each text once, at its best
    places = [(point.cost(x), point.accuracy) for point in points]
    _label(axes, places, shown, ink, [best, *bars])
    return to_png(figure)


def _limit(axes: Axes, xs: Sequence[float]) -> None:
    if min(xs) > 0 and max(xs) > 20 * min(xs):
        axes.set_xscale("log")
        axes.margins(0.15, 0.18)
    else:
        axes.margins(0.15, 0.18)
        axes.set_xlim(left=0)


def _label(
    axes: Axes,
    places: Sequence[tuple[float, float]],
    shown: Mapping[str, int],
    ink: str,
    lines: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """Write each text near its point where it covers no point, text or line; one that finds no room is left out.

    `shown` is text -> index of its place, the least important first.
    """
    canvas: Any = axes.figure.canvas
    canvas.draw()  # the layout is settled from here on
    axes.get_figure(root=True).set_layout_engine("none")  # type: ignore[union-attr]
    renderer, frame = canvas.get_renderer(), axes.get_window_extent()
    scale = axes.figure.dpi / 72
    pixels = axes.transData.transform(places)
    pieces = [pair for line in lines for pair in pairwise(axes.transData.transform(line))]
    obstacles = np.array(
        [*pixels, *(start + (end - start) * share for start, end in pieces for share in np.linspace(0, 1, 100))]
    )
    taken: list[Bbox] = []
    for text, index in reversed(list(shown.items())):
        note = axes.annotate(
            text, places[index], (0, 0), textcoords="offset points", ha="center", va="center", color=ink, fontsize=8.5
        )
        size = note.get_window_extent(renderer)
        box = _room(pixels[index], obstacles, size.width, size.height, scale, frame, taken)
        if box is None:
            note.remove()
            continue
        taken.append(box)
        centre = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        offset = (centre[0] - pixels[index][0]) / scale, (centre[1] - pixels[index][1]) / scale
        note.set_position(offset)
        nearest = np.clip(pixels[index], (box.x0, box.y0), (box.x1, box.y1))
        if np.hypot(*(nearest - pixels[index])) > 13 * scale:
            ends = axes.transData.inverted().transform([pixels[index], nearest])
            axes.plot(*ends.T, color=ink, alpha=0.35, linewidth=0.7, zorder=1, scalex=False, scaley=False)


def _room(
    point: np.ndarray,
    obstacles: np.ndarray,
    width: float,
    height: float,
    scale: float,
    frame: Bbox,
    taken: Sequence[Bbox],
) -> Bbox | None:
    """The nearest free place for a text of this size beside a point, in pixels; None without one."""
    from matplotlib.transforms import Bbox

    for reach in _REACH:
        for way_x, way_y in _WAYS:
            x = point[0] + way_x * (reach * scale + width / 2)
            y = point[1] + way_y * (reach * scale + height / 2)
            box = Bbox.from_extents(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            grown = box.padded(3 * scale)
            if inside and not grown.count_contains(obstacles) and not any(box.overlaps(other) for other in taken):
                return box
    return None
