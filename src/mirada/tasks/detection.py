"""Detection: any number of objects an image, each with a box and a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada.metrics import DetectionMetrics, evaluate_detections
from mirada.prediction import Detections, decode_detections
from mirada.records import Example
from mirada.tasks.base import Task

if TYPE_CHECKING:
    from mirada.card import Card
    from mirada.config import EvaluateConfig


class Detecting(Task):
    """Detection, measured by COCO's mean average precision."""

    name = "detection"
    main_metric = "map50"

    def check_outputs(self, card: Card) -> None:
        """Objectness and distances on every level; classes with several labels."""
        parts = ["objectness", "distances"] + (["classes"] if len(card.labels) > 1 else [])
        if not card.labels or any(len(card.outputs[part]) != len(card.strides) for part in parts):
            raise ValueError("labels or outputs do not fit")

    def decode(self, outputs: Mapping[str, np.ndarray], card: Card, config: EvaluateConfig | None = None) -> Detections:
        """Boxes, scores and labels after non-maximum suppression."""
        if config is None:
            return decode_detections(outputs, card)
        return decode_detections(
            outputs,
            card,
            score_floor=config.score_floor,
            nms_iou=config.nms_iou,
            max_detections=config.max_detections,
        )

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Detections],
        labels: Sequence[str],
        config: EvaluateConfig | None = None,
    ) -> DetectionMetrics:
        """COCO's average precision and the best operating point."""
        limit = {} if config is None else {"max_detections": config.max_detections}
        return evaluate_detections(truths, predictions, labels, **limit)
