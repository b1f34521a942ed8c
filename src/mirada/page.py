"""The report of the stage evaluate as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.drawing import plot_curves, plot_tradeoff
from mirada.metrics import DetectionMetrics

TEMPLATE = Path(__file__).with_name("report.html.j2")
REFERENCE = "float32"
_MATRIX_CLASSES = 30  # a confusion matrix of more classes is left to the CSV file


@dataclass
class Picture:
    """One image of the report: its name, a sentence about it and its panels, title -> drawing."""

    name: str
    caption: str
    panels: dict[str, Image.Image]


@dataclass
class Report:
    """What the page shows.

    Attributes:
        dataset, split, labels, images, objects: what was evaluated on.
        figures: variant -> the figures of `metrics.json`.
        metrics: variant -> its detection metrics.
        bootstrap_samples: resamplings behind the drop's interval.
        notes: what a reader has to be warned of.
        pictures: 'best', 'median' and 'worst' -> pictures.
        protocol, provenance: names and sentences, in order.
    """

    dataset: str
    split: str
    labels: list[str]
    images: int
    objects: int
    figures: dict[str, dict[str, float]]
    metrics: dict[str, DetectionMetrics]
    bootstrap_samples: int
    notes: list[str]
    pictures: dict[str, list[Picture]]
    protocol: list[tuple[str, str]]
    provenance: list[tuple[str, str]]


def render_page(report: Report) -> str:
    """The page, with style, plots and pictures inside it."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    small = smallest_variant(report.figures)
    reference = report.metrics[REFERENCE]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=f"{report.dataset}: what {small} costs" if small else f"{report.dataset}: float32",
        subtitle=f"{report.images} {report.split} images, {report.objects} objects, classes: {', '.join(report.labels)}",
        sentence=key_sentence(report.figures, report.images),
        notes=report.notes,
        tiles=_tiles(report.figures, small),
        accuracy=_accuracy_table(report.figures),
        cost=_cost_table(report.figures),
        bootstrap_samples=report.bootstrap_samples,
        images=report.images,
        plots=_plots(report),
        classes=_classes_table(report),
        confusion_labels=[*report.labels, "background"],
        confusion=_matrices(report.metrics) if len(report.labels) <= _MATRIX_CLASSES else [],
        pictures=[_group(name, pictures) for name, pictures in report.pictures.items() if pictures],
        picture_threshold=f"{reference.threshold:.2f}",
        many_classes=len(report.labels) > 1,
        protocol=report.protocol,
        provenance=report.provenance,
    )


def smallest_variant(figures: Mapping[str, Mapping[str, float]]) -> str | None:
    """The variant that the page is about: int8 where there is one, else the smallest besides float32."""
    others = [name for name in figures if name != REFERENCE]
    if "int8" in others:
        return "int8"
    return min(others, key=lambda name: figures[name]["size_bytes"]) if others else None


def key_sentence(figures: Mapping[str, Mapping[str, float]], images: int) -> str:
    """The result in a sentence or two, from the figures of `metrics.json`."""
    base, small = figures[REFERENCE], smallest_variant(figures)
    if small is None:
        return f"float32 reaches {base['map50']:.3f} mAP50 with {base['size_bytes'] / 1e6:.1f} MB."
    row = figures[small]
    size, speed = row["size_bytes"] / base["size_bytes"], row["latency_ms_p50"] / base["latency_ms_p50"]
    if row["map50"] <= base["map50"]:
        result = f"{small} keeps {row['map50']:.3f} of {base['map50']:.3f} mAP50"
    else:
        result = f"{small} reaches {row['map50']:.3f} mAP50, float32 {base['map50']:.3f},"
    return (
        f"{result} at {size:.2f} × the size and {speed:.2f} × the time. The drop is {_signed(row['drop'])}, with a 95 % "
        f"interval from {_signed(row['drop_low'])} to {_signed(row['drop_high'])} over {images} images."
    )


def _signed(value: float) -> str:
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def _tiles(figures: Mapping[str, Mapping[str, float]], small: str | None) -> list[dict[str, str]]:
    name = small or REFERENCE
    row, base = figures[name], figures[REFERENCE]
    return [
        {"name": f"mAP50 of {name}", "value": f"{row['map50']:.3f}", "detail": f"float32 {base['map50']:.3f}"},
        {
            "name": "file",
            "value": f"{row['size_bytes'] / 1e6:.2f} MB",
            "detail": f"{row['size_bytes'] / base['size_bytes']:.2f} × float32",
        },
        {
            "name": "an inference, one thread",
            "value": f"{row['latency_ms_p50']:.1f} ms",
            "detail": f"{row['latency_ms_p50'] / base['latency_ms_p50']:.2f} × float32",
        },
        {
            "name": "memory, whole process",
            "value": f"{row['peak_memory_mb']:.0f} MiB",
            "detail": f"float32 {base['peak_memory_mb']:.0f} MiB",
        },
    ]


def _accuracy_table(figures: Mapping[str, Mapping[str, float]]) -> dict[str, list]:
    head = ["variant", "mAP50", "mAP50-95", "drop [95 % interval]", "precision", "recall", "F1"]
    rows = []
    for name, row in figures.items():
        interval = f"{_signed(row['drop'])} [{_signed(row['drop_low'])}, {_signed(row['drop_high'])}]"
        cells = [name, f"{row['map50']:.3f}", f"{row['map50_95']:.3f}", "–" if name == REFERENCE else interval]
        rows.append(cells + [f"{row[key]:.3f}" for key in ("precision", "recall", "f1")])
    return {"head": head, "rows": rows}


def _cost_table(figures: Mapping[str, Mapping[str, float]]) -> dict[str, list]:
    head = [
        "variant", "size MB", "× float32", "1 thread: p50 ms", "p95", "× float32", "all threads: p50 ms", "p95",
        "memory MiB", "load ms",
    ]  # fmt: skip
    base = figures[REFERENCE]
    rows = []
    for name, row in figures.items():
        sizes = [f"{row['size_bytes'] / 1e6:.2f}", f"{row['size_bytes'] / base['size_bytes']:.2f}"]
        times = [f"{row['latency_ms_p50']:.1f}", f"{row['latency_ms_p95']:.1f}"]
        times.append(f"{row['latency_ms_p50'] / base['latency_ms_p50']:.2f}")
        times += [f"{row[f'latency_ms_{p}_all_threads']:.1f}" for p in ("p50", "p95")]
        rows.append([name, *sizes, *times, f"{row['peak_memory_mb']:.0f}", f"{row['load_ms']:.1f}"])
    return {"head": head, "rows": rows}


def _classes_table(report: Report) -> dict[str, list]:
    rows = []
    for label in report.labels:
        cells = [label, str(report.metrics[REFERENCE].per_class[label].truths)]
        for metrics in report.metrics.values():
            ap = metrics.per_class[label]
            cells.append("–" if ap.ap50 is None else f"{ap.ap50:.3f} / {ap.ap50_95:.3f}")
        rows.append(cells)
    return {"head": ["class", "objects", *report.metrics], "rows": rows}


def _matrices(metrics: Mapping[str, DetectionMetrics]) -> list[dict[str, Any]]:
    matrices = []
    for name, result in metrics.items():
        counts = result.confusion
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            [{"count": int(n), "shade": f"{0.55 * s:.2f}"} for n, s in zip(row, shares, strict=True)]
            for row, shares in zip(counts, share, strict=True)
        ]
        matrices.append({"name": name, "threshold": f"{result.threshold:.2f}", "rows": rows})
    return matrices


def mean_curve(metrics: DetectionMetrics) -> np.ndarray:
    """(101,) precision at the recalls of `metrics.RECALLS`, mean over the classes; zeros without any."""
    return np.mean(list(metrics.curves.values()), axis=0) if metrics.curves else np.zeros(101)


def _plots(report: Report) -> dict[str, dict[str, str]]:
    curves = {name: mean_curve(metrics) for name, metrics in report.metrics.items()}
    sides = {"light": False, "dark": True}
    return {
        "curves": {side: _data_url(plot_curves(curves, dark=dark), "png") for side, dark in sides.items()},
        "tradeoff": {side: _data_url(plot_tradeoff(report.figures, dark=dark), "png") for side, dark in sides.items()},
    }


def _group(name: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    rows = []
    for picture in pictures:
        panels = [{"title": title, "data": _data_url(_webp(panel), "webp")} for title, panel in picture.panels.items()]
        rows.append({"name": picture.name, "caption": picture.caption, "panels": panels})
    return {"title": f"The {name}", "rows": rows}


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
