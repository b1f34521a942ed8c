"""Quantize: `model.keras` in, one `.tflite` a variant, `variants.json` and, of qat, `layers.csv` out."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mirada import tracking
from mirada.card import Card, load_card
from mirada.config import QuantizeConfig
from mirada.errors import MiradaError
from mirada.images import decode
from mirada.litert import float_operators
from mirada.records import Dataset, load_dataset
from mirada.tasks import get_task

if TYPE_CHECKING:
    import tf_keras as keras


def run(config: QuantizeConfig) -> None:
    """Convert the trained model to every variant of `config.variants`.

    Raises:
        MiradaError: an earlier stage is missing, the data do not fit the model, a layer has no int8 scheme, or a variant
            that claims int8 holds float operators.
    """
    card = load_card(config.model_dir)
    dataset = load_dataset(config.data_dir)
    _check(config, card, dataset)
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    for stale in ("variants.json", "layers.csv", "*.tflite", "*.part"):  # until all are there, there is no list of them
        for file in output_dir.glob(stale):
            file.unlink()
    started = time.perf_counter()
    converted = _Conversions(config, card, dataset)
    variants: list[dict[str, Any]] = []
    for name in config.variants:
        model, extra = converted.model(name)
        before = time.perf_counter()
        content = converted.convert(model, name)
        variants.append(_write(output_dir, name, content, time.perf_counter() - before) | extra)
        print(f"{name}: {len(content) / 1e6:.2f} MB in {variants[-1]['conversion_s']:.1f} s", flush=True)
    _write_layers(converted.layers, output_dir)
    (output_dir / "variants.json").write_text(json.dumps({"variants": variants}, indent=2) + "\n")
    _print(variants)
    with tracking.resume_run(config.tracking, card) as mlflow_run:
        metrics = {"quantize_seconds": time.perf_counter() - started}
        for variant in variants:
            metrics |= {f"{variant['name']}/{key}": variant[key] for key in ("size_bytes", "conversion_s")}
            metrics |= {f"{variant['name']}/{key}": value for key, value in variant.get("tuning", {}).items()}
            mlflow_run.log_artifacts(output_dir / variant["file"], "quantize")
        mlflow_run.log_metrics(metrics)
        mlflow_run.log_params({f"quantize.{key}": value for key, value in _settings(config).items()})
        for written in (output_dir / "variants.json", output_dir / "layers.csv"):
            if written.is_file():
                mlflow_run.log_artifacts(written, "quantize")


def _check(config: QuantizeConfig, card: Card, dataset: Dataset) -> None:
    """Refuse data that the model was not made for."""
    if dataset.input_size != card.input_size:
        raise MiradaError(
            f"{config.data_dir} has images of {dataset.input_size} pixels, the model in {config.model_dir} wants "
            f"{card.input_size}: preprocess with input_size={card.input_size} or train again."
        )
    if dataset.channels != card.channels:
        raise MiradaError(
            f"{config.data_dir} has images of {dataset.channels} channels, the model in {config.model_dir} wants "
            f"{card.channels}: preprocess with channels={card.channels} or train again."
        )
    if not (Path(config.model_dir) / "model.keras").is_file():
        raise MiradaError(
            f"{Path(config.model_dir) / 'model.keras'} is missing: run the train stage first (`dvc repro train`)."
        )


class _Conversions:
    """The trained model, and what becomes of it on the way to each variant.

    Attributes:
        layers: rows of `layers.csv`, one a layer; empty without qat.
    """

    def __init__(self, config: QuantizeConfig, card: Card, dataset: Dataset) -> None:
        from mirada.learning.devices import choose_devices
        from mirada.learning.models import load_model

        self.config, self.card, self.dataset = config, card, dataset
        self.layers: list[dict[str, Any]] = []
        wanted = "qat" in config.variants
        self.devices = choose_devices(config.qat.gpus) if wanted else None  # before anything runs on a device
        self.float_model = load_model(Path(config.model_dir) / "model.keras")
        if wanted:  # a layer without a scheme should not wait for the other variants
            from mirada.learning.schemes import preflight, require_schemes

            require_schemes(preflight(self.float_model))

    def model(self, name: str) -> tuple[keras.Model, dict[str, Any]]:
        """What to convert to a variant, and what is to be said of it in `variants.json`."""
        return self._tune() if name == "qat" else (self.float_model, {})

    def convert(self, model: keras.Model, name: str) -> bytes:
        """The variant's `.tflite`."""
        from mirada.learning.conversion import convert

        chosen = choose_calibration(self.dataset, self.config.calibration_images, self.config.seed)
        scaling = {"input_scale": self.card.input_scale, "input_offset": self.card.input_offset}
        return convert(model, name, lambda: calibration_images(self.dataset, chosen), **scaling)

    def _tune(self) -> tuple[keras.Model, dict[str, Any]]:
        """The model tuned with int8's rounding in place; its figures."""
        from mirada.learning.qat import to_convertible
        from mirada.learning.tuning import training_config, tune

        metric = f"val_{get_task(self.card.task).main_metric}"
        assert self.devices is not None
        with tempfile.TemporaryDirectory(prefix="mirada-qat-") as checkpoints:
            settings = training_config(self.card, self.config.qat, self.config.data_dir, checkpoints)
            images = self.config.qat.calibration_batches * settings.batch_size
            chosen = choose_calibration(self.dataset, images, self.config.seed)
            batches = self._batches(chosen, settings.batch_size)
            tuned = tune(
                self.float_model, self.card, self.dataset, settings, self.devices, batches, partial(_report, metric)
            )
        self.layers = tuned.layers
        figures = {"best_epoch": tuned.best_epoch, "epochs": tuned.epochs, "seconds": round(tuned.seconds, 1)}
        if metric in tuned.before:
            figures |= {f"{metric}_calibrated": tuned.before[metric], f"{metric}_tuned": tuned.after[metric]}
        return to_convertible(tuned.network), {"tuning": figures}

    def _batches(self, indices: list[int], size: int) -> Iterator[np.ndarray]:
        """The chosen images as float inputs, full batches as far as they go."""
        images = calibration_images(self.dataset, indices)
        while batch := list(itertools.islice(images, size)):
            yield np.stack(batch).astype(np.float32) * self.card.input_scale + np.float32(self.card.input_offset)


def _report(metric: str, epoch: int, figures: dict[str, float]) -> None:
    """One line an epoch."""
    shown = [f"{key.replace('_', ' ', 1)} {figures[key]:.3f}" for key in ("loss", metric) if key in figures]
    shown += [f"{figures['seconds']:.0f} s"] if "seconds" in figures else []
    print(f"qat {f'epoch {epoch}' if epoch else 'calibrated'}: {', '.join(shown)}", flush=True)


def _write_layers(layers: list[dict[str, Any]], output_dir: Path) -> None:
    if not layers:
        return
    with (output_dir / "layers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(layers[0]))
        writer.writeheader()
        writer.writerows(layers)


def _settings(config: QuantizeConfig) -> dict[str, Any]:
    settings = asdict(config.qat) if "qat" in config.variants else {}
    return {
        "variants": ",".join(config.variants),
        "calibration_images": config.calibration_images,
        "seed": config.seed,
    } | {f"qat.{key}": value for key, value in settings.items()}


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
    """The chosen training images, (S, S, C) uint8."""
    wanted = set(indices)
    for index, example in enumerate(dataset.examples("train")):
        if index in wanted:
            yield decode(example.image, dataset.channels)


def _write(output_dir: Path, name: str, content: bytes, seconds: float) -> dict[str, Any]:
    """Write one variant under its name only when it is what the name says."""
    temporary = output_dir / f"{name}.part"
    temporary.write_bytes(content)
    if name in ("int8", "qat") and (floats := float_operators(temporary)):
        temporary.unlink()
        raise MiradaError(
            f"The {name} variant still computes in float: {', '.join(floats)}: leave out {name} with "
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
