"""Which detection is of which object: of one image, and over many as a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mirada.data.records import Example
from mirada.inference.boxes import coverage_matrix, iou_matrix
from mirada.inference.prediction import Detections

MATCH_IOU = 0.5
LARGEST = 1e10  # square pixels, COCO's bound of all areas


def match_image(truth: Example, found: Detections) -> tuple[list[tuple[int, int]], list[int]]:
    """Match one image's detections, best score first, with its truth at IoU 0.5.

    Boxes of equal label are matched first, what is left over across labels. Leftovers that lie mostly inside an ignore
    box of their label count for nothing.

    Returns:
        Pairs (detection, truth), and the detections left over.
    """
    real = np.flatnonzero(~truth.ignore)
    overlap = iou_matrix(found.boxes_xyxy, truth.boxes_xyxy[real])
    same = found.labels[:, None] == truth.labels[real][None, :]
    free = np.ones(len(real), bool)
    pairs: list[tuple[int, int]] = []
    left = list(range(len(found)))
    region = coverage_matrix(found.boxes_xyxy, truth.boxes_xyxy[truth.ignore]) >= MATCH_IOU
    forgiven = (region & (found.labels[:, None] == truth.labels[truth.ignore][None, :])).any(axis=1)
    for allowed in (same, ~same):
        rest = []
        for i in left:
            usable = np.where(free & allowed[i], overlap[i], 0)
            if len(real) and usable.max() >= MATCH_IOU:
                j = int(np.argmax(usable))
                free[j] = False
                pairs.append((i, int(real[j])))
            elif not forgiven[i]:
                rest.append(i)
        left = rest
    return pairs, left


def confusion_matrix(
    truths: Sequence[Example], predictions: Sequence[Detections], classes: int, threshold: float
) -> np.ndarray:
    """(classes + 1, classes + 1) counts, actual by predicted, of detections at or above the threshold.

    The last row holds detections of nothing, the last column objects that were not found.
    """
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for truth, prediction in zip(truths, predictions, strict=True):
        found = prediction.at_least(threshold)
        pairs, left = match_image(truth, found)
        for i, j in pairs:
            counts[truth.labels[j], found.labels[i]] += 1
        np.add.at(counts[classes], found.labels[left], 1)
        missed = np.setdiff1d(np.flatnonzero(~truth.ignore), [j for _, j in pairs]).astype(np.int64)
        np.add.at(counts[:, classes], truth.labels[missed], 1)
    return counts


def image_f1(truth: Example, prediction: Detections, threshold: float) -> float:
    """F1 of one image at a threshold and IoU 0.5; 1 when there is nothing to find and nothing was found."""
    found = prediction.at_least(threshold)
    pairs, left = match_image(truth, found)
    correct = sum(int(truth.labels[j] == found.labels[i]) for i, j in pairs)
    total = len(pairs) + len(left) + int(np.count_nonzero(~truth.ignore))
    return 2 * correct / total if total else 1.0
