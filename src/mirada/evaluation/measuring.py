"""Measure the variants of a model on a split of the data: what they find, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from mirada.config import EvaluateConfig
from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.errors import MiradaError
from mirada.evaluation.figures import DROP
from mirada.inference.card import Card
from mirada.inference.litert import Model, gzip_size, measure_latencies, peak_memory_mb, predict_examples
from mirada.inference.prediction import Decoding
from mirada.inference.suitability import check_suits
from mirada.inference.variants import REFERENCE
from mirada.tasks import Task
from mirada.workers.cores import available_threads

LOADS = 5  # times a model is loaded; the median counts


def check_fit(card: Card, dataset: Dataset, config: EvaluateConfig) -> list[str]:
    """Refuse data that the model can't be measured on; return what a reader has to be warned of.

    Raises:
        MiradaError: task, labels, input size or channels differ, or the split has no image.
    """
    notes = check_suits(card, dataset, config.data_dir, config.model_dir)
    if not dataset.splits.get(config.split, {}).get("images"):
        raise MiradaError(
            f"The split {config.split} of {config.data_dir} has no image: preprocess with a share for it."
        )
    return notes


def decoding_of(config: EvaluateConfig) -> Decoding:
    """How the stage's settings make detections of outputs."""
    return Decoding(config.score_floor, config.nms_iou, config.max_detections)


def predict_split(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> tuple[list[Example], dict[str, list[Any]]]:
    """Run every image through every variant, one thread each.

    Returns:
        The examples without their images, and variant -> the task's predictions in the same order.
    """
    models = {name: Model(path, card) for name, path in variants.items()}
    bar = progress.add_task("images", total=dataset.splits[config.split]["images"])
    examples = dataset.examples(config.split)
    truths, predictions = predict_examples(models, examples, decoding_of(config), lambda: progress.advance(bar))
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
    loads = [{name: Model(path, card).load_ms for name, path in variants.items()} for _ in range(LOADS)]
    for name, path in variants.items():
        figures[name]["peak_memory_mb"] = peak_memory_mb(path)[0]
        figures[name]["load_ms"] = float(np.median([load[name] for load in loads]))
    return figures


def accuracy_figures(config: EvaluateConfig, task: Task, results: Mapping[str, Any], name: str) -> dict[str, float]:
    """One variant's accuracy and its drop against float32, as `metrics.json` has them."""
    drop = task.drop(results[REFERENCE], results[name], config.bootstrap_samples, config.seed)
    return results[name].figures | dict(zip(DROP, drop, strict=True))
