"""From a network's raw outputs to what it found; the same code validates, evaluates and serves.

What the parts of `card.outputs` are, S being the input's side in pixels and K the number of labels:

- Detection: 'objectness' (1, S/stride, S/stride, 1) and, with several labels, 'classes' (…, K) are logits, one map a level;
  'distances' (…, 4) are left, top, right and bottom from a cell's centre, in strides, before the softplus.
- Classification: 'classes' (1, K) logits.
- Localization: 'classes' (1, K) logits, and the box either as 'box' (1, 4), its corners in pixels of the input, or as the
  maps 'scores' (1, H, W, 1), logits over the cells, and 'distances' (1, H, W, 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol

import numpy as np

from mirada.errors import MiradaError
from mirada.inference.boxes import clip_boxes, suppress
from mirada.inference.maps import Outputs, at_cells, flatten, to_floats

CANDIDATES = 1000  # best cells that reach non-maximum suppression


class Contract(Protocol):
    """What decoding needs of a model's card; the card tells what each is."""

    task: str
    labels: list[str]
    input_size: int
    strides: list[int]
    outputs: dict[str, list[str]]
    threshold: float


@dataclass(frozen=True)
class Decoding:
    """How raw outputs become detections; the other tasks have no use for it.

    Attributes:
        score_floor: detections with a lower score are dropped, 0..1.
        nms_iou: of two boxes of one label that overlap by more, the one with the lower score is dropped.
        max_detections: how many are kept; None: all.
        candidates: best cells that reach non-maximum suppression.
        zone: x1, y1, x2, y2 in pixels of the input: cells whose centre lies outside say nothing; None: all speak.
    """

    score_floor: float = 0.001
    nms_iou: float = 0.5
    max_detections: int | None = 100
    candidates: int = CANDIDATES
    zone: tuple[float, float, float, float] | None = None


STANDARD = Decoding()


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

    def __getitem__(self, chosen: slice | np.ndarray) -> Detections:
        """Some of the detections: a slice, indices, or a bool for each."""
        return Detections(self.boxes_xyxy[chosen], self.scores[chosen], self.labels[chosen])

    def at_least(self, threshold: float) -> Detections:
        """The detections whose score is at least `threshold`."""
        return self[self.scores >= threshold]


@dataclass
class Classification:
    """What a model takes one image for.

    Attributes:
        probabilities: (K,) float64, of each of the card's labels, 0..1; their sum is 1.
        label: the one chosen, an index into the labels.
    """

    probabilities: np.ndarray
    label: int

    @property
    def probability(self) -> float:
        """Of the chosen label."""
        return float(self.probabilities[self.label])


@dataclass
class Localization(Classification):
    """What a model takes an image's one object for, and where it is.

    Attributes:
        box_xyxy: (4,) float32, corners in pixels of the network's input, or of the photograph where `engine` gives it.
        input_size: side of the input.
        scale: pixels of the input to a pixel of `box_xyxy`, across and down.
    """

    box_xyxy: np.ndarray
    input_size: int
    scale: tuple[float, float] = (1.0, 1.0)


Prediction = Detections | Classification | Localization
"""What a model says of one image, by its task."""


def decode_outputs(outputs: Outputs, card: Contract, decoding: Decoding = STANDARD) -> Prediction:
    """One image's prediction, as the card's task has it.

    Args:
        outputs: output name -> (1, ...) floats or codes, the names of `card.outputs`.
        card: the model's card.
        decoding: of detections.
    """
    return _TASKS[card.task].decode(outputs, card, decoding)


def best_score(found: Prediction) -> float:
    """Of what was found; 0 where nothing was."""
    if isinstance(found, Detections):
        return float(found.scores.max(initial=0.0))
    return found.probability


def check_outputs(card: Contract) -> None:
    """Raise ValueError or KeyError where a card's labels, strides and outputs do not fit its task.

    Raises:
        MiradaError: there is no such task.
    """
    if card.task not in _TASKS:
        raise MiradaError(f"The task must be one of {', '.join(_TASKS)}, got {card.task!r}.")
    if not _TASKS[card.task].fits(card):
        raise ValueError("labels, strides or outputs do not fit")


def decode_classification(outputs: Outputs, card: Contract) -> Classification:
    """Softmax over one image's logits; of two labels the second is chosen from `card.threshold` on, of more the likeliest.

    Args:
        outputs: output name -> floats or codes, the names of `card.outputs`.
        card: the model's card.
    """
    return Classification(*_choose(to_floats(outputs[card.outputs["classes"][0]]), card))


def _choose(logits: np.ndarray, card: Contract) -> tuple[np.ndarray, int]:
    """The labels' probabilities, and the label that `decode_classification` chooses."""
    logits = logits.reshape(-1).astype(np.float64)
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    return probabilities, choose_label(probabilities, card)


def choose_label(probabilities: np.ndarray, card: Contract) -> int:
    """Of two labels the second from `card.threshold` on, of more the likeliest."""
    if len(probabilities) == 2:
        return int(probabilities[1] >= card.threshold)
    return int(np.argmax(probabilities))


def decode_localization(outputs: Outputs, card: Contract) -> Localization:
    """The class as in `decode_classification`, and the box.

    Where they come as maps, logits and box are the means of all cells' own, weighted with the softmax of their scores, and
    the box is cut to the input. A box that the network gives directly stays as it is, even where its corners are swapped
    or outside.
    """
    if "box" in card.outputs:
        box = to_floats(outputs[card.outputs["box"][0]]).reshape(4).astype(np.float32)
        return Localization(*_choose(to_floats(outputs[card.outputs["classes"][0]]), card), box, card.input_size)
    scores = flatten(outputs, card.outputs["scores"])[:, 0].astype(np.float64)
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    centres, strides = cells_of(card.input_size, tuple(card.strides))
    reach = softplus(flatten(outputs, card.outputs["distances"])) * strides[:, None]
    boxes = np.concatenate([centres - reach[:, :2], centres + reach[:, 2:]], axis=1)
    box = clip_boxes((weights @ boxes).astype(np.float32), card.input_size, card.input_size)
    logits = weights @ flatten(outputs, card.outputs["classes"])
    return Localization(*_choose(logits, card), box, card.input_size)


def decode_detections(outputs: Outputs, card: Contract, decoding: Decoding = STANDARD) -> Detections:
    """Decode one image's output maps.

    A cell's score is sigmoid(objectness) times the probability of its likeliest class, which is its only label. Its box
    reaches softplus(distance) * stride to the left, top, right and bottom of the cell's centre.

    Args:
        outputs: output name -> (1, H, W, C) floats or codes, the names of `card.outputs`.
        card: the model's card.
        decoding: what is kept.
    """
    cells = _cells_in(decoding.zone, card.input_size, tuple(card.strides))
    scores = at_cells(outputs, card.outputs["objectness"], cells, sigmoid)[:, 0]
    # The class probability is at most 1: where even objectness is below the floor, the score is too.
    cells, scores = _above(decoding.score_floor, scores, cells, scores)
    labels = np.zeros(len(cells), np.int64)
    if "classes" in card.outputs:
        logits = at_cells(outputs, card.outputs["classes"], cells, _same)
        labels = np.argmax(logits, axis=1)
        scores = scores / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)  # times softmax's maximum
        cells, scores, labels = _above(decoding.score_floor, scores, cells, scores, labels)
    if len(cells) > decoding.candidates:
        best = np.sort(np.argpartition(-scores, decoding.candidates)[: decoding.candidates])
        cells, scores, labels = cells[best], scores[best], labels[best]
    centres, strides = cells_of(card.input_size, tuple(card.strides))
    reach = at_cells(outputs, card.outputs["distances"], cells, softplus) * strides[cells, None]
    centre = centres.take(cells, axis=0)
    boxes = np.empty(reach.shape, np.float32)
    np.subtract(centre, reach[:, :2], out=boxes[:, :2], casting="same_kind")
    np.add(centre, reach[:, 2:], out=boxes[:, 2:], casting="same_kind")
    boxes = clip_boxes(boxes, card.input_size, card.input_size)
    kept = suppress(boxes, scores, labels, decoding.nms_iou, decoding.max_detections or len(boxes))
    return Detections(boxes[kept], scores[kept].astype(np.float32), labels[kept].astype(np.int64))


def _above(floor: float, scores: np.ndarray, *rows: np.ndarray) -> list[np.ndarray]:
    """The entries of each of `rows` whose score is at least `floor`; often these are all."""
    passed = scores >= floor
    return list(rows) if passed.all() else [row[passed] for row in rows]


def _fits_detection(card: Contract) -> bool:
    """Objectness and distances on every level, and classes where there are several labels."""
    parts = ["objectness", "distances"] + (["classes"] if len(card.labels) > 1 else [])
    return len(card.labels) > 0 and all(len(card.outputs[part]) == len(card.strides) for part in parts)


def _fits_localization(card: Contract) -> bool:
    """Logits and one box, as vectors or as maps with their scores; one label is enough."""
    maps = "box" not in card.outputs
    parts = ["classes", "scores", "distances"] if maps else ["classes", "box"]
    levels = len(card.strides) == int(maps)
    return len(card.labels) > 0 and levels and all(len(card.outputs[part]) == 1 for part in parts)


def _fits_classification(card: Contract) -> bool:
    """One vector of logits, of two labels or more."""
    return len(card.labels) > 1 and len(card.outputs["classes"]) == 1


@dataclass(frozen=True)
class _OfTask:
    """What a task makes of outputs: whether a card's fit, and what they say."""

    fits: Callable[[Contract], bool]
    decode: Callable[[Outputs, Contract, Decoding], Prediction]


_TASKS = {
    "detection": _OfTask(_fits_detection, decode_detections),
    "localization": _OfTask(_fits_localization, lambda outputs, card, _: decode_localization(outputs, card)),
    "classification": _OfTask(_fits_classification, lambda outputs, card, _: decode_classification(outputs, card)),
}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function, float32."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)  # no overflow at either end


def softplus(values: np.ndarray) -> np.ndarray:
    """log(1 + exp(values)), of the type of `values`."""
    return np.logaddexp(0, values)


def _same(values: np.ndarray) -> np.ndarray:
    return values


@lru_cache(maxsize=64)
def _cells_in(zone: tuple[float, float, float, float] | None, input_size: int, strides: tuple[int, ...]) -> np.ndarray:
    """Indices of the cells whose centre lies in a zone of the input, in the order of `flatten`."""
    centres, _ = cells_of(input_size, strides)
    if zone is None:
        return np.arange(len(centres))
    x1, y1, x2, y2 = zone
    x, y = centres.T
    return np.flatnonzero((x >= x1) & (x < x2) & (y >= y1) & (y < y2))


@cache
def cells_of(input_size: int, strides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Centres (cells, 2) in pixels and strides (cells,), in the order of `flatten`."""
    centres, steps = [], []
    for stride in strides:
        side = input_size // stride
        y, x = np.mgrid[:side, :side]
        centres.append((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride)
        steps.append(np.full(side * side, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(steps).astype(np.float32)
