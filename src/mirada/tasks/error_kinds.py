"""Why detections are wrong, and what each kind of error costs: TIDE's six kinds (https://arxiv.org/abs/2008.08115).

Every wrong detection has one kind, every object that was not found is missed unless a wrong class or a wrong box explains
it. The cost of a kind is how far the mean average precision at IoU 0.5 would rise if an oracle mended all errors of that
kind alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.data.records import Example
from mirada.inference.boxes import coverage_matrix, iou_matrix
from mirada.inference.prediction import Detections
from mirada.tasks.resampling import Matches, map50_of_samples

KINDS = {
    "class": "right place, wrong class",
    "box": "right class, box too far off (IoU 0.1 to 0.5)",
    "both": "wrong class and box too far off",
    "duplicate": "an object that was found already",
    "background": "nothing is there",
    "missed": "an object that nothing found",
}
FOUND, NEAR = 0.5, 0.1  # IoU from which on an object is found, and above which a box means it
_RIGHT, _IGNORED = "right", "ignored"


@dataclass(frozen=True)
class ErrorKind:
    """How often a kind of error occurs, and by how much mAP50 would rise without it."""

    count: int
    cost: float


@dataclass
class _Judged:
    """The detections of a split with what they are: index of the object meant, -1 without one, over all images."""

    scores: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    objects: np.ndarray


def error_kinds(truths: Sequence[Example], predictions: Sequence[Detections], classes: int) -> dict[str, ErrorKind]:
    """Sort the errors of a split into kinds and price each.

    Args:
        truths: the images' boxes, labels and ignore flags.
        predictions: what a model found in each, in the same order and pixels.
        classes: how many there are.

    Returns:
        Kind -> its count and cost, in the order of `KINDS`.
    """
    parts, first = [], 0
    for truth, found in zip(truths, predictions, strict=True):
        parts.append(_judge(truth, found, first))
        first += len(truth.labels)
    columns = ([getattr(part, name) for part in parts] for name in ("scores", "labels", "kinds", "objects"))
    judged = _Judged(*map(np.concatenate, columns))
    of_object = np.concatenate([truth.labels for truth in truths])
    wanted = ~np.concatenate([truth.ignore for truth in truths])
    met = np.zeros(len(of_object), bool)
    met[judged.objects[judged.kinds == _RIGHT]] = True
    explained = met.copy()
    explained[judged.objects[np.isin(judged.kinds, ("class", "box"))]] = True
    missed = wanted & ~explained
    base = _map50(judged, of_object[wanted], classes)
    result = {}
    for kind in KINDS:
        if kind == "missed":
            mended = _map50(judged, of_object[wanted & ~missed], classes)
            result[kind] = ErrorKind(int(missed.sum()), mended - base)
            continue
        mended = _map50(_mend_kind(judged, kind, of_object, met), of_object[wanted], classes)
        result[kind] = ErrorKind(int((judged.kinds == kind).sum()), mended - base)
    return result


def _judge(truth: Example, found: Detections, first: int) -> _Judged:
    """One image's detections; `first` is the index of its first object among those of all images."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, labels = found.boxes_xyxy[order].astype(np.float64), found.labels[order]
    kinds, objects = np.full(len(order), "background", object), np.full(len(order), -1)
    true_boxes, counts = truth.boxes_xyxy.astype(np.float64), ~truth.ignore
    ious = iou_matrix(boxes, true_boxes) * counts if len(counts) else np.zeros((len(order), 0))
    inside = coverage_matrix(boxes, true_boxes[truth.ignore])
    taken = np.zeros(len(counts), bool)
    for i in range(len(order)):
        own = np.where(truth.labels == labels[i], ious[i], 0.0)
        other = np.where(truth.labels != labels[i], ious[i], 0.0)
        free = np.where(taken, 0.0, own)
        if free.size and free.max() >= FOUND:
            kinds[i], objects[i] = _RIGHT, int(free.argmax())
            taken[objects[i]] = True
        elif inside.size and inside[i].max() >= FOUND:
            kinds[i] = _IGNORED
        elif own.size and own.max() >= FOUND:
            kinds[i], objects[i] = "duplicate", int(own.argmax())
        elif other.size and other.max() >= FOUND:
            kinds[i], objects[i] = "class", int(other.argmax())
        elif own.size and own.max() >= NEAR:
            kinds[i], objects[i] = "box", int(own.argmax())
        elif other.size and other.max() >= NEAR:
            kinds[i], objects[i] = "both", int(other.argmax())
    objects = np.where(objects >= 0, objects + first, -1)
    return _Judged(found.scores[order], labels, kinds, objects)


def _mend_kind(judged: _Judged, kind: str, of_object: np.ndarray, met: np.ndarray) -> _Judged:
    """As an oracle would: wrong classes and boxes become right where their object is still free, all else goes."""
    labels, kinds = judged.labels.copy(), judged.kinds.copy()
    taken = met.copy()
    for i in sorted(np.flatnonzero(judged.kinds == kind), key=lambda i: -judged.scores[i]):
        meant = judged.objects[i]
        if kind in ("class", "box") and not taken[meant]:
            kinds[i], labels[i], taken[meant] = _RIGHT, of_object[meant], True
        else:
            kinds[i] = _IGNORED
    return _Judged(judged.scores, labels, kinds, judged.objects)


def _map50(judged: _Judged, wanted: np.ndarray, classes: int) -> float:
    """Mean average precision at IoU 0.5, over the classes that are wanted."""
    matches = []
    for label in range(classes):
        own = np.flatnonzero(judged.labels == label)
        own = own[np.argsort(-judged.scores[own], kind="stable")]
        kinds = judged.kinds[own]
        count = np.array([np.count_nonzero(wanted == label)])
        zeros = np.zeros(len(own), np.int64)
        matches.append(Matches(judged.scores[own], zeros, kinds == _RIGHT, kinds == _IGNORED, count))
    return float(np.nan_to_num(map50_of_samples(matches, np.ones((1, 1), np.int64)))[0])
