"""Classification: one label an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada.accuracy import ClassificationMetrics, best_threshold, measure_labels
from mirada.prediction import Classification, decode_classification
from mirada.records import Example
from mirada.tasks.base import Task

if TYPE_CHECKING:
    from mirada.card import Card
    from mirada.config import EvaluateConfig


class Classifying(Task):
    """Classification, measured by accuracy."""

    name = "classification"
    main_metric = "accuracy"

    def check_outputs(self, card: Card) -> None:
        """One vector of logits, of two labels or more."""
        if len(card.labels) < 2 or len(card.outputs["classes"]) != 1:
            raise ValueError("labels or outputs do not fit")

    def decode(
        self, outputs: Mapping[str, np.ndarray], card: Card, config: EvaluateConfig | None = None
    ) -> Classification:
        """The label chosen and the probability of each."""
        return decode_classification(outputs, card)

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Classification],
        labels: Sequence[str],
        config: EvaluateConfig | None = None,
    ) -> ClassificationMetrics:
        """Accuracy, what belongs to it, and the confusion of the classes."""
        return evaluate_classes(truths, predictions, labels)

    def choose_threshold(self, truths: Sequence[Example], predictions: Sequence[Classification]) -> float:
        """With two classes, the second one's probability that separates these images with the best balanced accuracy."""
        return choose_threshold(truths, predictions)


def evaluate_classes(
    truths: Sequence[Example], predictions: Sequence[Classification], labels: Sequence[str]
) -> ClassificationMetrics:
    """Measure one label an image.

    Raises:
        ValueError: the two are not of equal length, or an image has not exactly one label.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} images but {len(predictions)} predictions")
    probabilities = np.array([p.probabilities for p in predictions]).reshape(-1, len(labels))
    return measure_labels(true_labels(truths), probabilities, np.array([p.label for p in predictions], int), labels)


def choose_threshold(truths: Sequence[Example], predictions: Sequence[Classification]) -> float:
    """As `Classifying.choose_threshold`; 0.5 with more than two classes or without an image."""
    if not predictions or len(predictions[0].probabilities) != 2:
        return 0.5
    return best_threshold(true_labels(truths), np.array([p.probabilities[1] for p in predictions]))


def true_labels(truths: Sequence[Example]) -> np.ndarray:
    """(N,) index of each image's one label."""
    for truth in truths:
        if len(truth.labels) != 1:
            raise ValueError(f"{truth.image_id} has {len(truth.labels)} labels, expected one")
    return np.array([truth.labels[0] for truth in truths], np.int64)
