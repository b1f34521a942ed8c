"""Tune a quantized network on the data that its float model was trained on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from mirada.config import AugmentConfig, InputConfig, ModelConfig, QatConfig, TrackingConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.learning.devices import Devices
from mirada.learning.quantization.qat import Compress, build_qat, calibrate
from mirada.learning.training import Trainer


@dataclass
class Tuned:
    """A quantized network and how it came about.

    Attributes:
        network: with the weights of its best epoch.
        best_epoch: 0: the calibrated network, before any training, was better than after every epoch.
        epochs: finished.
        before, after: the task's figures on the val split, of the calibrated network and of the best epoch; empty without
            a val split.
        seconds: of calibration and training.
        learning_rate: that the range test found; None: it was given.
    """

    network: keras.Model
    best_epoch: int
    epochs: int
    before: dict[str, float]
    after: dict[str, float]
    seconds: float
    learning_rate: float | None = None


def training_config(card: Card, config: QatConfig, data_dir: str | Path, output_dir: str | Path) -> TrainConfig:
    """The float training's settings, with those of the tuning in their place.

    Raises:
        MiradaError: the card does not say how its model was trained, or the batch can't be shared out.
    """
    settings: dict[str, Any] = dict(card.training)
    try:
        sections: dict[str, Any] = {
            "model": ModelConfig(**settings.pop("model")),
            "augment": AugmentConfig(**settings.pop("augment")),
            "input": InputConfig(**settings.pop("input")),
        }
        trained = TrainConfig(
            **sections,
            **(settings | {"gpus": 1, "resume": False, "precision": "fp32", "xla": False, "teacher": config.teacher}),
            tracking=TrackingConfig(enabled=False),
            data_dir=str(data_dir),
            output_dir=str(output_dir),
        )
    except (KeyError, TypeError) as error:
        raise MiradaError(
            f"The model's card (model.json) does not say how it was trained ({error}), which tuning has to know: train "
            "again, or leave qat out of variants, and pruned and clustered."
        ) from error
    augment = trained.augment
    if augment.plain_epochs is None:  # tuning goes on where the float training ended, which is without mixing
        augment = replace(augment, plain_epochs=config.epochs)
    return replace(
        trained,
        augment=augment,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        patience=config.patience,
        gpus=config.gpus,
        backbone_lr_scale=1.0,
        layer_lr_decay=config.layer_lr_decay,
        thaw_blocks=0,
        guard_epochs=config.guard_epochs,
        guard_returns=trained.guard_returns if config.guard_returns is None else config.guard_returns,
        freeze_epochs=0,
        warmup_epochs=config.warmup_epochs,
        compare_epochs=0,
        schedule="cosine",
        val_every=1,
    )


def tune(
    model: keras.Model,
    card: Card,
    dataset: Dataset,
    config: TrainConfig,
    devices: Devices,
    batches: Iterable[np.ndarray],
    report: Callable[[int, dict[str, float]], None] = lambda epoch, figures: None,
    compress: Compress | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Quantize a float model, calibrate it, train it on, and keep the best on val.

    The untrained one is kept too where it is the best, but not of compressed kernels: on few images one without any training
    can look good by chance, and was seen to be far worse on others.

    Args:
        model: the float model; it is not changed.
        card: its card.
        dataset: the processed data.
        config: what `training_config` returned; checkpoints are written to its output_dir.
        devices: where to train.
        batches: float inputs (B, S, S, C) that set the ranges.
        report: called with the number of finished epochs, 0 after calibration, and the figures.
        compress: as `build_qat` takes it; None: nothing is compressed.
        tell: called with a sentence where a rate was found, or an epoch made it worse and the training went back.

    Raises:
        MiradaError: a layer has no scheme, or the loss is not finite.
    """
    started = time.perf_counter()
    kernels = compress or (lambda layer: None)
    calibrated = build_qat(model, card, kernels)
    calibrate(calibrated, model, batches)
    weights = calibrated.get_weights()

    def build() -> keras.Model:
        network = build_qat(model, card, kernels)
        network.set_weights(weights)
        return network

    own = replace(card, training=dict(card.training))  # the trainer notes the rate found there
    trainer = Trainer(config, dataset, devices, own, build)
    before = trainer.validate()
    report(0, before)
    if before and compress is None:  # of compressed kernels the figure before any training is not to be trusted
        trainer.guard(before[f"val_{trainer.task.main_metric}"])
    for figures in trainer.fit(tell=tell):
        report(trainer.state.epoch, figures)
    best, after = _better(trainer, before, keep=compress is None)
    if best:
        calibrated.set_weights(trainer.best_model().get_weights())
    seconds, state = time.perf_counter() - started, trainer.state
    return Tuned(calibrated, best, state.epoch, before, after, seconds, state.learning_rate)


def _better(trainer: Trainer, before: dict[str, float], *, keep: bool) -> tuple[int, dict[str, float]]:
    """The best epoch and its figures on val; 0 where what was there before is better, and may be kept."""
    best = trainer.state.best_epoch
    if keep and before.get(f"val_{trainer.task.main_metric}", -1.0) > trainer.state.best_metric:
        return 0, before
    row = trainer.state.history[best - 1] if before else {}
    return best, {key: value for key, value in row.items() if key.startswith("val_")}
