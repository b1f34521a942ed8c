"""What the tasks with one label an image have in common: how the label is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mirada.data.records import Example
from mirada.inference.prediction import Classification
from mirada.inference.variants import REFERENCE
from mirada.tables import Table
from mirada.tasks.accuracy import (
    ClassificationMetrics,
    best_threshold,
    measure_labels,
    threshold_at_precision,
    threshold_at_recall,
)
from mirada.tasks.base import Task
from mirada.tasks.outcomes import RightImages

if TYPE_CHECKING:
    from mirada.config import EvaluateConfig

LabelT = TypeVar("LabelT", bound=Classification)
LabelResultT = TypeVar("LabelResultT", bound=ClassificationMetrics)


class OneLabel(Task[LabelT, LabelResultT]):
    """A task whose images have one label each, whatever else they have."""

    classes_caption = "Precision / recall / F1. A dash: no image of this class."
    certainty_caption = (
        "The chosen label’s probability against the share of images with such a probability whose label is right."
    )
    confusion_caption = "Rows are what an image is, columns what it was taken for."

    def choose_threshold(
        self, truths: Sequence[Example], predictions: Sequence[LabelT], goal: str, share: float
    ) -> float | None:
        """With two classes, the second one's probability from which on it is chosen; of more, or without an image, 0.5."""
        if not predictions or len(predictions[0].probabilities) != 2:
            return 0.5
        second = np.array([p.probabilities[1] for p in predictions])
        if goal == "balanced_accuracy":
            return best_threshold(true_labels(truths), second)
        choose = threshold_at_recall if goal == "recall" else threshold_at_precision
        return choose(true_labels(truths), second, share)

    def outcomes(self, result: LabelResultT) -> RightImages:
        """Which images came out right."""
        return RightImages(result.correct)

    def certainty(
        self, truths: Sequence[Example], predictions: Sequence[LabelT], result: LabelResultT
    ) -> tuple[np.ndarray, np.ndarray]:
        """The chosen label's probability, and whether it is the right one."""
        chosen = np.array([prediction.label for prediction in predictions], int)
        return np.array([prediction.probability for prediction in predictions]), chosen == true_labels(truths)

    def class_figures(self, result: LabelResultT) -> dict[str, dict[str, float]]:
        """Precision, recall and F1."""
        return {
            label: {"precision": row.precision, "recall": row.recall, "f1": row.f1, "truths": float(row.truths)}
            for label, row in result.per_class.items()
            if row.truths
        }

    def protocol(self, config: EvaluateConfig) -> list[tuple[str, str]]:
        """How a label is chosen, and its figures."""
        return [
            ("Label", "the likeliest; of two classes the second, from the threshold on that the model’s card states, "
             "which was chosen on validation images, never on these"),
            ("Accuracy", "share of images with the right label, 95 % interval after Wilson; balanced: mean recall over the "
             "classes"),
            ("AUC", "area under the ROC curve, of the second of two classes, else the mean over the classes, each against "
             "the rest"),
            ("Macro F1", "mean over the classes that were there or chosen"),
            ("Log loss, calibration", "mean −ln of the true label’s probability; expected calibration error in 15 bins of "
             "equal width"),
        ]  # fmt: skip

    def classes_table(self, labels: Sequence[str], results: Mapping[str, LabelResultT]) -> Table:
        """Precision / recall / F1."""
        rows = []
        for label in labels:
            cells = [label, str(results[REFERENCE].per_class[label].truths)]
            for result in results.values():
                m = result.per_class[label]
                cells.append(f"{m.precision:.3f} / {m.recall:.3f} / {m.f1:.3f}" if m.truths else "–")
            rows.append(cells)
        return Table(["class", "images", *results], rows)


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


def true_labels(truths: Sequence[Example]) -> np.ndarray:
    """(N,) index of each image's one label."""
    for truth in truths:
        if len(truth.labels) != 1:
            raise ValueError(f"{truth.image_id} has {len(truth.labels)} labels, expected one")
    return np.array([truth.labels[0] for truth in truths], np.int64)
