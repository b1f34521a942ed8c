"""The TensorFlow half of each task of `mirada.tasks`: what its heads are and what they are trained to do.

A task is a module here with the functions of `LearningTask`, under the name of its half without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card


class Loss(Protocol):
    """Compares a batch of outputs with its targets."""

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Summed losses of a batch, and what to divide them by.

        Args:
            outputs: the model's, a batch of B.
            batch: boxes_xyxy (B, M, 4) in pixels, labels (B, M) with -1 for padding, ignore (B, M).

        Returns:
            One sum for each of the task's LOSSES, weighted; and positives: the number of what was summed over.
        """


class Teaching(Protocol):
    """Holds a student's outputs against a teacher's."""

    def read(self, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A teacher's outputs as a batch holds them: names begin with 'taught_', lengths are in the student's pixels."""

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The summed, weighted loss of a student's outputs against that; divided by the `positives` of its `Loss`."""


class LearningTask(Protocol):
    """What the training needs to know of a task.

    Attributes:
        LOSSES: the names of the loss's parts.
    """

    LOSSES: tuple[str, ...]

    def output_names(self, config: ModelConfig, classes: int) -> dict[str, list[str]]:
        """Part -> output names (the card's `outputs`)."""

    def strides(self, config: ModelConfig) -> list[int]:
        """Pixels of the input to a cell of each output map (the card's `strides`)."""

    def build_outputs(
        self, config: ModelConfig, image: keras.KerasTensor, classes: int
    ) -> dict[str, keras.KerasTensor]:
        """Backbone and heads: output name -> tensor."""

    def make_loss(self, config: TrainConfig, dataset: Dataset) -> Loss:
        """The loss for these settings and these data."""

    def make_teaching(self, config: TrainConfig, dataset: Dataset, card: Card) -> Teaching:
        """What a teacher with this card has to say to a student with these settings and data."""


def learning_task(name: str) -> LearningTask:
    """The module of a task's name."""
    return cast(LearningTask, import_module(f"{__name__}.{name}"))
