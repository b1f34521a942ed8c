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
from mirada.config import EvaluateConfig
from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.data.stored_data import open_dataset
from mirada.errors import MiradaError
from mirada.evaluation.page import Picture, Report, draw_plots, render_page
from mirada.evaluation.pareto import points_of, smallest_variant, tradeoff_table
from mirada.evaluation.provenance import describe_protocol, describe_provenance, provenance_tags
from mirada.evaluation.quantization_record import load_variants, read_quantization
from mirada.evaluation.training_record import check_published, compare_published, read_training
from mirada.export.registry import Breach, check_limits, compare_on_same_images, register_model
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model, gzip_size, measure_latencies, peak_memory_mb
from mirada.tasks import Task, get_task
from mirada.tasks.base import REFERENCE, ms_text, signed_text
from mirada.tasks.pictures import side_by_side
from mirada.workers.cores import available_threads

_LOADS = 5  # times a model is loaded; the median counts
_DROP = ("drop", "drop_low", "drop_high")
_COSTS = (
    "size_bytes", "size_gzip_bytes", "latency_ms_p50", "latency_ms_p95", "latency_ms_p50_all_threads",
    "latency_ms_p95_all_threads", "peak_memory_mb", "load_ms",
)  # fmt: skip
_PANEL = 400  # side of a drawn image in pixels
# The order in which results appear: who finds metrics.json finds all the others.
_OUTPUTS = ("plots", "images", "variants.csv", "published.csv", "index.html", "metrics.json")


def run(config: EvaluateConfig) -> dict[str, dict[str, float]]:
    """Measure every variant and write the report.

    Returns:
        Variant -> its figures, as in `metrics.json`.

    Raises:
        MiradaError: an earlier stage is missing, a file is damaged, data and model do not fit, or, after everything is
            written, a limit is not kept.
    """
    started = time.perf_counter()
    check_published(config.published)
    card, dataset = load_card(config.model_dir), open_dataset(config.data_dir)
    notes, task = check_fit(card, dataset, config), get_task(card.task)
    variants = load_variants(Path(config.variants_dir))
    _check_judging(config, card, variants)
    if card.run_id:
        tracking.check(config.tracking)
    for note in notes:
        print(f"note: {note}", flush=True)
    with _progress() as progress:
        truths, predictions = predict_split(config, card, dataset, variants, progress)
        figures = measure_cost(config, card, dataset, variants, progress)
    results = {name: task.evaluate(truths, found, card.labels, config) for name, found in predictions.items()}
    figures = {name: accuracy_figures(config, task, results, name) | figures[name] for name in variants}
    training = read_training(Path(config.model_dir))
    report = Report(
        task=task,
        dataset=dataset.name,
        split=config.split,
        labels=card.labels,
        images=len(truths),
        objects=sum(int(np.count_nonzero(~truth.ignore)) for truth in truths),
        figures=figures,
        results=results,
        bootstrap_samples=config.bootstrap_samples,
        notes=notes,
        pictures=draw_pictures(config, card, dataset, truths, predictions, results[REFERENCE]),
        training=training,
        quantization=read_quantization(Path(config.variants_dir)),
        published=config.published,
        protocol=describe_protocol(config, _LOADS, task),
        provenance=describe_provenance(card, dataset, training),
    )
    output_dir = Path(config.output_dir)
    write_report(output_dir, report)
    _print(figures, task, output_dir / "index.html")
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        _track(mlflow_run, config, figures, time.perf_counter() - started)
        mlflow_run.set_tags(provenance_tags(dataset))
        breaches = _judge(config, card, dataset, variants, results, figures)
    if breaches:
        raise MiradaError(" ".join(breach.sentence for breach in breaches))
    return figures


def _check_judging(config: EvaluateConfig, card: Card, variants: Mapping[str, Path]) -> None:
    """Refuse, before the work, limits on unknown figures, an absent judged variant, a registration without a run.

    Raises:
        MiradaError: the sentence names the key.
    """
    if config.judged is not None and config.judged not in variants:
        raise MiradaError(
            f"judged={config.judged} is not among the variants {', '.join(variants)}: choose one of them."
        )
    if config.register and card.run_id is None:
        raise MiradaError(
            f"register={config.register} needs the MLflow run of the model in {config.model_dir}, and its training was not "
            "tracked: train with tracking.enabled=true, or leave register out."
        )
    task = get_task(card.task)
    columns = [column.key for column in (*task.main_columns, *task.more_columns)]
    check_limits(dict.fromkeys((*columns, *_DROP, *_COSTS), 0.0), config.limits)


def _judge(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    variants: Mapping[str, Path],
    results: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, float]],
) -> list[Breach]:
    """Hold one variant against the limits, and register it where it keeps them and a name is given."""
    name = config.judged or smallest_variant(figures, get_task(card.task).main_metric) or REFERENCE
    breaches = check_limits(figures[name], config.limits, name)
    if config.register and not breaches:
        example = next(dataset.examples(config.split)).image
        compare = compare_on_same_images(config, dataset, results[name])
        done = register_model(card, variants[name], name, figures[name], compare, name=config.register, example=example)
        print(done.sentence, flush=True)
    return breaches


def check_fit(card: Card, dataset: Dataset, config: EvaluateConfig) -> list[str]:
    """Refuse data that the model can't be measured on; return what a reader has to be warned of.

    Raises:
        MiradaError: task, labels, input size or channels differ, or the split has no image.
    """
    if dataset.task != card.task:
        raise MiradaError(
            f"{config.data_dir} is for {dataset.task}, the model in {config.model_dir} for {card.task}: evaluate on data "
            "for the same task."
        )
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
    if dataset.channels != card.channels:
        raise MiradaError(
            f"{config.data_dir} has images of {dataset.channels} channels, the model in {config.model_dir} takes "
            f"{card.channels}: preprocess with channels={card.channels}."
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
    if dataset.enhance != card.enhance:
        notes.append(
            f"The images were prepared with enhance={dataset.enhance}, those of the training with enhance={card.enhance}."
        )
    return notes


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def predict_split(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> tuple[list[Example], dict[str, list[Any]]]:
    """Run every image through every variant, one thread each.

    Returns:
        The examples without their images, and variant -> the task's predictions in the same order.
    """
    models = {name: Model(path, card) for name, path in variants.items()}
    truths: list[Example] = []
    predictions: dict[str, list[Any]] = {name: [] for name in models}
    task, bar = get_task(card.task), progress.add_task("images", total=dataset.splits[config.split]["images"])
    for example in dataset.examples(config.split):
        image = decode(example.image, card.channels)
        for name, model in models.items():
            predictions[name].append(task.decode(model.predict(image), card, config))
        truths.append(replace(example, image=b""))
        progress.advance(bar)
    if all(truth.ignore.all() for truth in truths):
        raise MiradaError(
            f"The split {config.split} of {config.data_dir} has no box to find: there is nothing to measure."
        )
    return truths, predictions


def measure_cost(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> dict[str, dict[str, float]]:
    """Size, time of loading, latency and memory of each variant."""
    image = decode(next(dataset.examples(config.split)).image, card.channels)
    figures: dict[str, dict[str, float]] = {
        name: {"size_bytes": path.stat().st_size, "size_gzip_bytes": gzip_size(path.read_bytes())}
        for name, path in variants.items()
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


def accuracy_figures(config: EvaluateConfig, task: Task, results: Mapping[str, Any], name: str) -> dict[str, float]:
    """One variant's accuracy and its drop against float32, as `metrics.json` has them."""
    drop = task.drop(results[REFERENCE], results[name], config.bootstrap_samples, config.seed)
    return results[name].figures | dict(zip(_DROP, drop, strict=True))


def choose_pictures(qualities: Sequence[tuple[float, float] | None], count: int) -> dict[str, list[int]]:
    """Indices of the best, the median and the worst images.

    Args:
        qualities: an image's quality and what decides between equals, higher first, as `Task.quality` gives them; images
            without are left out.
        count: at most so many of each; none is chosen twice.
    """
    known = {i: quality for i, quality in enumerate(qualities) if quality is not None}
    best = sorted(known, key=lambda i: (-known[i][0], -known[i][1]))[: min(count, -(-len(known) // 3))]
    rest = [i for i in known if i not in best]
    worst = sorted(rest, key=lambda i: (known[i][0], -known[i][1]))[: min(count, -(-len(rest) // 2))]
    rest = sorted((i for i in rest if i not in worst), key=lambda i: known[i][0])
    start = max(0, (len(rest) - count) // 2)
    return {"best": best, "median": rest[start : start + count], "worst": worst}


def draw_pictures(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    truths: Sequence[Example],
    predictions: Mapping[str, Sequence[Any]],
    reference: Any,
) -> dict[str, list[Picture]]:
    """Truth and each variant's prediction, for the images that `choose_pictures` chose by float32's predictions."""
    task, labels = get_task(card.task), card.labels
    qualities = [task.quality(*pair, reference) for pair in zip(truths, predictions[REFERENCE], strict=True)]
    chosen = choose_pictures(qualities, config.pictures)
    wanted = {i for group in chosen.values() for i in group}
    examples = enumerate(dataset.examples(config.split))
    images = {i: decode(example.image, card.channels) for i, example in examples if i in wanted}
    pictures: dict[str, list[Picture]] = {}
    for group, indices in chosen.items():
        pictures[group] = []
        for i in indices:
            found = {name: row[i] for name, row in predictions.items()}
            panels = {"truth": task.draw_truth(images[i], truths[i], labels, _PANEL)}
            for name, prediction in found.items():
                panels[name] = task.draw_prediction(images[i], truths[i], prediction, labels, _PANEL, reference)
            caption = task.caption(truths[i], found, labels, reference)
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
        plots = draw_plots(report)
        (part / "plots" / f"{report.task.curves(report.results).name}.png").write_bytes(plots["curves"])
        for name in ("tradeoff", "sizes"):
            (part / "plots" / f"{name}.png").write_bytes(plots[name])
        for group, pictures in report.pictures.items():
            for number, picture in enumerate(pictures, start=1):
                side_by_side(picture.panels).save(part / "images" / f"{group}-{number}.jpg", quality=88)
        (part / "index.html").write_text(render_page(report), encoding="utf-8")
        (part / "metrics.json").write_text(json.dumps(report.figures, indent=2) + "\n")
        for name in reversed(_OUTPUTS):
            old = output_dir / name
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        for name in _OUTPUTS:
            if (part / name).exists():
                (part / name).rename(output_dir / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_tables(folder: Path, report: Report) -> None:
    """`variants.csv`, `published.csv` where there is something to compare with, and the data of the DVC plots."""
    names, task = list(report.figures), report.task
    columns = list(report.figures[REFERENCE])
    _write_csv(folder / "variants.csv", ["variant", *columns], ([n, *report.figures[n].values()] for n in names))
    if report.published:
        keys, rows = compare_published(report.published, report.figures, report.training, task.main_metric)
        head = ["what", *keys, "source"]
        _write_csv(folder / "published.csv", head, ([row.get(key, "") for key in head] for row in rows))
    _write_csv(
        folder / "plots" / "tradeoff.csv",
        *tradeoff_table(points_of(report.figures, task.main_metric), task.main_metric),
    )
    curves = task.curves(report.results)
    lines = zip(curves.x, np.transpose(list(curves.lines.values())), strict=True)
    _write_csv(
        folder / "plots" / f"{curves.name}.csv",
        [curves.x_label, *names],
        ([f"{x:.2f}", *(f"{y:.6f}" for y in row)] for x, row in lines),
    )
    if curves.classes:
        _write_csv(folder / "plots" / f"{curves.name}_classes.csv", curves.classes.head, curves.classes.rows)
    shown = smallest_variant(report.figures, task.main_metric) or REFERENCE
    labels = task.confusion_labels(report.labels)
    cells = (  # DVC's confusion template counts rows
        [labels[actual], labels[predicted]]
        for (actual, predicted), count in np.ndenumerate(report.results[shown].confusion)
        for _ in range(count)
    )
    _write_csv(folder / "plots" / "confusion.csv", ["actual", "predicted"], cells)


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def _print(figures: Mapping[str, Mapping[str, float]], task: Task, page: Path) -> None:
    head = ("variant", *(column.heading for column in task.main_columns), "drop [95 %]", "MB", "p50 ms", "p95 ms")
    table = Table(*head, title="evaluate", box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name, row in figures.items():
        drop = "{} [{}, {}]".format(*(signed_text(row[key]) for key in ("drop", "drop_low", "drop_high")))
        table.add_row(
            name,
            *(f"{row[column.key]:.{column.digits}f}" if column.key in row else "–" for column in task.main_columns),
            "" if name == REFERENCE else drop.replace("[", r"\["),
            f"{row['size_bytes'] / 1e6:.2f}",
            ms_text(row["latency_ms_p50"]),
            ms_text(row["latency_ms_p95"]),
        )
    Console().print(table)
    print(f"page: {page}")


def _track(
    mlflow_run: tracking.Run, config: EvaluateConfig, figures: Mapping[str, Mapping[str, float]], seconds: float
) -> None:
    flat = {f"{name}/{key}": value for name, row in figures.items() for key, value in row.items()}
    mlflow_run.log_metrics(flat | {"evaluate_seconds": seconds})
    left_out = ("tracking", "published", "register")
    settings = {k: value for k, value in asdict(config).items() if k not in left_out and not k.endswith("_dir")}
    mlflow_run.log_params({f"evaluate.{key}": value for key, value in settings.items()})
    output_dir = Path(config.output_dir)
    for path in (output_dir / name for name in _OUTPUTS if (output_dir / name).exists()):
        name = path.name
        mlflow_run.log_artifacts(path, f"evaluate/{name}" if path.is_dir() else "evaluate")
