"""What an evaluation was made with, and how, in sentences for its report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from mirada.config import EvaluateConfig
from mirada.data.folds import common_digest
from mirada.data.records import Dataset
from mirada.evaluation.measuring import Measured
from mirada.evaluation.processor import cpu_model, instruction_sets
from mirada.evaluation.records.training import TrainingRecord
from mirada.inference.card import Card
from mirada.project import git_state
from mirada.tasks.base import Evaluation
from mirada.workers.cores import available_threads


def describe_protocol(
    config: EvaluateConfig, loads: int, task: Evaluation, measured: Measured
) -> list[tuple[str, str]]:
    """How the figures came about, for the page."""
    threads = available_threads()
    return [
        ("Models", "each .tflite file run by LiteRT with XNNPACK, one image at a time; not the Keras model"),
        *task.protocol(config),
        ("View", describe_view(measured)),
        ("Drop", f"paired bootstrap over {resampled(measured)}, {config.bootstrap_samples} resamplings, 95 % percentile "
         f"interval, seed {config.seed}"),
        ("Latency", f"inference alone, without decoding the image or its boxes; {config.latency_runs} runs after "
         f"{config.latency_warmup} warm-up runs; the variants take turns of 10; one thread, and all {threads}"),
        ("Any machine", "MACs: multiplications with an addition. Moved: inputs, weights and outputs of all operators, once "
         "each. Relative time: p50 at one thread, in times of a 3 × 3 float32 convolution of 80 × 80 × 32, which takes "
         "its turns with the variants"),
        ("Memory", "peak resident memory of a fresh process that loads the model and runs it at one thread, with "
         "Python, NumPy and LiteRT"),
        ("Load", f"reading the file and preparing it for inference, median of {loads}; the file is in the disk cache"),
    ]  # fmt: skip


def resampled(measured: Measured) -> str:
    """What is resampled for an interval, in words."""
    blocks, photographs = measured.judging.blocks, len(measured.truths)
    if blocks is None:
        return f"the {photographs} photographs"
    return (
        f"blocks of {blocks.side} × {blocks.side} pixels of the {photographs} photographs, which are too few themselves"
    )


def describe_view(measured: Measured) -> str:
    """How the photographs were looked at, in a sentence."""
    answers = next(iter(measured.answers.values()))
    tiles = [answer.tiles for answer in answers]
    if not any(tiles):
        return f"{len(answers)} photographs, each as a whole, scaled into the network's input"
    return (
        f"{len(answers)} photographs, as they are, in {sum(tiles)} overlapping tiles; what several tiles found was put "
        "together. Figures called tile are of single tiles that do not overlap"
    )


def describe_provenance(card: Card, dataset: Dataset, training: TrainingRecord) -> list[tuple[str, str]]:
    """What was measured with what, for the page."""

    def commit(name: str | None, dirty: bool | None) -> str:
        return f"{name[:12]}{' with uncommitted changes' if dirty else ''}" if name else "unknown, outside a checkout"

    return [
        ("Model", f"{card.model.get('name', 'unnamed')}, trained {card.trained_at or 'at an unknown time'}"),
        *_training_time(training.figures),
        *([("Threshold", f"{card.threshold:.3f}, chosen on validation images")] if card.threshold != 0.5 else []),
        ("MLflow run", card.run_id or "none, tracking was off"),
        ("Code of the training", commit(card.git_commit, card.git_dirty)),
        ("Code of this page", commit(*git_state())),
        ("Data", f"{dataset.name}, digest {dataset.digest}"),
        ("LiteRT", version("ai-edge-litert")),
        ("CPU", f"{cpu_model()}, {available_threads()} threads, {platform.system()} {platform.machine()}"),
        ("Instructions", ", ".join(instruction_sets()) or "not told by this system"),
        ("Measured", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]


def provenance_tags(dataset: Dataset) -> dict[str, str]:
    """The same for the MLflow run, so that `compare` knows which of its figures may stand side by side."""
    commit, dirty = git_state()
    return {
        "task": dataset.task,
        "evaluate_digest": dataset.digest,
        "evaluate_common": common_digest(dataset),
        "evaluate_commit": commit or "unknown",
        "evaluate_dirty": str(dirty),
        "cpu": cpu_model(),
        "cpu_instructions": ", ".join(instruction_sets()) or "unknown",
        "litert": version("ai-edge-litert"),
        "threads": str(available_threads()),
    }


def _training_time(figures: Mapping[str, float]) -> list[tuple[str, str]]:
    if "train_seconds" not in figures:
        return []
    epochs, minutes, seconds = figures["epochs"], figures["train_seconds"] / 60, figures["epoch_seconds"]
    return [("Training", f"{epochs:.0f} epochs in {minutes:.1f} minutes; an epoch takes {seconds:.1f} s (median)")]
