"""Quantize: `model.keras` in, one `.tflite` a variant and `variants.json` out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mirada import tracking
from mirada.card import load_card
from mirada.config import QuantizeConfig
from mirada.errors import MiradaError
from mirada.images import decode
from mirada.litert import float_operators
from mirada.records import Dataset, load_dataset


def run(config: QuantizeConfig) -> None:
    """Convert the trained model to every variant of `config.variants`.

    Raises:
        MiradaError: an earlier stage is missing, the data do not fit the model, or a variant that claims int8 holds
            float operators.
    """
    card = load_card(config.model_dir)
    dataset = load_dataset(config.data_dir)
    if dataset.input_size != card.input_size:
        raise MiradaError(
            f"{config.data_dir} has images of {dataset.input_size} pixels, the model in {config.model_dir} wants "
            f"{card.input_size}: preprocess with input_size={card.input_size} or train again."
        )
    model_path = Path(config.model_dir) / "model.keras"
    if not model_path.is_file():
        raise MiradaError(f"{model_path} is missing: run the train stage first (`dvc repro train`).")
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "variants.json").unlink(missing_ok=True)  # until all are there, there is no list of them
    from mirada.learning.conversion import convert
    from mirada.learning.models import load_model

    started = time.perf_counter()
    model = load_model(model_path)
    calibration = choose_calibration(dataset, config.calibration_images, config.seed)
    variants: list[dict[str, Any]] = []
    for name in config.variants:
        before = time.perf_counter()
        content = convert(model, name, lambda: calibration_images(dataset, calibration))
        variants.append(_write(output_dir, name, content, time.perf_counter() - before))
        print(f"{name}: {len(content) / 1e6:.2f} MB in {variants[-1]['conversion_s']:.1f} s", flush=True)
    (output_dir / "variants.json").write_text(json.dumps({"variants": variants}, indent=2) + "\n")
    _print(variants)
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        metrics = {"quantize_seconds": time.perf_counter() - started}
        for variant in variants:
            metrics |= {f"{variant['name']}/{key}": variant[key] for key in ("size_bytes", "conversion_s")}
            mlflow_run.log_artifacts(output_dir / variant["file"], "quantize")
        mlflow_run.log_metrics(metrics)
        mlflow_run.log_params({f"quantize.{key}": value for key, value in _settings(config).items()})
        mlflow_run.log_artifacts(output_dir / "variants.json", "quantize")


def _settings(config: QuantizeConfig) -> dict[str, Any]:
    return {"variants": ",".join(config.variants), "calibration_images": config.calibration_images, "seed": config.seed}


def choose_calibration(dataset: Dataset, count: int, seed: int) -> list[int]:
    """Indices of training images for calibration, drawn at random until every class is in.

    Args:
        dataset: its training split is drawn from.
        count: how many; more only where every class would not be in otherwise.
        seed: decides the draw.

    Returns:
        Sorted indices into the training split.
    """
    labels = [set(example.labels[~example.ignore].tolist()) for example in dataset.examples("train")]
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen: list[int] = []
    missing = set().union(*labels)
    for index in order:  # first whatever brings a class that is not in yet
        if labels[index] & missing:
            chosen.append(int(index))
            missing -= labels[index]
    taken = set(chosen)
    rest = [int(index) for index in order if int(index) not in taken]
    return sorted(chosen + rest[: max(0, count - len(chosen))])


def calibration_images(dataset: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    """The chosen training images, (S, S, 3) uint8."""
    wanted = set(indices)
    for index, example in enumerate(dataset.examples("train")):
        if index in wanted:
            yield decode(example.image)


def _write(output_dir: Path, name: str, content: bytes, seconds: float) -> dict[str, Any]:
    """Write one variant under its name only when it is what the name says."""
    temporary = output_dir / f"{name}.part"
    temporary.write_bytes(content)
    if name == "int8" and (floats := float_operators(temporary)):
        temporary.unlink()
        raise MiradaError(
            f"The int8 variant still computes in float: {', '.join(floats)}: leave out int8 with "
            "variants=[float32,float16,dynamic], or change these layers."
        )
    path = output_dir / f"{name}.tflite"
    temporary.replace(path)
    return {
        "name": name,
        "file": path.name,
        "size_bytes": len(content),
        "conversion_s": round(seconds, 3),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _print(variants: list[dict[str, Any]]) -> None:
    base = next(variant["size_bytes"] for variant in variants if variant["name"] == "float32")
    table = Table("variant", "size MB", "of float32", "conversion s", title="quantize")
    for variant in variants:
        size = variant["size_bytes"]
        table.add_row(variant["name"], f"{size / 1e6:.2f}", f"{size / base:.2f}", f"{variant['conversion_s']:.1f}")
    Console().print(table)
