"""How good detections are: COCO's average precision, the best operating point and the interval of a drop.

Average precision comes from pycocotools, the reference evaluator (101-point interpolation, https://cocodataset.org/
#detection-eval). Ignore boxes are its crowd regions: a detection that lies mostly inside one is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.tasks.matching import LARGEST, confusion_matrix
from mirada.tasks.resampling import Blocks, Matches, units_of

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, LARGEST)}
"""COCO's bounds of an object's area, in square pixels of what is judged."""
SCORES = tuple(hundredth / 100 for hundredth in range(1, 100))  # those that a threshold is chosen of


@dataclass
class ClassMetrics:
    """Average precisions of one class, None where the truth has no box of it; `truths` counts its boxes."""

    ap50: float | None
    ap75: float | None
    ap50_95: float | None
    truths: int


@dataclass
class DetectionMetrics:
    """Figures of one model on one split, all 0..1.

    Attributes:
        map50, map75, map50_95: mean average precision over the classes that the truth has; 0 when it has none.
        per_class: label -> its average precisions.
        precision, recall, f1: over all classes together at `threshold` and IoU 0.5.
        threshold: the score at which f1 is highest.
        curves: label -> (101,) precision at the recalls `RECALLS`, IoU 0.5; only classes that the truth has.
        confusion: (classes + 1, classes + 1) counts at `threshold`, actual by predicted; the last is the background.
        matches: one entry a class, for `bootstrap_drop`.
        by_size: 'ap_small', 'ap_medium', 'ap_large' and 'ar', average precisions by the objects' size and the average
            recall, both over IoU 0.5 to 0.95, as far as the truth has such objects; empty where they were not asked for.
        units: what is resampled: images, or blocks of them.
    """

    map50: float
    map75: float
    map50_95: float
    per_class: dict[str, ClassMetrics]
    precision: float
    recall: float
    f1: float
    threshold: float
    curves: dict[str, np.ndarray]
    confusion: np.ndarray
    matches: list[Matches]
    by_size: dict[str, float] = field(default_factory=dict)
    units: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """The figures of `metrics.json`."""
        return {key: getattr(self, key) for key in ("map50", "map50_95", "precision", "recall", "f1")} | self.by_size


def evaluate_detections(
    truths: Sequence[Example],
    predictions: Sequence[Detections],
    labels: Sequence[str],
    *,
    max_detections: int = 100,
    by_size: bool = False,
    blocks: Blocks | None = None,
) -> DetectionMetrics:
    """Compare detections with the truth.

    Args:
        truths: the images' boxes, labels and ignore flags.
        predictions: what a model found in each, in the same order and the same pixels.
        labels: class names.
        max_detections: detections counted an image and class, best first.
        by_size: also measure small, medium and large objects, and average recall.
        blocks: what images fall into where they are resampled; None: they are whole.

    Raises:
        ValueError: the two are not of equal length.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} images but {len(predictions)} predictions")
    from mirada.tasks.coco import run_coco  # loads pycocotools, which most commands have no use for

    evaluation = run_coco(truths, predictions, len(labels), max_detections, SIZES if by_size else {})
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # (IoU thresholds, recalls, classes)
    units = units_of(truths, predictions, blocks)
    matches = _collect_matches(evaluation, len(labels), len(truths), units)
    per_class, curves = {}, {}
    for k, label in enumerate(labels):
        count = int(matches[k].truths.sum())
        if count == 0:
            per_class[label] = ClassMetrics(None, None, None, 0)
            continue
        ap = precision[:, :, k].mean(axis=1)
        per_class[label] = ClassMetrics(float(ap[0]), float(ap[5]), float(ap.mean()), count)
        curves[label] = precision[0, :, k].copy()
    best = best_operating_point(matches)
    return DetectionMetrics(
        map50=_mean([c.ap50 for c in per_class.values()]),
        map75=_mean([c.ap75 for c in per_class.values()]),
        map50_95=_mean([c.ap50_95 for c in per_class.values()]),
        per_class=per_class,
        precision=best[0],
        recall=best[1],
        f1=best[2],
        threshold=best[3],
        curves=curves,
        confusion=confusion_matrix(truths, predictions, len(labels), best[3]),
        matches=matches,
        by_size=_by_size(evaluation) if by_size else {},
        units=units[2],
    )


def ap50_by_area(
    truths: Sequence[Example], predictions: Sequence[Detections], classes: int, area: tuple[float, float]
) -> float:
    """Mean average precision at IoU 0.5 of the objects within bounds of area, as COCO measures its three sizes.

    Objects beyond the bounds are ignored, and so are detections of nothing that are themselves beyond.

    Args:
        truths, predictions: of `evaluate_detections`.
        classes: how many there are.
        area: the smallest and the largest, in square pixels, both inclusive.

    Returns:
        0..1 over the classes that have such an object; 0 where none has.
    """
    return _ap50(truths, predictions, classes, {"within": area})


def ap50_of_objects(
    truths: Sequence[Example], predictions: Sequence[Detections], classes: int, chosen: Sequence[np.ndarray]
) -> float:
    """Mean average precision at IoU 0.5 of chosen objects; the others are ignored, and so are detections of them.

    Detections of nothing count, as no one knows of which objects they would be: among few objects they weigh more.

    Args:
        truths, predictions, classes: of `ap50_by_area`.
        chosen: for each image (N,) bool over its objects.

    Returns:
        0..1 over the classes that have such an object; 0 where none has.
    """
    return _ap50(truths, predictions, classes, {}, chosen)


def _ap50(
    truths: Sequence[Example],
    predictions: Sequence[Detections],
    classes: int,
    sizes: Mapping[str, tuple[float, float]],
    chosen: Sequence[np.ndarray] | None = None,
) -> float:
    """Mean over the classes within the last of `sizes`, or of all; arguments of `coco.run_coco`, every detection counts."""
    from mirada.tasks.coco import run_coco  # as above

    most = max(100, *(len(found) for found in predictions)) if predictions else 100
    precision = run_coco(truths, predictions, classes, most, sizes, chosen).eval["precision"][0, :, :, -1, 0]
    known = precision[precision > -1]
    return float(known.mean()) if known.size else 0.0


def _by_size(evaluation: COCOeval) -> dict[str, float]:
    """Of the classes that the truth has; a size that no object has is left out."""
    precision, recall = evaluation.eval["precision"][:, :, :, :, 0], evaluation.eval["recall"][:, :, :, 0]
    found = {}
    for place, name in enumerate(SIZES, start=1):
        known = precision[:, :, :, place][precision[:, :, :, place] > -1]
        if known.size:
            found[f"ap_{name}"] = float(known.mean())
    known = recall[:, :, 0][recall[:, :, 0] > -1]
    return found | ({"ar": float(known.mean())} if known.size else {})


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else 0.0


def _collect_matches(
    evaluation: COCOeval, classes: int, images: int, units: tuple[np.ndarray, np.ndarray, int]
) -> list[Matches]:
    """COCO's own matches at IoU 0.5, class by class, sorted as its accumulation sorts them."""
    collected = []
    unit_of_truth, unit_of_found, count = units
    ranges = len(evaluation.params.areaRng)
    for k in range(classes):
        scores, owners = [np.zeros(0)], [np.zeros(0, np.int64)]
        correct, ignored = [np.zeros(0, bool)], [np.zeros(0, bool)]
        truths = np.zeros(count, np.int64)
        for result in evaluation.evalImgs[k * ranges * images : (k * ranges + 1) * images]:
            if result is None:
                continue
            wanted = np.asarray(result["gtIds"], np.int64)[np.asarray(result["gtIgnore"]) == 0] - 1
            np.add.at(truths, unit_of_truth[wanted], 1)
            scores.append(np.asarray(result["dtScores"], np.float64))
            met = np.asarray(result["dtMatches"][0], np.int64)  # ids begin at 1
            own = unit_of_found[np.asarray(result["dtIds"], np.int64) - 1]
            owners.append(np.where(met > 0, unit_of_truth[met - 1], own) if len(unit_of_truth) else own)
            ignored.append(np.asarray(result["dtIgnore"][0], bool))
            correct.append((np.asarray(result["dtMatches"][0]) > 0) & ~ignored[-1])
        joined = np.concatenate(scores)
        order = np.argsort(-joined, kind="mergesort")
        image_of, is_correct, is_ignored = (np.concatenate(part)[order] for part in (owners, correct, ignored))
        collected.append(Matches(joined[order], image_of, is_correct, is_ignored, truths))
    return collected


def operating_point(matches: Sequence[Matches], threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of the detections from a score on, over all classes together; 0 where undefined."""
    shown = [match.scores >= threshold for match in matches]
    hits = sum(int(match.correct[kept].sum()) for match, kept in zip(matches, shown, strict=True))
    counted = sum(int((~match.ignored[kept]).sum()) for match, kept in zip(matches, shown, strict=True))
    wanted = sum(int(match.truths.sum()) for match in matches)
    return hits / max(counted, 1), hits / max(wanted, 1), 2 * hits / max(counted + wanted, 1)


def choose_score(matches: Sequence[Matches], goal: str, share: float) -> float | None:
    """The score, in hundredths, from which on detections are worth showing; None where the goal is out of reach.

    Args:
        matches: of validation images.
        goal: 'f1', the best F1, the middle of the scores that have it; 'precision', the lowest score from which on at least
            a share of what is shown is right; 'recall', the highest from which on at least a share of the objects is found.
        share: for precision and recall, 0..1.
    """
    points = np.array([operating_point(matches, score) for score in SCORES])
    if not points[:, 2].any():
        return None
    if goal == "f1":
        best = int(points[:, 2].argmax())
        after = np.flatnonzero(points[best:, 2] < points[best, 2])
        last = best + int(after[0]) - 1 if len(after) else len(SCORES) - 1
        return SCORES[(best + last) // 2]
    reached = np.flatnonzero(points[:, 0 if goal == "precision" else 1] >= share)
    if not len(reached):
        return None
    return SCORES[int(reached[0] if goal == "precision" else reached[-1])]


def best_operating_point(matches: Sequence[Matches]) -> tuple[float, float, float, float]:
    """Precision, recall, F1 and threshold where F1 over all classes together is highest; zeros and 1.0 without any."""
    scores = np.concatenate([m.scores for m in matches])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    correct = np.cumsum(np.concatenate([m.correct for m in matches])[order])
    counted = np.cumsum(~np.concatenate([m.ignored for m in matches])[order])
    wanted = sum(int(m.truths.sum()) for m in matches)
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # equal scores pass or fail together
    f1 = np.where(last, 2 * correct / np.maximum(counted + wanted, 1), 0)
    if len(f1) == 0 or f1.max() == 0:
        return 0.0, 0.0, 0.0, 1.0
    best = int(np.argmax(f1))
    return (
        float(correct[best] / counted[best]),
        float(correct[best] / wanted),
        float(f1[best]),
        float(scores[best]),
    )
