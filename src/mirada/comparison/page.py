"""A comparison of runs as a table, a CSV, plots and one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirada.comparison.groups import Group, Row, RunRecord, differing, separation, short
from mirada.comparison.summary import Summary, pooled_table, repeats_table
from mirada.evaluation.figures import DROP
from mirada.evaluation.pareto import plot_pareto
from mirada.inference.variants import REFERENCE
from mirada.pages import data_url, render
from mirada.plots import ink_colour, line_colour, new_figure, style_axes, to_png
from mirada.tables import ms_text, signed_text

TEMPLATE = Path(__file__).with_name("compare.html.j2")
_PANELS = 4  # settings that are plotted
_NAMED = 6  # lines of a panel that have their names beside them


def number(text: str) -> float:
    """A setting's value as a number; NaN for a word."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def plot_sweep(group: Group, *, dark: bool = False) -> bytes | None:
    """Training time and accuracy over each setting that differs, as a PNG; None where nothing does.

    A line joins runs that differ in that setting alone. Accuracy is that of the variants, or that of the validation where
    no run was evaluated.
    """
    runs = [run for run in group.runs if run.train_minutes is not None]
    columns = differing(runs)[:_PANELS]
    if len(runs) < 2 or not columns:
        return None
    evaluated = any(run.figures for run in runs)
    small = group.shown if evaluated else ""
    figure, first = new_figure(dark, 3.6 * len(columns) + 1.2, 5.4)
    first.remove()
    heights = [run.train_minutes for run in runs]
    accuracies = [
        run.figures.get(small, {}).get(group.metric) if evaluated else run.others.get(f"best_{group.metric}")
        for run in runs
    ]
    name = f"{group.metric_name} of {small}" if evaluated else f"{group.metric_name}, validation"
    named = []
    for across, column in enumerate(columns):
        for down, (ys, title) in enumerate(((heights, "training (min)"), (accuracies, name))):
            axes = figure.add_subplot(
                2, len(columns), 1 + across + down * len(columns), facecolor=first.get_facecolor()
            )
            style_axes(axes, dark)
            named.append((axes, _draw_lines(axes, runs, column, columns, ys)))
            axes.set_xlabel(short(column) if down else "")
            axes.set_ylabel("" if across else title)
            if down == 0:
                axes.set_ylim(bottom=0)
    figure.canvas.draw()  # the layout is settled from here on
    figure.set_layout_engine("none")
    for axes, ends in named:
        _name_lines(axes, ends, ink_colour(dark))
    return to_png(figure)


def _draw_lines(axes: Any, runs: list[RunRecord], column: str, columns: list[str], ys: Sequence[float | None]
) -> list[tuple[float, float, str, str]]:  # fmt: skip
    """One line for each choice of the other settings; returns (y, x, name, colour) of each line's end."""
    ends: list[tuple[float, float, str, str]] = []
    values = sorted({run.params.get(column, "–") for run in runs}, key=lambda text: (number(text), text))
    lines: dict[str, list[tuple[int, float]]] = {}
    for run, y in zip(runs, ys, strict=True):
        if y is not None:
            others = " ".join(f"{short(key)}={run.params.get(key, '–')}" for key in columns if key != column)
            lines.setdefault(others, []).append((values.index(run.params.get(column, "–")), y))
    for order, (name, places) in enumerate(sorted(lines.items())):
        xs = sorted({x for x, _ in places})
        means = [float(np.mean([y for at, y in places if at == x])) for x in xs]
        axes.plot(xs, means, color=line_colour(order), linewidth=1.4, label=name)
        axes.scatter(*zip(*places, strict=True), 26, color=line_colour(order), marker="osD^v"[order % 5], zorder=3)
        if name and len(lines) <= _NAMED:
            ends.append((means[-1], xs[-1], name, line_colour(order)))
    axes.set_xticks(range(len(values)), values)
    axes.set_xlim(-0.25, len(values) - 1 + (0.45 * len(values) if ends else 0.25))
    return ends


def _name_lines(axes: Any, ends: Sequence[tuple[float, float, str, str]], ink: str) -> None:
    """Write each line's name at its end, pushed up where it would cover the one below, with a stroke of its colour."""
    scale, lowest = axes.figure.dpi / 72, -math.inf
    for y, x, name, colour in sorted(ends):
        at = axes.transData.transform((x, y))[1] / scale
        lowest = max(at, lowest + 9)
        axes.annotate(
            name, (x, y), (9, lowest - at), textcoords="offset points", va="center", fontsize=7.5, color=ink,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def table_of(group: Group, *, intervals: bool = True) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table that people read; the runs' names are in it where nothing else tells them apart.

    Args:
        group: its runs.
        intervals: with the drop's interval.
    """
    validated = any(row.validation is not None and not row.figures for row in group.rows)
    named = not group.columns and len(group.runs) > 1
    head = ["run", *(["name"] if named else []), *(short(column) for column in group.columns), "variant"]
    head += [group.metric_name or "accuracy", "drop", "MB", "p50 ms", *(["validation"] if validated else [])]
    head += ["train min", "Pareto"]
    rows = []
    for row in group.rows:
        size = row.figures.get("size_bytes")
        cells = [row.run.id[:8], *([row.run.name] if named else [])]
        cells += [_cut(row.settings[column]) for column in group.columns] + [row.variant or "–"]
        cells += [_text(row.figures.get(group.metric), 3), _drop(row, intervals)]
        cells += [_text(None if size is None else size / 1e6, 2), ms_text(row.figures.get("latency_ms_p50"))]
        cells += [_text(row.validation, 3)] if validated else []
        rows.append([*cells, _text(row.run.train_minutes, 1), "●" if row.on_front else ""])
    return head, rows


def _cut(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:27]}…"


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _drop(row: Row, interval: bool) -> str:
    if row.variant in ("", REFERENCE) or "drop" not in row.figures:
        return "–"
    drop, low, high = (signed_text(row.figures.get(key, math.nan)) for key in ("drop", "drop_low", "drop_high"))
    return f"{drop} [{low}, {high}]" if interval else drop


def origins_of(group: Group) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table that says what each run was made and measured with."""

    def commit(run: RunRecord, commit: str, dirty: str) -> str:
        name = run.tags.get(commit, "")
        return f"{name[:12]}{' with uncommitted changes' if run.tags.get(dirty) == 'True' else ''}" or "–"

    head = ["run", "name", "trained at commit", "data", "measured at commit", "on data", "LiteRT", "CPU", "threads"]
    rows = []
    for run in group.runs:
        about = [run.id, run.name, commit(run, "git_commit", "git_dirty"), run.tags.get("data_digest", "–")[:12]]
        about += [commit(run, "evaluate_commit", "evaluate_dirty"), run.tags.get("evaluate_digest", "–")[:12]]
        rows.append(about + [run.tags.get(tag, "–") for tag in ("litert", "cpu", "threads")])
    return head, rows


_FIGURES = (*DROP, "size_bytes", "size_gzip_bytes", "latency_ms_p50", "latency_ms_p95")
CSV_HEAD = (
    "dataset", "task", "data_digest", "split", "run_id", "run_name", "status", "remark", "variant", "metric", "value",
    *_FIGURES, "validation", "train_minutes", "train_images_per_s", "pareto",
)  # fmt: skip


def csv_of(groups: Sequence[Group]) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of the CSV: all groups, unrounded, with every setting that differs anywhere."""
    columns = list(dict.fromkeys(column for group in groups for column in group.columns))
    rows = []
    for group in groups:
        for row in group.rows:
            run, figures = row.run, row.figures
            cells: list[Any] = [
                group.dataset,
                group.task,
                group.digest,
                group.split,
                run.id,
                run.name,
                run.status,
                run.reason,
            ]
            cells += [row.variant, group.metric, figures.get(group.metric)]
            cells += [figures.get(key) for key in _FIGURES] + [row.validation, run.train_minutes]
            cells += [run.others.get("train_images_per_s"), "yes" if row.on_front else "no"]
            rows.append(
                ["" if cell is None else cell for cell in (*cells, *(run.params.get(column) for column in columns))]
            )
    return [*CSV_HEAD, *columns], rows


def plots_of(group: Group, *, dark: bool = False) -> dict[str, bytes]:
    """Name -> PNG of every plot that the group's runs allow."""
    plots = {}
    if points := group.points:
        for axis in ("latency", "size"):
            plots[axis] = plot_pareto(points, x=axis, metric_name=group.metric_name, dark=dark)
    if (sweep := plot_sweep(group, dark=dark)) is not None:
        plots["sweep"] = sweep
    return plots


def render_comparison(
    groups: Sequence[Group], about: Sequence[tuple[str, str]], summaries: Sequence[Summary] = ()
) -> str:
    """The page, with style and plots inside it.

    Args:
        groups: of `group_runs`.
        about: names and sentences about where the runs come from.
        summaries: of the groups that hold repeats.
    """
    sections = []
    told = {id(summary.group): summary for summary in summaries}
    for group in groups:
        head, rows = table_of(group)
        light, dark = plots_of(group), plots_of(group, dark=True)
        plots = {name: {"light": data_url(light[name]), "dark": data_url(dark[name])} for name in light}
        front = [row.on_front for row in group.rows]
        sections.append({"group": group, "head": head, "rows": list(zip(rows, front, strict=True)), "plots": plots,
                         "origins": origins_of(group), **_repeated(told.get(id(group)))})  # fmt: skip
    return render(
        TEMPLATE,
        runs=sum(len(group.runs) for group in groups),
        separation=separation(groups),
        sections=sections,
        about=about,
    )


def _repeated(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"repeats": None, "pooled": None, "lacking": []}
    pooled = pooled_table(summary) if summary.pooled else None
    return {"repeats": repeats_table(summary), "pooled": pooled, "lacking": summary.notes}
