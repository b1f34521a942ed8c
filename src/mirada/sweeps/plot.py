"""A sweep at a glance: a line a job with its time, its speed and its accuracy; or images a second over workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mirada.comparison.groups import short
from mirada.plots import ink_colour, line_colour, new_figure, style_axes, to_png
from mirada.sweeps.table import (
    EFFICIENCY,
    JobRecord,
    Measure,
    View,
    efficiencies,
    label_of,
    measures_of,
    swept_columns,
    text_of,
    with_efficiency,
)

_LINES = 5  # lines of the plot over workers; more settings than these are told by the bars


def plot_sweep(jobs: Sequence[JobRecord], view: View, *, dark: bool = False) -> bytes:
    """A PNG of the jobs that came to their end.

    Args:
        jobs: at least one of them did.
        view: of the stage.
        dark: for a dark page.
    """
    ended = [job for job in jobs if not job.failed]
    columns = swept_columns(jobs)
    lines = {_others(job, columns, view) for job in ended}
    has_accuracy = any(job.metric for job in ended)
    if efficiencies(ended, view) and len(lines) <= _LINES and not has_accuracy:
        return _plot_scaling(ended, columns, view, dark)
    return _plot_bars(ended, columns, view, dark)


def _others(job: JobRecord, columns: Sequence[str], view: View) -> str:
    rest = [key for key in columns if key != view.scales_over]
    return label_of(job, rest) if rest else ""


def _plot_bars(jobs: Sequence[JobRecord], columns: Sequence[str], view: View, dark: bool) -> bytes:
    """A row a job, a panel a figure; colour tells the value of the first setting."""
    measures = [measure for measure in measures_of(jobs, view) if measure.key != EFFICIENCY]
    known = with_efficiency(jobs, view)
    height = 1.0 + 0.36 * len(jobs)
    figure, first = new_figure(
        dark, 3.1 * len(measures) + 0.09 * max(len(label_of(job, columns)) for job in jobs), height
    )
    first.remove()
    groups = list(dict.fromkeys(job.settings.get(columns[0], "") if columns else "" for job in jobs))
    colours = [line_colour(groups.index(job.settings.get(columns[0], "") if columns else "")) for job in jobs]
    rows = range(len(jobs))
    for i, measure in enumerate(measures):
        axes = figure.add_subplot(1, len(measures), i + 1, facecolor=first.get_facecolor())
        style_axes(axes, dark)
        values = [figures.get(measure.key, math.nan) for figures in known]
        texts = [text_of(value, measure.digits) for value in values]
        if measure is view.speed:
            texts = [
                _with_efficiency(text, figures.get(EFFICIENCY)) for text, figures in zip(texts, known, strict=True)
            ]
        _draw_row(
            axes, values, texts, colours, ink_colour(dark), as_dots=any(job.metric == measure.key for job in jobs)
        )
        axes.set_yticks(rows, [label_of(job, columns) for job in jobs] if i == 0 else [""] * len(jobs))
        axes.set_ylim(len(jobs) - 0.4, -0.6)
        title = measure.heading
        if measure is view.speed and efficiencies(jobs, view):
            title = f"{title} (scaling efficiency)"
        axes.set_title(title, fontsize=10.5, color=ink_colour(dark), loc="left")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
    return to_png(figure)


def _with_efficiency(text: str, efficiency: float | None) -> str:
    return text if efficiency is None else f"{text} ({efficiency:.0%})"


def _draw_row(
    axes: Any, values: Sequence[float], texts: Sequence[str], colours: Sequence[str], ink: str, *, as_dots: bool
) -> None:
    finite = [value for value in values if not math.isnan(value)] or [0.0]
    if as_dots:  # accuracies lie close together: from zero on nobody would see them differ
        spread = (max(finite) - min(finite)) or 0.02
        axes.set_xlim(min(finite) - 0.25 * spread, max(finite) + 0.55 * spread)
        axes.scatter(values, range(len(values)), 46, color=colours, zorder=3)
    else:
        axes.set_xlim(0, 1.4 * max(finite) or 1)
        axes.barh(
            range(len(values)), [0 if math.isnan(value) else value for value in values], 0.62, color=colours, zorder=2
        )
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        x = axes.get_xlim()[0] if math.isnan(value) else value
        offset = 8 if as_dots else 4
        axes.annotate(text, (x, row), (offset, 0), textcoords="offset points", va="center", fontsize=8.5, color=ink)
    axes.locator_params(axis="x", nbins=4)


def _plot_scaling(jobs: Sequence[JobRecord], columns: Sequence[str], view: View, dark: bool) -> bytes:
    """Images a second and efficiency over the number of gpus or workers; dashed: as fast as they are many."""
    figure, left = new_figure(dark, 9.2, 3.9)
    left.remove()
    ink, known = ink_colour(dark), with_efficiency(jobs, view)
    names = sorted({_others(job, columns, view) for job in jobs})
    panels = [(view.speed, None), (Measure(EFFICIENCY, "scaling efficiency", 2), 1.0)]
    for i, (measure, ideal) in enumerate(panels):
        axes = figure.add_subplot(1, 2, i + 1, facecolor=left.get_facecolor())
        style_axes(axes, dark)
        for number, name in enumerate(names):
            places = sorted(
                (float(job.settings[view.scales_over]), figures[measure.key])
                for job, figures in zip(jobs, known, strict=True)
                if _others(job, columns, view) == name and measure.key in figures
            )
            if not places:
                continue
            xs, ys = zip(*places, strict=True)
            axes.plot(xs, ys, "o-", color=line_colour(number), linewidth=1.6, label=name or "measured", zorder=3)
            perfect = [ideal or x / xs[0] * ys[0] for x in xs]
            colour = line_colour(number) if ideal is None else ink
            axes.plot(xs, perfect, "--", color=colour, linewidth=1, label="" if number else "perfect scaling")
            for x, y in places if len(names) == 1 else []:
                axes.annotate(text_of(y, measure.digits), (x, y), (2, -15), textcoords="offset points",
                              fontsize=8.5, color=ink)  # fmt: skip
        axes.set_xticks(sorted({float(job.settings[view.scales_over]) for job in jobs}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.16, 0.15)
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.12 * (ideal or 0)))
        axes.set(xlabel=short(view.scales_over), ylabel=measure.heading)
        if i == 0:
            axes.legend(frameon=False, labelcolor=ink, fontsize=8.5)
    return to_png(figure)
