"""What an evaluation was made with, and how, in sentences for its report."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from mirada import tracking
from mirada.card import Card
from mirada.config import EvaluateConfig
from mirada.records import Dataset


def available_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_protocol(config: EvaluateConfig, loads: int) -> list[tuple[str, str]]:
    """How the figures came about, for the page."""
    threads = available_threads()
    return [
        ("Models", "each .tflite file run by LiteRT with XNNPACK, one image at a time; not the Keras model"),
        ("Average precision", "COCO evaluator (pycocotools): 101-point interpolation, IoU 0.5 and 0.50:0.05:0.95, mean "
         "over the classes present"),
        ("Detections", f"one label a box, score from {config.score_floor:g}, class-aware NMS at IoU {config.nms_iou:g}, at "
         f"most {config.max_detections} an image"),
        ("Ignore regions", "objects cut off by a tile or marked difficult: neither wanted nor wrong (COCO crowd)"),
        ("Precision, recall, F1", "over all classes together at IoU 0.5, at the score where F1 on this split is highest, "
         "each variant at its own"),
        ("Drop", f"paired bootstrap over images, {config.bootstrap_samples} resamplings, 95 % percentile interval, seed "
         f"{config.seed}"),
        ("Latency", f"inference alone, without decoding the image or its boxes; {config.latency_runs} runs after "
         f"{config.latency_warmup} warm-up runs; the variants take turns of 10; one thread, and all {threads}"),
        ("Memory", "peak resident memory of a fresh process that loads the model and runs it at one thread, with "
         "Python, NumPy and LiteRT"),
        ("Load", f"reading the file and preparing it for inference, median of {loads}; the file is in the disk cache"),
    ]  # fmt: skip


def describe_provenance(card: Card, dataset: Dataset) -> list[tuple[str, str]]:
    """What was measured with what, for the page."""

    def commit(name: str | None, dirty: bool | None) -> str:
        return f"{name[:12]}{' with uncommitted changes' if dirty else ''}" if name else "unknown, outside a checkout"

    return [
        ("Model", f"{card.model.get('name', 'unnamed')}, trained {card.trained_at or 'at an unknown time'}"),
        ("MLflow run", card.run_id or "none, tracking was off"),
        ("Code of the training", commit(card.git_commit, card.git_dirty)),
        ("Code of this page", commit(*tracking.git_state())),
        ("Data", f"{dataset.name}, digest {dataset.digest}"),
        ("LiteRT", version("ai-edge-litert")),
        ("CPU", f"{cpu_model()}, {available_threads()} threads, {platform.system()} {platform.machine()}"),
        ("Measured", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
    ]


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
