"""Evaluate: the `.tflite` variants and a split of the data in, figures, plots, pictures and one page out."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mirada import tracking
from mirada.card import Card, load_card
from mirada.config import EvaluateConfig
from mirada.drawing import draw_detections, draw_truth, plot_curves, plot_tradeoff, side_by_side
from mirada.errors import MiradaError
from mirada.images import decode
from mirada.litert import Model, measure_latencies, peak_memory_mb
from mirada.metrics import RECALLS, DetectionMetrics, bootstrap_drop, evaluate_detections, image_f1
from mirada.page import REFERENCE, Picture, Report, mean_curve, render_page, smallest_variant
from mirada.prediction import Detections, decode_detections
from mirada.provenance import available_threads, describe_protocol, describe_provenance
from mirada.records import Dataset, Example, load_dataset, sha256_of

_LOADS = 5  # times a model is loaded; the median counts
_PANEL = 400  # side of a drawn image in pixels
# The order in which results appear: who finds metrics.json finds all the others.
_OUTPUTS = ("plots", "images", "variants.csv", "index.html", "metrics.json")


def run(config: EvaluateConfig) -> dict[str, dict[str, float]]:
    """Measure every variant and write the report.

    Returns:
        Variant -> its figures, as in `metrics.json`.

    Raises:
        MiradaError: an earlier stage is missing, a file is damaged, or data and model do not fit.
    """
    started = time.perf_counter()
    card, dataset = load_card(config.model_dir), load_dataset(config.data_dir)
    notes = check_fit(card, dataset, config)
    variants = load_variants(Path(config.variants_dir))
    for note in notes:
        print(f"note: {note}", flush=True)
    with _progress() as progress:
        truths, predictions = predict_split(config, card, dataset, variants, progress)
        figures = measure_cost(config, card, dataset, variants, progress)
    metrics = {
        name: evaluate_detections(truths, found, card.labels, max_detections=config.max_detections)
        for name, found in predictions.items()
    }
    figures = {name: accuracy_figures(config, metrics, name) | figures[name] for name in variants}
    pictures = draw_pictures(config, card, dataset, truths, predictions, metrics[REFERENCE].threshold)
    report = Report(
        dataset=dataset.name,
        split=config.split,
        labels=card.labels,
        images=len(truths),
        objects=sum(int(np.count_nonzero(~truth.ignore)) for truth in truths),
        figures=figures,
        metrics=metrics,
        bootstrap_samples=config.bootstrap_samples,
        notes=notes,
        pictures=pictures,
        protocol=describe_protocol(config, _LOADS),
        provenance=describe_provenance(card, dataset),
    )
    output_dir = Path(config.output_dir)
    write_report(output_dir, report)
    _print(figures, output_dir / "index.html")
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        _track(mlflow_run, config, figures, time.perf_counter() - started)
    return figures


def load_variants(folder: Path) -> dict[str, Path]:
    """The `.tflite` files that `variants.json` lists, in its order, each checked by its sha256.

    Raises:
        MiradaError: the quantize stage has not run, a file is missing or damaged, or float32 is not among them.
    """
    path = folder / "variants.json"
    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the quantize stage first (`dvc repro quantize`).")
    try:
        entries = [(entry["name"], folder / entry["file"], entry["sha256"]) for entry in _read(path)["variants"]]
    except (ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{path} is corrupt ({error!r}): run the quantize stage again.") from error
    for _, file, digest in entries:
        if not file.is_file():
            raise MiradaError(f"{file} is missing: run the quantize stage again (`dvc repro quantize`).")
        if sha256_of(file) != digest:
            raise MiradaError(
                f"{file} is corrupt, its sha256 differs from variants.json: run the quantize stage again."
            )
    if REFERENCE not in [name for name, _, _ in entries]:
        raise MiradaError(f"{path} lists no float32, which every variant is compared with: quantize with it.")
    return {name: file for name, file, _ in entries}


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def check_fit(card: Card, dataset: Dataset, config: EvaluateConfig) -> list[str]:
    """Refuse data that the model can't be measured on; return what a reader has to be warned of.

    Raises:
        MiradaError: labels or input size differ, or the split has no image.
    """
    if dataset.classes != card.labels:
        raise MiradaError(
            f"{config.data_dir} has the classes {', '.join(dataset.classes)}, the model in {config.model_dir} was "
            f"trained for {', '.join(card.labels)}: evaluate on data with the same classes."
        )
    if dataset.input_size != card.input_size:
        raise MiradaError(
            f"{config.data_dir} has images of {dataset.input_size} pixels, the model in {config.model_dir} takes "
            f"{card.input_size}: preprocess with input_size={card.input_size}."
        )
    if not dataset.splits.get(config.split, {}).get("images"):
        raise MiradaError(
            f"The split {config.split} of {config.data_dir} has no image: preprocess with a share for it."
        )
    notes = []
    if dataset.digest != card.data_digest:
        notes.append(f"The model was trained on other data ({card.dataset}, digest {card.data_digest[:12]}).")
    if dataset.fit != card.fit:
        notes.append(f"The images were prepared with fit={dataset.fit}, those of the training with fit={card.fit}.")
    return notes


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def predict_split(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> tuple[list[Example], dict[str, list[Detections]]]:
    """Run every image through every variant, one thread each.

    Returns:
        The examples without their images, and variant -> detections in the same order.
    """
    models = {name: Model(path, card) for name, path in variants.items()}
    truths: list[Example] = []
    predictions: dict[str, list[Detections]] = {name: [] for name in models}
    task = progress.add_task("images", total=dataset.splits[config.split]["images"])
    for example in dataset.examples(config.split):
        image = decode(example.image)
        for name, model in models.items():
            found = decode_detections(
                model.predict(image),
                card,
                score_floor=config.score_floor,
                nms_iou=config.nms_iou,
                max_detections=config.max_detections,
            )
            predictions[name].append(found)
        truths.append(replace(example, image=b""))
        progress.advance(task)
    if all(truth.ignore.all() for truth in truths):
        raise MiradaError(
            f"The split {config.split} of {config.data_dir} has no box to find: there is nothing to measure."
        )
    return truths, predictions


def measure_cost(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> dict[str, dict[str, float]]:
    """Size, time of loading, latency and memory of each variant."""
    image = decode(next(dataset.examples(config.split)).image)
    figures: dict[str, dict[str, float]] = {
        name: {"size_bytes": path.stat().st_size} for name, path in variants.items()
    }
    turns = -(-config.latency_runs // 10) * len(variants)
    task = progress.add_task("latency", total=2 * turns)
    for threads, suffix in ((1, ""), (available_threads(), "_all_threads")):
        models = {name: Model(path, card, threads) for name, path in variants.items()}
        latencies = measure_latencies(
            models, image, config.latency_runs, config.latency_warmup, lambda: progress.advance(task)
        )
        for name, times in latencies.items():
            p50, p95 = np.percentile(times, [50, 95])
            figures[name] |= {f"latency_ms_p50{suffix}": float(p50), f"latency_ms_p95{suffix}": float(p95)}
    loads = [{name: Model(path, card).load_ms for name, path in variants.items()} for _ in range(_LOADS)]
    for name, path in variants.items():
        figures[name]["peak_memory_mb"] = peak_memory_mb(path)[0]
        figures[name]["load_ms"] = float(np.median([load[name] for load in loads]))
    return figures


def accuracy_figures(config: EvaluateConfig, metrics: Mapping[str, DetectionMetrics], name: str) -> dict[str, float]:
    """One variant's accuracy and its drop against float32, as `metrics.json` has them."""
    result = metrics[name]
    drop = bootstrap_drop(metrics[REFERENCE].matches, result.matches, config.bootstrap_samples, config.seed)
    figures = {key: getattr(result, key) for key in ("map50", "map50_95", "precision", "recall", "f1")}
    return figures | dict(zip(("drop", "drop_low", "drop_high"), drop, strict=True))


def choose_pictures(
    truths: Sequence[Example], found: Sequence[Detections], threshold: float, count: int
) -> dict[str, list[int]]:
    """Indices of the best, the median and the worst images by F1; of equal ones, those with more objects.

    Images without an object are left out, and none is chosen twice.
    """
    objects = [int(np.count_nonzero(~truth.ignore)) for truth in truths]
    f1 = [image_f1(truth, detections, threshold) for truth, detections in zip(truths, found, strict=True)]
    busy = [i for i, number in enumerate(objects) if number > 0]
    best = sorted(busy, key=lambda i: (-f1[i], -objects[i]))[: min(count, -(-len(busy) // 3))]
    rest = [i for i in busy if i not in best]
    worst = sorted(rest, key=lambda i: (f1[i], -objects[i]))[: min(count, -(-len(rest) // 2))]
    rest = sorted((i for i in rest if i not in worst), key=lambda i: f1[i])
    start = max(0, (len(rest) - count) // 2)
    return {"best": best, "median": rest[start : start + count], "worst": worst}


def draw_pictures(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    truths: Sequence[Example],
    predictions: Mapping[str, Sequence[Detections]],
    threshold: float,
) -> dict[str, list[Picture]]:
    """Truth and each variant's detections at float32's threshold, for the images of `choose_pictures`."""
    chosen = choose_pictures(truths, predictions[REFERENCE], threshold, config.pictures)
    wanted = {i for group in chosen.values() for i in group}
    images = {i: decode(e.image) for i, e in enumerate(dataset.examples(config.split)) if i in wanted}
    pictures: dict[str, list[Picture]] = {}
    for group, indices in chosen.items():
        pictures[group] = []
        for i in indices:
            panels = {"truth": draw_truth(images[i], truths[i], card.labels, _PANEL)}
            scores = []
            for name, found in predictions.items():
                shown = found[i].above(threshold)
                panels[name] = draw_detections(images[i], truths[i], shown, card.labels, _PANEL)
                scores.append(f"{name} {image_f1(truths[i], found[i], threshold):.2f}")
            objects = int(np.count_nonzero(~truths[i].ignore))
            caption = f"{objects} object{'s' if objects != 1 else ''}; F1 {', '.join(scores)}"
            pictures[group].append(Picture(truths[i].image_id, caption, panels))
    return pictures


def write_report(output_dir: Path, report: Report) -> None:
    """Write all files aside, then put them in place; `metrics.json` goes first and comes last."""
    part = output_dir / ".part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "plots").mkdir(parents=True)
    (part / "images").mkdir()
    try:
        _write_tables(part, report)
        curves = {name: mean_curve(metrics) for name, metrics in report.metrics.items()}
        (part / "plots" / "pr.png").write_bytes(plot_curves(curves))
        (part / "plots" / "tradeoff.png").write_bytes(plot_tradeoff(report.figures))
        for group, pictures in report.pictures.items():
            for number, picture in enumerate(pictures, start=1):
                side_by_side(picture.panels).save(part / "images" / f"{group}-{number}.jpg", quality=88)
        (part / "index.html").write_text(render_page(report), encoding="utf-8")
        (part / "metrics.json").write_text(json.dumps(report.figures, indent=2) + "\n")
        for name in reversed(_OUTPUTS):
            old = output_dir / name
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        for name in _OUTPUTS:
            (part / name).rename(output_dir / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_tables(folder: Path, report: Report) -> None:
    """`variants.csv` and the data of the DVC plots."""
    names = list(report.figures)
    columns = list(report.figures[REFERENCE])
    _write_csv(folder / "variants.csv", ["variant", *columns], ([n, *report.figures[n].values()] for n in names))
    curves = [mean_curve(report.metrics[name]) for name in names]
    _write_csv(
        folder / "plots" / "pr.csv",
        ["recall", *names],
        (
            [f"{recall:.2f}", *(f"{p:.6f}" for p in row)]
            for recall, row in zip(RECALLS, np.transpose(curves), strict=True)
        ),
    )
    per_class = (
        [name, label, f"{recall:.2f}", f"{p:.6f}"]
        for name in names
        for label, curve in report.metrics[name].curves.items()
        for recall, p in zip(RECALLS, curve, strict=True)
    )
    _write_csv(folder / "plots" / "pr_classes.csv", ["variant", "label", "recall", "precision"], per_class)
    shown = smallest_variant(report.figures) or REFERENCE
    labels = [*report.labels, "background"]
    cells = (  # DVC's confusion template counts rows
        [labels[actual], labels[predicted]]
        for (actual, predicted), count in np.ndenumerate(report.metrics[shown].confusion)
        for _ in range(count)
    )
    _write_csv(folder / "plots" / "confusion.csv", ["actual", "predicted"], cells)


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def _print(figures: Mapping[str, Mapping[str, float]], page: Path) -> None:
    head = ("variant", "mAP50", "mAP50-95", "drop [95 %]", "MB", "p50 ms", "p95 ms")
    table = Table(*head, title="evaluate", box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name, row in figures.items():
        drop = f"{row['drop']:+.3f} [{row['drop_low']:+.3f}, {row['drop_high']:+.3f}]"
        table.add_row(
            name,
            f"{row['map50']:.3f}",
            f"{row['map50_95']:.3f}",
            "" if name == REFERENCE else drop.replace("[", r"\["),
            f"{row['size_bytes'] / 1e6:.2f}",
            f"{row['latency_ms_p50']:.1f}",
            f"{row['latency_ms_p95']:.1f}",
        )
    Console().print(table)
    print(f"page: {page}")


def _track(
    mlflow_run: tracking.Run, config: EvaluateConfig, figures: Mapping[str, Mapping[str, float]], seconds: float
) -> None:
    flat = {f"{name}/{key}": value for name, row in figures.items() for key, value in row.items()}
    mlflow_run.log_metrics(flat | {"evaluate_seconds": seconds})
    settings = {key: value for key, value in asdict(config).items() if key != "tracking" and not key.endswith("_dir")}
    mlflow_run.log_params({f"evaluate.{key}": value for key, value in settings.items()})
    output_dir = Path(config.output_dir)
    for name in _OUTPUTS:
        path = output_dir / name
        mlflow_run.log_artifacts(path, f"evaluate/{name}" if path.is_dir() else "evaluate")
