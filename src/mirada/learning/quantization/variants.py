"""The trained model, and what becomes of it on the way to each variant."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import FLOAT, TUNED, QuantizeConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.inference.litert import pixels_to_input
from mirada.learning.devices import choose_devices
from mirada.learning.models import load_model
from mirada.learning.quantization.compression import compression
from mirada.learning.quantization.conversion import convert
from mirada.learning.quantization.qat import to_convertible, without_rounding
from mirada.learning.quantization.ranges import Observed
from mirada.learning.quantization.schemes import preflight, require_schemes
from mirada.learning.quantization.tuning import Tuned, training_config, tune
from mirada.quantization.calibration import calibration_images, choose_balanced, choose_random, train_classes
from mirada.tasks import get_task

_SLOWER = {"pruned": 3, "clustered": 30}  # times as low as the float training's is their learning rate


class Conversions:
    """Makes the variants of one model.

    Args:
        config: the stage's settings.
        card: the model's card.
        dataset: the processed data.
        report: called with the variant that is tuned, the number of finished epochs, 0 after calibration, and the figures.
        tell: called with the variant that is tuned, and a sentence where its rate was found or its training went back.

    Attributes:
        float_model: as it was trained.

    Raises:
        MiradaError: the model is damaged, or a variant of `TUNED` is wanted and a layer has no int8 scheme.
    """

    def __init__(
        self,
        config: QuantizeConfig,
        card: Card,
        dataset: Dataset,
        report: Callable[[str, int, dict[str, float]], None] = lambda variant, epoch, figures: None,
        tell: Callable[[str, str], None] = lambda variant, text: None,
    ) -> None:
        self.config, self.card, self.dataset, self.report, self.tell = config, card, dataset, report, tell
        self.devices = choose_devices(config.qat.gpus) if config.may_tune else None  # before anything runs on a device
        self.float_model = load_model(Path(config.model_dir) / "model.keras")
        self._tuned: dict[str, Tuned] = {}
        if wanted := [
            name for name in TUNED if name in config.variants
        ]:  # what can't be tuned shouldn't wait for others
            require_schemes(preflight(self.float_model), " and ".join(wanted))

    def convert(self, name: str) -> bytes:
        """The variant's `.tflite`; one of `TUNED` trains first, where it has not yet.

        Raises:
            MiradaError: the converter refuses the model; also what `tune` raises.
        """
        model = to_convertible(self.tuned(name).network) if name in TUNED else self.float_model
        kind = "qat" if name in TUNED else name
        return convert(
            model,
            kind,
            self._calibration_images,
            input_scale=self.card.input_scale,
            input_offset=self.card.input_offset,
        )

    @cached_property
    def train_classes(self) -> list[set[int]]:
        """Each training image's classes; read once, whatever is chosen by them."""
        return train_classes(self.dataset)

    def choose_random(self, count: int) -> list[int]:
        """Indices of training images, drawn at random until every class is in."""
        return choose_random(self.train_classes, count, self.config.seed)

    def choose_balanced(self, count: int) -> list[int]:
        """Indices of training images, all classes alike as far as they go."""
        return choose_balanced(self.train_classes, count, self.config.seed)

    def _calibration_images(self) -> Iterator[np.ndarray]:
        return calibration_images(self.dataset, self.choose_random(self.config.calibration_images))

    def tuned(self, name: str = "qat") -> Tuned:
        """The model tuned with int8's rounding in place, of the kernels as the variant has them; once."""
        if name not in self._tuned:
            self._tuned[name] = self._tune(name)
        return self._tuned[name]

    def _tune(self, name: str) -> Tuned:
        assert self.devices is not None
        config, compress = self.config.qat, compression(self.float_model, name, self.config)
        if config.teacher == FLOAT:
            config = replace(config, teacher=self.config.model_dir)
        if name != "qat":
            epochs, rate = self.config.fine_tune.epochs, self.config.fine_tune.learning_rate
            trained_at = self.card.training.get("learning_rate") or get_task(self.card.task).learning_rate
            config = replace(config, epochs=epochs, learning_rate=rate or trained_at / _SLOWER[name])
        with tempfile.TemporaryDirectory(prefix=f"mirada-{name}-") as checkpoints:
            settings = training_config(self.card, config, self.config.data_dir, checkpoints)
            chosen = self.choose_random(config.calibration_batches * settings.batch_size)
            batches, report = self._batches(chosen, settings.batch_size), partial(self.report, name)
            tell, devices = partial(self.tell, name), self.devices
            return tune(self.float_model, self.card, self.dataset, settings, devices, batches, report, compress, tell)

    @cached_property
    def network(self) -> Observed:
        """The trained network, to look inside and to set ranges of."""
        return Observed(self.float_model, self.card, self._any_image())

    @cached_property
    def tuned_network(self) -> Observed:
        """The one that qat tuned in float, likewise."""
        return Observed(without_rounding(self.tuned().network), self.card, self._any_image())

    def _any_image(self) -> np.ndarray:
        return next(calibration_images(self.dataset, [0]))

    def tuning_figures(self, name: str) -> dict[str, Any]:
        """How a variant's tuning went, for `variants.json`."""
        metric, tuned = f"val_{get_task(self.card.task).main_metric}", self.tuned(name)
        figures = {"best_epoch": tuned.best_epoch, "epochs": tuned.epochs, "seconds": round(tuned.seconds, 1)}
        if tuned.learning_rate is not None:
            figures["found_learning_rate"] = tuned.learning_rate
        if metric in tuned.before:
            figures |= {f"{metric}_calibrated": tuned.before[metric], f"{metric}_tuned": tuned.after[metric]}
        return figures

    def _batches(self, indices: list[int], size: int) -> Iterator[np.ndarray]:
        """The chosen images as float inputs, full batches as far as they go."""
        images = calibration_images(self.dataset, indices)
        while batch := list(itertools.islice(images, size)):
            yield pixels_to_input(np.stack(batch), self.card)
