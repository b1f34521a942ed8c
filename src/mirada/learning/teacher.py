"""A trained network that looks at what its student is shown, and whose answers the student learns beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from mirada.config import TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card, load_card
from mirada.learning.models import load_model
from mirada.learning.tasks import Loss, Teaching, learning_task

TEACHER = "teacher"  # name of a part of the loss


class Teacher:
    """Gives batches its answers, in inference mode and without gradients; made in the strategy's scope.

    Args:
        network: is left as it is.
        card: the network's.
        student: card of the student, whose input a batch holds.
        teaching: reads the network's outputs.
    """

    def __init__(self, network: keras.Model, card: Card, student: Card, teaching: Teaching) -> None:
        self.card, self.student, self.teaching = card, student, teaching
        network.trainable = False
        self._forward = tf.function(lambda images: network(images, training=False))

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The batch, with what the teacher says to the very images that the student sees."""
        return {**batch, **self.teaching.read(self._forward(self.view(batch["image"])))}

    def view(self, images: tf.Tensor) -> tf.Tensor:
        """A student's input (B, S, S, channels) as the teacher's: pixels scaled as that takes them, resized."""
        card, student = self.card, self.student
        if (card.input_scale, card.input_offset) != (student.input_scale, student.input_offset):
            pixels = (images - student.input_offset) / student.input_scale
            images = pixels * card.input_scale + card.input_offset
        if card.input_size != student.input_size:
            smaller = card.input_size < student.input_size
            images = tf.image.resize(images, (card.input_size, card.input_size), antialias=smaller)
        return images


class TaughtLoss:
    """A mean of the loss against the labels and that against a teacher, whose share is a part named TEACHER.

    Args:
        loss: against the labels.
        teaching: against the teacher.
        weight: of the latter, 0..1.
    """

    def __init__(self, loss: Loss, teaching: Teaching, weight: float) -> None:
        self.loss, self.teaching, self.weight = loss, teaching, weight

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Summed losses of a batch; see `tasks.Loss`."""
        parts = self.loss(outputs, batch)
        positives = parts.pop("positives")
        weighed = {name: (1 - self.weight) * value for name, value in parts.items()}
        return weighed | {TEACHER: self.weight * self.teaching(outputs, batch), "positives": positives}


def load_teacher(model_dir: str, config: TrainConfig, dataset: Dataset, student: Card) -> Teacher:
    """The model of a folder as a teacher.

    Args:
        model_dir: the folder, as the stage train leaves it.
        config: the student's settings.
        dataset: its data.
        student: its card.

    Raises:
        MiradaError: the model is absent or damaged.
    """
    card = load_card(model_dir)
    teaching = learning_task(dataset.task).make_teaching(config, dataset, card)
    return Teacher(load_model(Path(model_dir) / "model.keras"), card, student, teaching)
