"""From a network's raw outputs to detections; the same code validates, evaluates and serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from mirada.boxes import clip_boxes, suppress
from mirada.card import Card

CANDIDATES = 1000  # best cells that reach non-maximum suppression


@dataclass
class Detections:
    """What a model found in one image, best score first.

    Attributes:
        boxes_xyxy: (N, 4) float32, corners in pixels of the network's input.
        scores: (N,) float32, 0..1.
        labels: (N,) int64, index into the card's labels.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Number of detections."""
        return len(self.scores)

    def above(self, threshold: float) -> Detections:
        """The detections whose score is at least `threshold`."""
        chosen = self.scores >= threshold
        return Detections(self.boxes_xyxy[chosen], self.scores[chosen], self.labels[chosen])


def decode_detections(
    outputs: Mapping[str, np.ndarray],
    card: Card,
    *,
    score_floor: float = 0.001,
    nms_iou: float = 0.5,
    max_detections: int = 100,
) -> Detections:
    """Decode one image's output maps.

    A cell's score is sigmoid(objectness) times the probability of its likeliest class, which is its only label. Its box
    reaches softplus(distance) * stride to the left, top, right and bottom of the cell's centre.

    Args:
        outputs: output name -> (1, H, W, C) float array, the names of `card.outputs`.
        card: the model's card.
        score_floor: detections with a lower score are dropped.
        nms_iou: of two boxes of one label that overlap by more, the one with the lower score is dropped.
        max_detections: how many are kept.
    """
    objectness = _flat(outputs, card.outputs["objectness"])[:, 0]
    # The class probability is at most 1: where even objectness is below the floor, the score is too.
    candidates = np.flatnonzero(_sigmoid(objectness) >= score_floor)
    scores = _sigmoid(objectness[candidates])
    labels = np.zeros(len(candidates), np.int64)
    if "classes" in card.outputs:
        logits = _flat(outputs, card.outputs["classes"])[candidates]
        labels = np.argmax(logits, axis=1)
        scores = scores / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)  # times softmax's maximum
        passed = scores >= score_floor
        candidates, scores, labels = candidates[passed], scores[passed], labels[passed]
    if len(candidates) > CANDIDATES:
        best = np.sort(np.argpartition(-scores, CANDIDATES)[:CANDIDATES])
        candidates, scores, labels = candidates[best], scores[best], labels[best]
    centres, strides = _cells(card.input_size, tuple(card.strides))
    distances = _flat(outputs, card.outputs["distances"])[candidates]
    reach = np.logaddexp(0, distances) * strides[candidates, None]
    centre = centres[candidates]
    boxes = np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1)
    boxes = clip_boxes(boxes.astype(np.float32), card.input_size, card.input_size)
    kept = suppress(boxes, scores, labels, nms_iou, max_detections)
    return Detections(boxes[kept], scores[kept].astype(np.float32), labels[kept].astype(np.int64))


def _flat(outputs: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray:
    """The maps of all levels as (cells, channels), level by level, row by row."""
    return np.concatenate([outputs[name].reshape(-1, outputs[name].shape[-1]) for name in names])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)  # no overflow at either end


@cache
def _cells(input_size: int, strides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Centres (cells, 2) in pixels and strides (cells,), in the order of `_flat`."""
    centres, steps = [], []
    for stride in strides:
        side = input_size // stride
        y, x = np.mgrid[:side, :side]
        centres.append((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride)
        steps.append(np.full(side * side, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(steps).astype(np.float32)
