"""What a wrong class costs: softmax cross-entropy, classes weighted and labels smoothed. All tasks share it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mirada.config import TrainConfig
from mirada.data.records import Dataset


class ClassEntropy:
    """Softmax cross-entropy of single labels.

    Args:
        counts: how often each class is in the training split: images, or objects where an image has several.
        weight: none; loss: a class counts as if all were equally frequent, by a factor of (the mean of the counts) /
            (its own); logits: the third study multiplied each logit by its class's share of the training images.
        smoothing: this share of a label is spread evenly over all classes.
    """

    def __init__(self, counts: Sequence[float], weight: str = "none", smoothing: float = 0.0) -> None:
        numbers = np.array(counts, np.float32)
        self.classes, self.kind, self.smoothing = len(numbers), weight, smoothing
        self.weights = tf.constant(numbers.sum() / (len(numbers) * np.maximum(numbers, 1)))
        self.shares = tf.constant(numbers / max(numbers.sum(), 1))

    def __call__(self, logits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """The cost of each label.

        Args:
            logits: (..., classes).
            label: (...), 0 or more.

        Returns:
            (...), not negative.
        """
        if self.kind == "logits":
            logits *= self.shares
        target = tf.one_hot(label, self.classes) * (1 - self.smoothing) + self.smoothing / self.classes
        losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
        return losses * tf.gather(self.weights, label) if self.kind == "loss" else losses


def class_entropy(config: TrainConfig, dataset: Dataset) -> ClassEntropy:
    """For these settings and these data."""
    counts = [dataset.splits["train"]["per_class"][name] for name in dataset.classes]
    return ClassEntropy(counts, config.class_weight, config.label_smoothing)
