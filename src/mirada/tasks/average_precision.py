"""How good detections are: COCO's average precision, the best operating point and the interval of a drop.

Average precision comes from pycocotools, the reference evaluator (101-point interpolation, https://cocodataset.org/
#detection-eval). Ignore boxes are its crowd regions: a detection that lies mostly inside one is not counted.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mirada.data.records import Example
from mirada.inference.boxes import box_areas, xyxy_to_xywh
from mirada.inference.prediction import Detections
from mirada.tasks.matching import confusion_matrix

if TYPE_CHECKING:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

RECALLS = np.linspace(0.0, 1.0, 101)
_CHUNK = 32  # bootstrap samples computed at a time


@dataclass
class Matches:
    """One class: its detections, best score first, matched with the truth at IoU 0.5.

    Attributes:
        scores: (D,) score.
        images: (D,) index of the image.
        correct: (D,) bool; a detection that is neither correct nor ignored is wrong.
        ignored: (D,) bool, lies on an ignore box.
        truths: (images,) number of boxes to be found.
    """

    scores: np.ndarray
    images: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


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

    @property
    def figures(self) -> dict[str, float]:
        """The figures of `metrics.json`."""
        return {key: getattr(self, key) for key in ("map50", "map50_95", "precision", "recall", "f1")}


def evaluate_detections(
    truths: Sequence[Example], predictions: Sequence[Detections], labels: Sequence[str], *, max_detections: int = 100
) -> DetectionMetrics:
    """Compare detections with the truth.

    Args:
        truths: the images' boxes, labels and ignore flags.
        predictions: what a model found in each, in the same order and the same pixels.
        labels: class names.
        max_detections: detections counted an image and class, best first.

    Raises:
        ValueError: the two are not of equal length.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} images but {len(predictions)} predictions")
    evaluation = _run_coco(truths, predictions, len(labels), max_detections)
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # (IoU thresholds, recalls, classes)
    matches = _collect_matches(evaluation, len(labels), len(truths))
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
    )


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else 0.0


def _run_coco(
    truths: Sequence[Example], predictions: Sequence[Detections], classes: int, max_detections: int
) -> COCOeval:
    """Evaluate and accumulate with pycocotools; a category's id is the class index + 1 on both sides."""
    from pycocotools.cocoeval import COCOeval

    truth_rows: list[dict] = []
    found_rows: list[dict] = []
    for image, (truth, found) in enumerate(zip(truths, predictions, strict=True)):
        truth_rows += _annotations(image, truth.boxes_xyxy, truth.labels, len(truth_rows))
        for row, ignore in zip(truth_rows[len(truth_rows) - len(truth.labels) :], truth.ignore, strict=True):
            row["iscrowd"] = int(ignore)
        found_rows += _annotations(image, found.boxes_xyxy, found.labels, len(found_rows))
        for row, score in zip(found_rows[len(found_rows) - len(found) :], found.scores, strict=True):
            row["score"] = float(score)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _coco(truth_rows, len(truths), classes), _coco(found_rows, len(truths), classes), iouType="bbox"
        )
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _annotations(image: int, boxes_xyxy: np.ndarray, labels: np.ndarray, start: int) -> list[dict]:
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    rows = zip(xyxy_to_xywh(boxes).tolist(), box_areas(boxes).tolist(), labels.tolist(), strict=True)
    return [
        # Ids start at 1: pycocotools takes a match with id 0 for no match.
        {"id": start + i + 1, "image_id": image, "category_id": k + 1, "bbox": box, "area": area, "iscrowd": 0}
        for i, (box, area, k) in enumerate(rows)
    ]


def _coco(rows: list[dict], images: int, classes: int) -> COCO:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": k + 1} for k in range(classes)],
        "annotations": rows,
    }
    coco.createIndex()
    return coco


def _collect_matches(evaluation: COCOeval, classes: int, images: int) -> list[Matches]:
    """COCO's own matches at IoU 0.5, class by class, sorted as its accumulation sorts them."""
    collected = []
    for k in range(classes):
        scores, owners = [np.zeros(0)], [np.zeros(0, np.int64)]
        correct, ignored = [np.zeros(0, bool)], [np.zeros(0, bool)]
        truths = np.zeros(images, np.int64)
        for result in evaluation.evalImgs[k * images : (k + 1) * images]:
            if result is None:
                continue
            image = result["image_id"]
            truths[image] = np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)
            scores.append(np.asarray(result["dtScores"], np.float64))
            owners.append(np.full(len(result["dtScores"]), image))
            ignored.append(np.asarray(result["dtIgnore"][0], bool))
            correct.append((np.asarray(result["dtMatches"][0]) > 0) & ~ignored[-1])
        joined = np.concatenate(scores)
        order = np.argsort(-joined, kind="mergesort")
        image_of, is_correct, is_ignored = (np.concatenate(part)[order] for part in (owners, correct, ignored))
        collected.append(Matches(joined[order], image_of, is_correct, is_ignored, truths))
    return collected


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


def map50_of_samples(matches: Sequence[Matches], weights: np.ndarray) -> np.ndarray:
    """MAP50 of resampled image sets: pycocotools' accumulation, vectorised.

    Args:
        matches: one entry a class.
        weights: (S, images) how often each image is in each sample.

    Returns:
        (S,) mean over the classes with a box in the sample; NaN where there is none. Ones give COCO's own figure.
    """
    total, present = np.zeros(len(weights)), np.zeros(len(weights))
    for match in matches:
        for start in range(0, len(weights), _CHUNK):
            rows = slice(start, start + _CHUNK)
            wanted = weights[rows] @ match.truths
            total[rows] += _weighted_ap(match, weights[rows], wanted)
            present[rows] += wanted > 0
    return np.divide(total, present, out=np.full(len(weights), np.nan), where=present > 0)


def _weighted_ap(match: Matches, weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(S,) average precision of one class; 0 where a sample has no box of it."""
    ap = np.zeros(len(weights))
    hits = np.flatnonzero(match.correct)  # recall grows, and the envelope of precision has its corners, only here
    if len(hits) == 0:
        return ap
    times = weights[:, match.images].astype(np.float64)
    counted = np.cumsum(times * ~match.ignored, axis=1)[:, hits]
    correct = np.cumsum(times[:, hits], axis=1)
    precision = correct / (counted + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for s, count in enumerate(wanted):
        if count > 0:
            at = np.searchsorted(correct[s] / count, RECALLS, side="left")
            ap[s] = envelope[s, at[at < len(hits)]].sum() / len(RECALLS)
    return ap


def bootstrap_drop(
    reference: Sequence[Matches], matches: Sequence[Matches], samples: int, seed: int
) -> tuple[float, float, float]:
    """The drop in mAP50 from a reference to a variant, with its 95 % interval.

    A paired bootstrap over images: both are measured on the same resampled images, so what is hard for both cancels
    (Efron and Tibshirani, percentile interval).

    Args:
        reference, matches: `DetectionMetrics.matches` of both on the same images.
        samples: resamplings; with 0 the interval is the drop itself.
        seed: of the resampling.

    Returns:
        Drop (positive: the variant is worse), low and high end of the interval.
    """
    images = len(reference[0].truths)
    ones = np.ones((1, images), np.int64)
    drop = float(np.nan_to_num(map50_of_samples(reference, ones) - map50_of_samples(matches, ones))[0])
    if samples == 0:
        return drop, drop, drop
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=samples)
    drops = map50_of_samples(reference, weights) - map50_of_samples(matches, weights)
    drops = drops[np.isfinite(drops)]
    if len(drops) == 0:
        return drop, drop, drop
    low, high = np.percentile(drops, [2.5, 97.5])
    return drop, float(low), float(high)
