"""Classification: one label an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada.data.records import Example
from mirada.inference.prediction import Classification
from mirada.inference.variants import REFERENCE
from mirada.palette import RIGHT, WRONG
from mirada.tables import Column, Table
from mirada.tasks.accuracy import (
    FALSE_POSITIVE_RATES,
    ClassificationMetrics,
    best_threshold,
    measure_labels,
    paired_drop,
    threshold_at_recall,
)
from mirada.tasks.base import Curves, Legend, Task
from mirada.tasks.pictures import draw_label

if TYPE_CHECKING:
    from PIL.Image import Image

    from mirada.config import EvaluateConfig


class Classifying(Task):
    """Classification, measured by accuracy."""

    name = "classification"
    main_metric = "accuracy"
    learning_rate = 3e-4  # at 1e-3 the features of a fine-tuned classifier died: zero for most images, and no gradient
    main_columns: tuple[Column, ...] = (Column("accuracy", "accuracy"), Column("auc", "AUC"))
    more_columns: tuple[Column, ...] = (
        Column("balanced_accuracy", "balanced accuracy"),
        Column("macro_f1", "macro F1"),
        Column("log_loss", "log loss"),
        Column("ece", "calibration error"),
    )
    classes_caption = "Precision / recall / F1. A dash: no image of this class."
    confusion_caption = "Rows are what an image is, columns what it was taken for."
    pictures_caption = "The best, the median and the worst images by float32’s probability of the true label"

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Classification],
        labels: Sequence[str],
        max_detections: int = 100,
    ) -> ClassificationMetrics:
        """Accuracy, what belongs to it, and the confusion of the classes."""
        return evaluate_classes(truths, predictions, labels)

    def choose_threshold(
        self, truths: Sequence[Example], predictions: Sequence[Classification], recall: float | None = None
    ) -> float:
        """With two classes, the second one's probability that separates these images with the best balanced accuracy."""
        return choose_threshold(truths, predictions, recall)

    def drop(
        self, reference: ClassificationMetrics, result: ClassificationMetrics, samples: int, seed: int
    ) -> tuple[float, float, float]:
        """Of the share of images that came out right."""
        return paired_drop(reference.correct, result.correct, samples, seed)

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
            ("Log loss, calibration", "mean −ln of the true label’s probability; expected calibration error in 10 bins of "
             "equal width"),
        ]  # fmt: skip

    def curves(self, results: Mapping[str, ClassificationMetrics]) -> Curves:
        """ROC: the share of a class that is found, over the share of the rest that is taken for it."""
        return Curves(
            name="roc",
            title="ROC curve",
            caption="Of the second of two classes, else the mean over the classes, each against the rest. "
            "The area under a line is its AUC; chance is the diagonal.",
            x_label="false positive rate",
            y_label="true positive rate",
            x=FALSE_POSITIVE_RATES,
            lines={
                name: FALSE_POSITIVE_RATES if result.roc is None else result.roc for name, result in results.items()
            },
        )

    def classes_table(self, labels: Sequence[str], results: Mapping[str, ClassificationMetrics]) -> Table:
        """Precision / recall / F1."""
        rows = []
        for label in labels:
            cells = [label, str(results[REFERENCE].per_class[label].truths)]
            for result in results.values():
                m = result.per_class[label]
                cells.append(f"{m.precision:.3f} / {m.recall:.3f} / {m.f1:.3f}" if m.truths else "–")
            rows.append(cells)
        return Table(["class", "images", *results], rows)

    def quality(
        self, truth: Example, prediction: Classification, reference: ClassificationMetrics
    ) -> tuple[float, float] | None:
        """Probability of the true label."""
        return float(prediction.probabilities[truth.labels[0]]), 0.0

    def draw_truth(self, image: np.ndarray, truth: Example, labels: Sequence[str], side: int) -> Image:
        """The image with its true label."""
        return draw_label(image, labels[truth.labels[0]], None, side)

    def draw_prediction(
        self,
        image: np.ndarray,
        truth: Example,
        prediction: Classification,
        labels: Sequence[str],
        side: int,
        reference: ClassificationMetrics,
    ) -> Image:
        """The image with the chosen label and its probability, framed by whether it is right."""
        right = prediction.label == int(truth.labels[0])
        return draw_label(image, _said(prediction, labels, right), right, side)

    def caption(
        self,
        truth: Example,
        predictions: Mapping[str, Classification],
        labels: Sequence[str],
        reference: ClassificationMetrics,
    ) -> str:
        """The true label, and the probability that each variant gives it."""
        label = int(truth.labels[0])
        given = [f"{name} {found.probabilities[label]:.2f}" for name, found in predictions.items()]
        return f"{labels[label]}; its probability {', '.join(given)}"

    def legend(self, labels: Sequence[str], reference: ClassificationMetrics) -> Legend:
        """Right and wrong labels."""
        return Legend("The label chosen and its probability.", [(RIGHT, "solid", "right"), (WRONG, "dashed", "wrong")])


def _said(prediction: Classification, labels: Sequence[str], right: bool) -> str:
    return f"{labels[prediction.label]} {prediction.probability:.2f} {'right' if right else 'wrong'}"


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


def choose_threshold(
    truths: Sequence[Example], predictions: Sequence[Classification], recall: float | None = None
) -> float:
    """As `Classifying.choose_threshold`; 0.5 with more than two classes or without an image."""
    if not predictions or len(predictions[0].probabilities) != 2:
        return 0.5
    second = np.array([p.probabilities[1] for p in predictions])
    if recall is None:
        return best_threshold(true_labels(truths), second)
    return threshold_at_recall(true_labels(truths), second, recall)


def true_labels(truths: Sequence[Example]) -> np.ndarray:
    """(N,) index of each image's one label."""
    for truth in truths:
        if len(truth.labels) != 1:
            raise ValueError(f"{truth.image_id} has {len(truth.labels)} labels, expected one")
    return np.array([truth.labels[0] for truth in truths], np.int64)


TASK = Classifying()
