"""Measure the variants of a model on a split of the data: what they find, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import Progress

from mirada.config import EvaluateConfig
from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.errors import MiradaError
from mirada.evaluation.figures import DROP
from mirada.inference.card import Card
from mirada.inference.engine import Answer, Engine, predict_photographs
from mirada.inference.litert import Model, Timed, find_in, gzip_size, measure_latencies, peak_memory_mb
from mirada.inference.prediction import Decoding, Prediction
from mirada.inference.suitability import check_suits
from mirada.inference.tiling import Viewing
from mirada.inference.variants import REFERENCE, same_files
from mirada.inference.workload import ReferenceConvolution, count_workload
from mirada.tasks import Task, get_task
from mirada.tasks.judging import Judging, judging_of
from mirada.workers.cores import available_threads
from mirada.workers.crew import share_out

T = TypeVar("T")

_REFERENCE = "reference convolution"
_CREW = 4  # threads at most: each has all models in memory
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


@dataclass
class Measured:
    """What the variants find in the photographs of a split, and in the network's inputs where these are tiles.

    Attributes:
        truths: the photographs, without their pixels.
        predictions: variant -> predictions in the same order, in pixels of the photographs.
        answers: variant -> whole answers, with view and times.
        results: variant -> the task's result on the photographs.
        tile_results: variant -> that on the tiles of the split; empty where the training saw whole images.
        judging: how the photographs were judged.
    """

    truths: list[Example]
    predictions: dict[str, list[Any]]
    answers: dict[str, list[Answer]]
    results: dict[str, Any]
    tile_results: dict[str, Any]
    judging: Judging


def decoding_of(config: EvaluateConfig) -> Decoding:
    """How the stage's settings make detections of outputs."""
    return Decoding(config.score_floor, config.nms_iou, config.max_detections)


def viewing_of(config: EvaluateConfig) -> Viewing:
    """How the stage's settings look at photographs."""
    return Viewing(config.view, config.tile, config.overlap, tuple(config.scales))


def measure_accuracy(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> Measured:
    """Show every photograph to every variant, one thread each; tiles too, where the network was trained on such.

    Variants of the same bytes are looked at once. Photographs are timed, so nothing else runs meanwhile.

    Raises:
        MiradaError: the split has nothing to find, or the data set holds no photographs.
    """
    task, threads, same = get_task(card.task), 1, same_files(variants)
    files = {name: variants[name] for name in dict.fromkeys(same.values())}
    engines = {
        name: Engine(path, card, viewing_of(config), decoding_of(config), threads) for name, path in files.items()
    }
    bar = progress.add_task("photographs", total=dataset.photographs.get(config.split, {}).get("images", 0))
    truths, predictions, answers = predict_photographs(
        engines, dataset.whole_photographs(config.split), lambda: progress.advance(bar)
    )
    if all(truth.ignore.all() for truth in truths):
        raise MiradaError(
            f"The split {config.split} of {config.data_dir} has no box to find: there is nothing to measure."
        )
    sizes = [(answer.width, answer.height) for answer in answers[REFERENCE]]
    judging = judging_of(card, sizes, chain.from_iterable(predictions.values()))
    results = {name: task.evaluate(truths, found, card.labels, judging) for name, found in predictions.items()}
    tile_results = _judge_tiles(config, card, dataset, files, progress) if card.tile_size else {}
    return Measured(
        truths=truths,
        predictions=_for_all(predictions, same),
        answers=_for_all(answers, same),
        results=_for_all(results, same),
        tile_results=_for_all(tile_results, same) if tile_results else {},
        judging=judging,
    )


def open_crew(card: Card, files: Mapping[str, Path]) -> list[dict[str, Model]]:
    """The models as often as there are processors for them, each on one: for what is not timed."""
    return [{name: Model(path, card) for name, path in files.items()} for _ in range(min(available_threads(), _CREW))]


def _judge_tiles(
    config: EvaluateConfig, card: Card, dataset: Dataset, files: Mapping[str, Path], progress: Progress
) -> dict[str, Any]:
    """Each model's result on the network's inputs."""
    task, within = get_task(card.task), Decoding(config.score_floor, config.nms_iou)
    bar = progress.add_task("tiles", total=dataset.splits[config.split]["images"])

    def look(models: Mapping[str, Model], example: Example) -> tuple[Example, dict[str, Prediction]]:
        return replace(example, image=b""), find_in(models, example, within)

    tiles: list[Example] = []
    predictions: dict[str, list[Any]] = {name: [] for name in files}
    for tile, found in share_out(open_crew(card, files), look, dataset.examples(config.split)):
        tiles.append(tile)
        for name, prediction in found.items():
            predictions[name].append(prediction)
        progress.advance(bar)
    return {name: task.evaluate(tiles, found, card.labels) for name, found in predictions.items()}


def _for_all(known: Mapping[str, T], same: Mapping[str, str]) -> dict[str, T]:
    """Of each variant what is known of the one of the same bytes."""
    return {name: known[first] for name, first in same.items()}


def measure_cost(
    config: EvaluateConfig, card: Card, dataset: Dataset, variants: Mapping[str, Path], progress: Progress
) -> dict[str, dict[str, float]]:
    """Size, time of loading, latency and memory of each variant; those of the same bytes are measured once."""
    same = same_files(variants)
    variants = {name: variants[name] for name in dict.fromkeys(same.values())}
    image = decode(next(dataset.examples(config.split)).image, card.channels)
    figures = {name: _file_figures(path.read_bytes()) for name, path in variants.items()}
    turns = -(-config.latency_runs // 10) * (2 * len(variants) + 1)
    task = progress.add_task("latency", total=turns)
    for threads, suffix in ((1, ""), (available_threads(), "_all_threads")):
        models: dict[str, Timed] = {name: Model(path, card, threads) for name, path in variants.items()}
        models |= {} if suffix else {_REFERENCE: ReferenceConvolution()}
        latencies = measure_latencies(
            models, image, config.latency_runs, config.latency_warmup, lambda: progress.advance(task)
        )
        reference = latencies.pop(_REFERENCE, None)
        for name, times in latencies.items():
            if reference is not None:
                figures[name]["relative_time"] = float(np.median(times) / np.median(reference))
            p50, p95 = np.percentile(times, [50, 95])
            figures[name] |= {f"latency_ms_p50{suffix}": float(p50), f"latency_ms_p95{suffix}": float(p95)}
    loads = [{name: Model(path, card).load_ms for name, path in variants.items()} for _ in range(LOADS)]
    for name, path in variants.items():
        figures[name]["peak_memory_mb"] = peak_memory_mb(path)[0]
        figures[name]["load_ms"] = float(np.median([load[name] for load in loads]))
    return {name: dict(figures[first]) for name, first in same.items()}


def _file_figures(content: bytes) -> dict[str, float]:
    work = count_workload(content)
    sizes: dict[str, float] = {"size_bytes": len(content), "size_gzip_bytes": gzip_size(content)}
    return sizes | {"macs": work.macs, "bytes_moved": work.bytes_moved}


def accuracy_figures(config: EvaluateConfig, task: Task, measured: Measured, name: str) -> dict[str, float]:
    """One variant's accuracy and its drop against float32, as `metrics.json` has them; on tiles as `tile_<figure>`."""
    results, tiles = measured.results, measured.tile_results
    drop = (0.0, 0.0, 0.0)  # of float32 from itself, which needs no image to tell
    if name != REFERENCE:
        drop = task.drop(results[REFERENCE], results[name], config.bootstrap_samples, config.seed)
    figures = results[name].figures | dict(zip(DROP, drop, strict=True))
    if tiles:
        keys = [column.key for column in task.main_columns]
        figures |= {f"tile_{key}": tiles[name].figures[key] for key in keys}
    totals = [answer.timings_ms["total"] for answer in measured.answers[name]]
    return figures | {"photograph_ms": float(np.median(totals))}
