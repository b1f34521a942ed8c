"""Localization: one object an image, with its label and its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mirada.data.records import Example
from mirada.inference.boxes import pair_ious
from mirada.inference.prediction import Localization
from mirada.palette import MISSED, RIGHT, WRONG
from mirada.tables import Column
from mirada.tasks.accuracy import ClassificationMetrics, wilson_interval
from mirada.tasks.base import Curves, Legend
from mirada.tasks.judging import PLAINLY, Judging
from mirada.tasks.one_label import OneLabel, evaluate_classes
from mirada.tasks.pictures import draw_location

if TYPE_CHECKING:
    from PIL.Image import Image

    from mirada.config import EvaluateConfig

MATCH_IOU = 0.5
IOUS = np.linspace(0.0, 1.0, 101)
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


class Localizing(OneLabel[Localization, LocalizationMetrics]):
    """Localization, measured by the share of images with the right label and IoU of at least 0.5."""

    name = "localization"
    main_metric = "loc_accuracy"
    learning_rate = 1e-3
    main_columns = (
        Column("loc_accuracy", "localization accuracy"),
        Column("accuracy", "accuracy"),
        Column("mean_iou", "mean IoU"),
    )
    more_columns = (
        Column("iou_50", "IoU ≥ 0.5"),
        Column("box_mse_224", "box MSE, 224 px", 0),
        Column("balanced_accuracy", "balanced accuracy"),
        Column("auc", "AUC"),
    )
    pictures_caption = "The best, the median and the worst images by float32’s IoU, wrong labels below all others"

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Localization],
        labels: Sequence[str],
        judging: Judging = PLAINLY,
    ) -> LocalizationMetrics:
        """What is measured of the labels, and the boxes."""
        classes = evaluate_classes(truths, predictions, labels)
        true_boxes = np.array([truth.boxes_xyxy[0] for truth in truths], np.float64)
        boxes = np.array([found.box_xyxy for found in predictions], np.float64)
        ious = pair_ious(boxes, true_boxes)
        across, down = (np.array([found.scale[axis] / found.input_size for found in predictions]) for axis in (0, 1))
        scale = STUDY_SIDE * np.stack([across, down, across, down], axis=1)
        return LocalizationMetrics(
            **(vars(classes) | {"correct": classes.correct & (ious >= MATCH_IOU)}),
            ious=ious,
            box_mse_224=float((((boxes - true_boxes) * scale) ** 2).mean()),
        )

    def protocol(self, config: EvaluateConfig) -> list[tuple[str, str]]:
        """That of the label, and of the box."""
        return [
            ("Localization accuracy", "share of images with the right label and a box of IoU ≥ 0.5 (ILSVRC’s), 95 % "
             "interval after Wilson"),
            ("IoU", "of the one predicted with the one true box, whatever the label; its mean, and the share of images with "
             "at least 0.5"),
            ("Box MSE, 224 px", "mean squared error of the corners’ four coordinates, in pixels of an input of 224, the "
             "first study’s measure; in the fit the model was trained with"),
            *super().protocol(config),
        ]  # fmt: skip

    def curves(self, results: Mapping[str, LocalizationMetrics]) -> Curves:
        """The share of images that reach an IoU."""
        return Curves(
            name="iou",
            title="How well boxes fit",
            caption="The share of images whose box has at least this IoU, whatever the label. The area under a line is its "
            "mean IoU.",
            x_label="IoU",
            y_label="share of images",
            x=IOUS,
            lines={name: (result.ious[None] >= IOUS[:, None]).mean(axis=1) for name, result in results.items()},
        )

    def quality(
        self,
        truth: Example,
        prediction: Localization,
        reference: LocalizationMetrics,
    ) -> tuple[float, float] | None:
        """IoU, less 1 where the label is wrong; of equal ones the likelier."""
        right = prediction.label == int(truth.labels[0])
        return box_iou(prediction, truth) - (not right), float(prediction.probabilities[truth.labels[0]])

    def draw_truth(self, image: np.ndarray, truth: Example, labels: Sequence[str], side: int) -> Image:
        """The true box and label."""
        return draw_location(image, truth.boxes_xyxy[0], None, labels[truth.labels[0]], None, side)

    def draw_prediction(
        self,
        image: np.ndarray,
        truth: Example,
        prediction: Localization,
        labels: Sequence[str],
        side: int,
        reference: LocalizationMetrics,
    ) -> Image:
        """The true box, and the predicted one with its label, probability and IoU."""
        iou = box_iou(prediction, truth)
        right = prediction.label == int(truth.labels[0]) and iou >= MATCH_IOU
        text = f"{labels[prediction.label]} {prediction.probability:.2f}, IoU {iou:.2f} {'right' if right else 'wrong'}"
        return draw_location(image, truth.boxes_xyxy[0], prediction.box_xyxy, text, right, side)

    def caption(
        self,
        truth: Example,
        predictions: Mapping[str, Localization],
        labels: Sequence[str],
        reference: LocalizationMetrics,
    ) -> str:
        """The true label, and each variant's IoU."""
        given = [f"{name} {box_iou(found, truth):.2f}" for name, found in predictions.items()]
        return f"{labels[truth.labels[0]]}; IoU {', '.join(given)}"

    def legend(self, labels: Sequence[str], reference: LocalizationMetrics) -> Legend:
        """True, right and wrong boxes."""
        frames = [
            (MISSED, "dashed", "true box"),
            (RIGHT, "solid", "right label and IoU ≥ 0.5"),
            (WRONG, "solid", "wrong"),
        ]
        return Legend("The label chosen, its probability and the box’s IoU.", frames)


def box_iou(prediction: Localization, truth: Example) -> float:
    """IoU of the predicted with the true box."""
    return float(pair_ious(prediction.box_xyxy[None].astype(np.float64), truth.boxes_xyxy[:1].astype(np.float64))[0])


TASK = Localizing()
