"""Localization: one object an image, with its label and its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mirada.accuracy import ClassificationMetrics, wilson_interval
from mirada.boxes import pair_ious
from mirada.prediction import Localization, decode_localization
from mirada.records import Example
from mirada.tasks.classification import Classifying, evaluate_classes

if TYPE_CHECKING:
    from mirada.card import Card
    from mirada.config import EvaluateConfig

MATCH_IOU = 0.5
STUDY_SIDE = 224  # pixels of the input of the first study's network


@dataclass
class LocalizationMetrics(ClassificationMetrics):
    """Figures of one model on one split: those of its labels, and of its boxes.

    Attributes:
        correct: (N,) bool, the images with the right label and IoU of at least 0.5.
        ious: (N,) IoU of the predicted with the true box, whatever the label.
        box_mse_224: mean of the squared errors of all four corners' coordinates, in pixels of an input of 224.
    """

    ious: np.ndarray
    box_mse_224: float

    @property
    def figures(self) -> dict[str, float]:
        """The figures of `metrics.json`; `loc_accuracy` is ILSVRC's: label right and IoU of at least 0.5."""
        low, high = wilson_interval(int(self.correct.sum()), len(self.correct))
        return {
            "loc_accuracy": float(self.correct.mean()),
            "loc_accuracy_low": low,
            "loc_accuracy_high": high,
            **super().figures,
            "mean_iou": float(self.ious.mean()),
            "iou_50": float((self.ious >= MATCH_IOU).mean()),
            "box_mse_224": self.box_mse_224,
        }


class Localizing(Classifying):
    """Localization, measured by the share of images with the right label and IoU of at least 0.5."""

    name = "localization"
    main_metric = "loc_accuracy"

    def check_outputs(self, card: Card) -> None:
        """One vector of logits, and one box or one pair of maps; one label is enough."""
        outputs, maps = card.outputs, "box" not in card.outputs
        fits = len(outputs["classes"]) == 1 and len(card.strides) == int(maps)
        if (
            not card.labels
            or not fits
            or any(len(outputs[p]) != 1 for p in (("scores", "distances") if maps else ("box",)))
        ):
            raise ValueError("labels, strides or outputs do not fit")

    def decode(
        self, outputs: Mapping[str, np.ndarray], card: Card, config: EvaluateConfig | None = None
    ) -> Localization:
        """The label chosen, the probability of each, and the box."""
        return decode_localization(outputs, card)

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Localization],  # type: ignore[override]
        labels: Sequence[str],
        config: EvaluateConfig | None = None,
    ) -> LocalizationMetrics:
        """What `Classifying` measures, and the boxes."""
        classes = evaluate_classes(truths, predictions, labels)
        true_boxes = np.array([truth.boxes_xyxy[0] for truth in truths], np.float64)
        boxes = np.array([found.box_xyxy for found in predictions], np.float64)
        ious = pair_ious(boxes, true_boxes)
        scale = STUDY_SIDE / np.array([found.input_size for found in predictions], np.float64)[:, None]
        return LocalizationMetrics(
            **(vars(classes) | {"correct": classes.correct & (ious >= MATCH_IOU)}),
            ious=ious,
            box_mse_224=float((((boxes - true_boxes) * scale) ** 2).mean()),
        )
