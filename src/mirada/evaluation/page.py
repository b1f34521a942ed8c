"""The report of the stage evaluate as one self-contained HTML page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.config import PublishedConfig
from mirada.evaluation.errors import Errors, errors_table, plot_errors
from mirada.evaluation.figures import COSTS
from mirada.evaluation.on_board import OnBoard
from mirada.evaluation.pareto import plot_pareto, points_of, variant_to_show
from mirada.evaluation.pictures import Picture
from mirada.evaluation.records.published import compare_published, published_table
from mirada.evaluation.records.quantization import QuantizationRecord
from mirada.evaluation.records.training import TrainingRecord
from mirada.evaluation.runtimes import Runtimes
from mirada.evaluation.weaknesses.conditions import say_occlusion
from mirada.evaluation.weaknesses.gathering import Weaknesses
from mirada.inference.variants import REFERENCE
from mirada.pages import data_url, render
from mirada.palette import MOST_SHADE
from mirada.plots import plot_curves
from mirada.tables import Column, Table, ms_text, signed_text
from mirada.tasks import Task

TEMPLATE = Path(__file__).with_name("report.html.j2")
_MATRIX_CLASSES = 30  # a confusion matrix of more classes is left to the CSV file


@dataclass
class Report:
    """What the page shows.

    Attributes:
        task: what was done on the images; it says how its results are shown.
        dataset, split, labels, images, objects: what was evaluated on.
        figures: variant -> the figures of `metrics.json`.
        results: variant -> the task's result.
        bootstrap_samples: resamplings behind the drop's interval.
        notes: what a reader has to be warned of.
        pictures: 'best', 'median' and 'worst' -> pictures.
        training: what the train stage left of its course.
        published: figures to compare with.
        protocol, provenance: names and sentences, in order.
        errors: what detections cost by kind of error.
        weaknesses: where the model fails.
        runtimes: what other kernels make of a variant; None where none were asked.
        resampled: what is resampled for the drop's interval, in words.
        advice: sentences on this processor.
        on_board: memory over the operators, and what a device makes of the variants.
    """

    task: Task
    dataset: str
    split: str
    labels: list[str]
    images: int
    objects: int
    figures: dict[str, dict[str, float]]
    results: dict[str, Any]
    bootstrap_samples: int
    notes: list[str]
    pictures: dict[str, list[Picture]]
    training: TrainingRecord
    quantization: QuantizationRecord
    published: list[PublishedConfig]
    protocol: list[tuple[str, str]]
    provenance: list[tuple[str, str]]
    errors: Errors = field(default_factory=dict)
    weaknesses: Weaknesses = field(default_factory=Weaknesses)
    resampled: str = ""
    advice: list[str] = field(default_factory=list)
    on_board: OnBoard = field(default_factory=OnBoard)
    runtimes: Runtimes | None = None


def render_page(report: Report, plots: Mapping[str, Mapping[str, bytes]]) -> str:
    """The page, with style, plots and pictures inside it.

    Args:
        report: what it tells.
        plots: 'light' and 'dark', each as `draw_plots` gives them.
    """
    task, small = report.task, variant_to_show(report.figures, report.task.main_metric)
    count = f"{report.images} {report.split} photographs" + (
        f", {report.objects} objects" if task.counts_objects else ""
    )
    return render(
        TEMPLATE,
        task=task,
        title=f"{report.dataset}: what {small} costs" if small else f"{report.dataset}: float32",
        subtitle=f"{count}, classes: {', '.join(report.labels)}",
        sentence=key_sentence(report.figures, report.images, task),
        notes=report.notes,
        tiles=_tiles(report.figures, small or REFERENCE, task),
        accuracy=_accuracy_table(report.figures, task),
        cost=_cost_table(report.figures),
        bootstrap_samples=report.bootstrap_samples,
        resampled=report.resampled or f"the {report.images} photographs",
        images=report.images,
        curves=task.curves(report.results),
        plots={name: {side: data_url(drawn[name]) for side, drawn in plots.items()} for name in plots["light"]},
        classes=task.classes_table(report.labels, report.results),
        confusion_labels=task.confusion_labels(report.labels),
        confusion=_matrices(report) if len(report.labels) <= _MATRIX_CLASSES else [],
        pictures=[_group(f"The {name}", pictures) for name, pictures in report.pictures.items() if pictures],
        legend=task.legend(report.labels, report.results[REFERENCE]),
        published=_published(report),
        ladder=report.quantization.ladder,
        ladder_table=report.quantization.ladder_table(),
        layers=report.quantization.sentences,
        layers_plot=data_url(report.quantization.plot) if report.quantization.plot else "",
        timing=report.training.timing_table(),
        timing_sentence=report.training.timing_sentence(),
        timeline=data_url(report.training.timeline) if report.training.timeline else "",
        memory=report.on_board,
        on_board=report.on_board.table(),
        errors=errors_table(report.errors) if report.errors else None,
        **_weaknesses(report),
        runtimes=report.runtimes,
        runtimes_shown=_group("", report.runtimes.pictures if report.runtimes else []),
        protocol=report.protocol,
        provenance=report.provenance,
        advice=report.advice,
    )


def _weaknesses(report: Report) -> dict[str, Any]:
    """What the template takes of where the model fails."""
    found = report.weaknesses
    return {
        "weak": found.tables(),
        "occlusion_sentence": say_occlusion(found.groups),
        "min_score": found.min_score,
        "robustness_sentence": found.robustness.sentence(report.task.metric_name) if found.robustness else "",
        "saliency": _group("", found.saliency),
    }


def key_sentence(figures: Mapping[str, Mapping[str, float]], images: int, task: Task) -> str:
    """The result in a sentence or two, from the figures of `metrics.json`."""
    metric, metric_name = task.main_metric, task.metric_name
    base, small = figures[REFERENCE], variant_to_show(figures, metric)
    if small is None:
        return f"float32 reaches {base[metric]:.3f} {metric_name} with {base['size_bytes'] / 1e6:.1f} MB."
    row = figures[small]
    size, speed = row["size_bytes"] / base["size_bytes"], row["latency_ms_p50"] / base["latency_ms_p50"]
    if row[metric] <= base[metric]:
        result = f"{small} keeps {row[metric]:.3f} of {base[metric]:.3f} {metric_name}"
    else:
        result = f"{small} reaches {row[metric]:.3f} {metric_name}, float32 {base[metric]:.3f},"
    return (
        f"{result} at {size:.2f} × the size and {speed:.2f} × the time. The drop is {signed_text(row['drop'])}, with a 95 % "
        f"interval from {signed_text(row['drop_low'])} to {signed_text(row['drop_high'])} over {images} photographs."
    )


def _tiles(figures: Mapping[str, Mapping[str, float]], name: str, task: Task) -> list[dict[str, str]]:
    row, base, metric = figures[name], figures[REFERENCE], task.main_metric
    return [
        {
            "name": f"{task.metric_name} of {name}",
            "value": f"{row[metric]:.3f}",
            "detail": f"float32 {base[metric]:.3f}",
        },
        {
            "name": "file",
            "value": f"{row['size_bytes'] / 1e6:.2f} MB",
            "detail": f"{row['size_bytes'] / base['size_bytes']:.2f} × float32",
        },
        {
            "name": "an inference, one thread",
            "value": f"{ms_text(row['latency_ms_p50'])} ms",
            "detail": f"{row['latency_ms_p50'] / base['latency_ms_p50']:.2f} × float32",
        },
        {
            "name": "memory, whole process",
            "value": f"{row['peak_memory_mb']:.0f} MiB",
            "detail": f"float32 {base['peak_memory_mb']:.0f} MiB",
        },
    ]


def show_figure(row: Mapping[str, float], column: Column) -> str:
    """One figure with its interval, if it has one; a dash where it is not defined."""
    if column.key not in row:
        return "–"
    value, low, high = (row.get(f"{column.key}{end}") for end in ("", "_low", "_high"))
    interval = "" if low is None or high is None else f" [{low:.{column.digits}f}, {high:.{column.digits}f}]"
    return f"{value:.{column.digits}f}{interval}"


def _accuracy_table(figures: Mapping[str, Mapping[str, float]], task: Task) -> Table:
    before, after = task.main_columns, task.more_columns
    heads = [[column.heading for column in columns] for columns in (before, after)]
    rows = []
    for name, row in figures.items():
        interval = f"{signed_text(row['drop'])} [{signed_text(row['drop_low'])}, {signed_text(row['drop_high'])}]"
        cells = [name, *(show_figure(row, column) for column in before), "–" if name == REFERENCE else interval]
        rows.append(cells + [show_figure(row, column) for column in after])
    return Table(["variant", *heads[0], "drop [95 % interval]", *heads[1]], rows)


def _cost_table(figures: Mapping[str, Mapping[str, float]]) -> Table:
    head = ["variant"]
    for cost in COSTS:
        head += [cost.heading, f"× {REFERENCE}"] if cost.beside_reference else [cost.heading]
    rows = []
    for name, row in figures.items():
        cells = [name]
        for cost in COSTS:
            cells.append(cost.text(row[cost.key]) if cost.key in row else "–")
            if cost.beside_reference:
                cells.append(f"{row[cost.key] / figures[REFERENCE][cost.key]:.2f}")
        rows.append(cells)
    return Table(head, rows)


def _matrices(report: Report) -> list[dict[str, Any]]:
    matrices = []
    for name, result in report.results.items():
        counts = result.confusion
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            [
                {"count": int(number), "shade": f"{MOST_SHADE * part:.0%}"}
                for number, part in zip(row, shares, strict=True)
            ]
            for row, shares in zip(counts, share, strict=True)
        ]
        matrices.append({"title": report.task.confusion_title(name, result), "rows": rows})
    return matrices


def _published(report: Report) -> dict[str, Any] | None:
    if not report.published:
        return None
    task = report.task
    keys, rows = compare_published(report.published, report.figures, report.training, task.main_metric)
    sources = list(dict.fromkeys(row.source for row in report.published if row.source))
    return {"table": published_table(keys, rows, task), "sources": "; ".join(sources)}


def draw_plots(report: Report, *, dark: bool = False) -> dict[str, bytes]:
    """The task's curve, and accuracy over time and over size, as PNGs: 'curves', 'tradeoff' and 'sizes'."""
    curves, task = report.task.curves(report.results), report.task
    points = points_of(report.figures, task.main_metric)
    errors = {"errors": plot_errors(report.errors, dark=dark)} if report.errors else {}
    return (
        report.weaknesses.plots(task.metric_name, dark=dark)
        | report.on_board.plots(dark=dark)
        | errors
        | {
            "curves": plot_curves(curves.x, curves.lines, curves.x_label, curves.y_label, dark=dark),
            "tradeoff": plot_pareto(points, x="latency", metric_name=task.metric_name, dark=dark),
            "sizes": plot_pareto(points, x="size", metric_name=task.metric_name, dark=dark),
        }
    )


def _group(title: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    rows = []
    for picture in pictures:
        panels = [{"title": title, "data": data_url(_webp(panel), "webp")} for title, panel in picture.panels.items()]
        rows.append({"name": picture.name, "caption": picture.caption, "panels": panels, "large": picture.large})
    return {"title": title, "rows": rows}


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
