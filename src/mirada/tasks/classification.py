"""Classification: one label an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada.data.records import Example
from mirada.inference.prediction import Classification
from mirada.palette import RIGHT, WRONG
from mirada.tables import Column
from mirada.tasks.accuracy import FALSE_POSITIVE_RATES, ClassificationMetrics
from mirada.tasks.base import Curves, Legend
from mirada.tasks.judging import PLAINLY, Judging
from mirada.tasks.one_label import OneLabel, evaluate_classes
from mirada.tasks.pictures import draw_label

if TYPE_CHECKING:
    from PIL.Image import Image


class Classifying(OneLabel[Classification, ClassificationMetrics]):
    """Classification, measured by accuracy."""

    name = "classification"
    main_metric = "accuracy"
    learning_rate = 3e-4  # at 1e-3 the features of a fine-tuned classifier died: zero for most images, and no gradient
    main_columns = (Column("accuracy", "accuracy"), Column("auc", "AUC"))
    more_columns = (
        Column("balanced_accuracy", "balanced accuracy"),
        Column("macro_f1", "macro F1"),
        Column("log_loss", "log loss"),
        Column("ece", "calibration error"),
    )
    pictures_caption = "The best, the median and the worst images by float32’s probability of the true label"

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Classification],
        labels: Sequence[str],
        judging: Judging = PLAINLY,
    ) -> ClassificationMetrics:
        """Accuracy, what belongs to it, and the confusion of the classes."""
        return evaluate_classes(truths, predictions, labels)

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


TASK = Classifying()
