"""Detection: any number of objects an image, each with a box and a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mirada import palette
from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.inference.variants import REFERENCE
from mirada.tables import Column, Table
from mirada.tasks.accuracy import CALIBRATION_BINS
from mirada.tasks.average_precision import DetectionMetrics, choose_score, evaluate_detections
from mirada.tasks.base import Curves, Legend, Task
from mirada.tasks.judging import PLAINLY, Judging
from mirada.tasks.matching import image_f1
from mirada.tasks.outcomes import FoundObjects
from mirada.tasks.pictures import draw_detections, draw_truth
from mirada.tasks.resampling import RECALLS

if TYPE_CHECKING:
    from PIL.Image import Image

    from mirada.config import EvaluateConfig


class Detecting(Task[Detections, DetectionMetrics]):
    """Detection, measured by COCO's mean average precision."""

    name = "detection"
    main_metric = "map50"
    learning_rate = 3e-3
    main_columns = (Column("map50", "mAP50"), Column("map50_95", "mAP50-95"))
    more_columns = (
        Column("precision", "precision"), Column("recall", "recall"), Column("f1", "F1"), Column("ar", "average recall"),
        Column("ap_small", "AP small"), Column("ap_medium", "AP medium"), Column("ap_large", "AP large"),
        Column("tile_map50", "tile mAP50"), Column("tile_map50_95", "tile mAP50-95"),
    )  # fmt: skip
    counts_objects = True
    classes_caption = "Average precision, AP50 / AP50-95. A dash: no such object among these images."
    confusion_caption = (
        "Rows are what is there, columns what was found, each variant at its own best threshold and IoU 0.5. The last row "
        "holds detections where nothing is, the last column objects that were missed."
    )
    least_certainty = 1 / CALIBRATION_BINS  # below it lie thousands of boxes that no one is shown
    certainty_caption = (
        "A detection’s score against the share of detections of such a score that found an object at IoU 0.5; scores below "
        "1/15 are left out."
    )
    pictures_caption = "The best, the median and the worst images by float32’s F1"

    def evaluate(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Detections],
        labels: Sequence[str],
        judging: Judging = PLAINLY,
    ) -> DetectionMetrics:
        """COCO's average precision and the best operating point."""
        return evaluate_detections(
            truths,
            predictions,
            labels,
            max_detections=judging.max_detections,
            by_size=judging.by_size,
            blocks=judging.blocks,
        )

    def choose_min_score(
        self,
        truths: Sequence[Example],
        predictions: Sequence[Detections],
        labels: Sequence[str],
        goal: str,
        share: float,
    ) -> float | None:
        """The score from which on detections are shown."""
        if not truths:
            return None
        return choose_score(self.evaluate(truths, predictions, labels).matches, goal, share)

    def outcomes(self, result: DetectionMetrics) -> FoundObjects:
        """The detections, matched."""
        return FoundObjects(result.matches)

    def certainty(
        self, truths: Sequence[Example], predictions: Sequence[Detections], result: DetectionMetrics
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each detection's score, and whether it found an object; those on ignored boxes are left out."""
        counted = [~match.ignored for match in result.matches]
        scores = [match.scores[kept] for match, kept in zip(result.matches, counted, strict=True)]
        correct = [match.correct[kept] for match, kept in zip(result.matches, counted, strict=True)]
        return np.concatenate(scores), np.concatenate(correct)

    def class_figures(self, result: DetectionMetrics) -> dict[str, dict[str, float]]:
        """Average precisions; precision and recall at the threshold."""
        figures: dict[str, dict[str, float]] = {}
        for (label, row), match in zip(result.per_class.items(), result.matches, strict=True):
            if row.ap50 is None or row.ap75 is None or row.ap50_95 is None:
                continue
            shown = match.scores >= result.threshold
            hits, counted = int(match.correct[shown].sum()), int((~match.ignored[shown]).sum())
            figures[label] = {
                "ap50": row.ap50,
                "ap75": row.ap75,
                "ap50_95": row.ap50_95,
                "precision": hits / counted if counted else 0.0,
                "recall": hits / row.truths,
                "truths": float(row.truths),
            }
        return figures

    def protocol(self, config: EvaluateConfig) -> list[tuple[str, str]]:
        """The evaluator, and what counts as a detection."""
        return [
            ("Average precision", "COCO evaluator (pycocotools): 101-point interpolation, IoU 0.5 and 0.50:0.05:0.95, mean "
             "over the classes present"),
            ("Detections", f"one label a box, score from {config.score_floor:g}, class-aware NMS at IoU {config.nms_iou:g}, "
             f"at most {config.max_detections} an image"),
            ("Ignore regions", "objects cut off by a tile or marked difficult: neither wanted nor wrong (COCO crowd)"),
            ("Precision, recall, F1", "over all classes together at IoU 0.5, at the score where F1 on this split is "
             "highest, each variant at its own"),
        ]  # fmt: skip

    def curves(self, results: Mapping[str, DetectionMetrics]) -> Curves:
        """Precision over recall at IoU 0.5."""
        rows = [
            [name, label, f"{recall:.2f}", f"{precision:.6f}"]
            for name, result in results.items()
            for label, curve in result.curves.items()
            for recall, precision in zip(RECALLS, curve, strict=True)
        ]
        return Curves(
            name="pr",
            title="Precision and recall",
            caption="At IoU 0.5, mean over the classes. The area under a line is its mAP50.",
            x_label="recall",
            y_label="precision",
            x=RECALLS,
            lines={name: mean_curve(result) for name, result in results.items()},
            classes=Table(["variant", "label", "recall", "precision"], rows),
        )

    def classes_table(self, labels: Sequence[str], results: Mapping[str, DetectionMetrics]) -> Table:
        """AP50 / AP50-95."""
        rows = []
        for label in labels:
            cells = [label, str(results[REFERENCE].per_class[label].truths)]
            for result in results.values():
                ap = result.per_class[label]
                cells.append("–" if ap.ap50 is None else f"{ap.ap50:.3f} / {ap.ap50_95:.3f}")
            rows.append(cells)
        return Table(["class", "objects", *results], rows)

    def confusion_labels(self, labels: Sequence[str]) -> list[str]:
        """The labels and the background."""
        return [*labels, "background"]

    def confusion_title(self, variant: str, result: DetectionMetrics) -> str:
        """The variant and its threshold."""
        return f"{variant}, score ≥ {result.threshold:.2f}"

    def quality(
        self, truth: Example, prediction: Detections, reference: DetectionMetrics
    ) -> tuple[float, float] | None:
        """F1 at float32's threshold; of equal ones more objects, and no image without any."""
        objects = int(np.count_nonzero(~truth.ignore))
        return (image_f1(truth, prediction, reference.threshold), objects) if objects else None

    def draw_truth(self, image: np.ndarray, truth: Example, labels: Sequence[str], side: int) -> Image:
        """The true boxes."""
        return draw_truth(image, truth, labels, side)

    def draw_prediction(
        self,
        image: np.ndarray,
        truth: Example,
        prediction: Detections,
        labels: Sequence[str],
        side: int,
        reference: DetectionMetrics,
    ) -> Image:
        """Detections from float32's threshold on."""
        return draw_detections(image, truth, prediction.at_least(reference.threshold), labels, side)

    def caption(
        self,
        truth: Example,
        predictions: Mapping[str, Detections],
        labels: Sequence[str],
        reference: DetectionMetrics,
    ) -> str:
        """Objects, and each variant's F1."""
        objects = int(np.count_nonzero(~truth.ignore))
        scores = [f"{name} {image_f1(truth, found, reference.threshold):.2f}" for name, found in predictions.items()]
        return f"{objects} object{'s' if objects != 1 else ''}; F1 {', '.join(scores)}"

    def legend(self, labels: Sequence[str], reference: DetectionMetrics) -> Legend:
        """Right, wrong, missed and ignored boxes."""
        right = [] if len(labels) > 1 else [(palette.CLASSES[0], "solid", "right")]
        return Legend(
            f"All at float32’s threshold of {reference.threshold:.2f}."
            + (" A box’s colour is its class." if len(labels) > 1 else ""),
            [
                *right,
                (palette.WRONG, "dashed", "wrong"),
                (palette.MISSED, "dashed", "missed"),
                (palette.IGNORED, "dashed", "ignored"),
            ],
        )


def mean_curve(result: DetectionMetrics) -> np.ndarray:
    """(101,) precision at the recalls of `metrics.RECALLS`, mean over the classes; zeros without any."""
    return np.mean(list(result.curves.values()), axis=0) if result.curves else np.zeros(len(RECALLS))


TASK = Detecting()
