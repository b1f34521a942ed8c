"""The trained model, and what becomes of it on the way to each variant."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mirada.calibration import calibration_images, choose_random
from mirada.card import Card
from mirada.config import QuantizeConfig
from mirada.learning.conversion import convert
from mirada.learning.devices import choose_devices
from mirada.learning.models import load_model
from mirada.learning.qat import to_convertible, without_rounding
from mirada.learning.ranges import Observed
from mirada.learning.schemes import preflight, require_schemes
from mirada.learning.tuning import Tuned, training_config, tune
from mirada.operators import to_input
from mirada.records import Dataset
from mirada.tasks import get_task


class Conversions:
    """Makes the variants of one model.

    Args:
        config: the stage's settings.
        card: the model's card.
        dataset: the processed data.
        report: called with the number of finished epochs of the tuning, 0 after calibration, and the figures.

    Attributes:
        float_model: as it was trained.

    Raises:
        MiradaError: the model is damaged, or qat is wanted and a layer has no int8 scheme.
    """

    def __init__(
        self,
        config: QuantizeConfig,
        card: Card,
        dataset: Dataset,
        report: Callable[[int, dict[str, float]], None] = lambda epoch, figures: None,
    ) -> None:
        self.config, self.card, self.dataset, self.report = config, card, dataset, report
        self.devices = choose_devices(config.qat.gpus) if config.may_tune else None  # before anything runs on a device
        self.float_model = load_model(Path(config.model_dir) / "model.keras")
        if "qat" in config.variants:  # a layer without a scheme should not wait for the other variants
            require_schemes(preflight(self.float_model))

    def convert(self, name: str) -> bytes:
        """The variant's `.tflite`; 'qat' trains first, where it has not yet.

        Raises:
            MiradaError: the converter refuses the model; of qat what `tune` raises.
        """
        model = to_convertible(self.tuned.network) if name == "qat" else self.float_model
        chosen = choose_random(self.dataset, self.config.calibration_images, self.config.seed)
        scaling = {"input_scale": self.card.input_scale, "input_offset": self.card.input_offset}
        return convert(model, name, lambda: calibration_images(self.dataset, chosen), **scaling)

    @cached_property
    def tuned(self) -> Tuned:
        """The model tuned with int8's rounding in place."""
        assert self.devices is not None
        with tempfile.TemporaryDirectory(prefix="mirada-qat-") as checkpoints:
            settings = training_config(self.card, self.config.qat, self.config.data_dir, checkpoints)
            images = self.config.qat.calibration_batches * settings.batch_size
            chosen = choose_random(self.dataset, images, self.config.seed)
            batches = self._batches(chosen, settings.batch_size)
            return tune(self.float_model, self.card, self.dataset, settings, self.devices, batches, self.report)

    @cached_property
    def network(self) -> Observed:
        """The trained network, to look inside and to set ranges of."""
        return Observed(self.float_model, self.card, self._any_image())

    @cached_property
    def tuned_network(self) -> Observed:
        """The tuned one in float, likewise."""
        return Observed(without_rounding(self.tuned.network), self.card, self._any_image())

    def _any_image(self) -> np.ndarray:
        return next(calibration_images(self.dataset, [0]))

    def tuning_figures(self) -> dict[str, Any]:
        """How the tuning went, for `variants.json`."""
        metric, tuned = f"val_{get_task(self.card.task).main_metric}", self.tuned
        figures = {"best_epoch": tuned.best_epoch, "epochs": tuned.epochs, "seconds": round(tuned.seconds, 1)}
        if metric in tuned.before:
            figures |= {f"{metric}_calibrated": tuned.before[metric], f"{metric}_tuned": tuned.after[metric]}
        return figures

    def _batches(self, indices: list[int], size: int) -> Iterator[np.ndarray]:
        """The chosen images as float inputs, full batches as far as they go."""
        images = calibration_images(self.dataset, indices)
        while batch := list(itertools.islice(images, size)):
            yield to_input(np.stack(batch), self.card)
