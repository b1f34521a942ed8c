"""How far the answers of two runtimes are apart: their tensors in steps of a code, and what is found, object by object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mirada.inference.boxes import iou_matrix, pair_ious
from mirada.inference.file_tables import OutputTensor
from mirada.inference.prediction import Classification, Detections, Localization, Prediction

SHOWN = 0.25  # score from which on an object is counted
SAME_IOU = 0.5  # boxes that overlap by less are not of the same object; as the main figure of detection has it


@dataclass(frozen=True)
class TensorGap:
    """How two runtimes' raw outputs differ.

    Attributes:
        equal_images: of which every output has the same bytes.
        max_steps: the largest difference of a value, in steps.
        output: the name of the output that has it; empty where all are equal.
        share: of the values that differ, 0..1.
    """

    equal_images: int
    max_steps: float
    output: str
    share: float


@dataclass(frozen=True)
class Answering:
    """A way to ask a model for what it finds.

    Attributes:
        name: short, for files.
        title: for people.
        kin: the name of the runtime whose kernels it runs, which finds the same.
        pixels: by how much the corner of a box may lie elsewhere, in pixels of the input.
        score: by how much a score or probability may differ.
        find: what is found in each image that is shown.
        absent: a sentence where it can't be had; then nothing is asked.
    """

    name: str
    title: str
    kin: str
    pixels: float
    score: float
    find: Callable[[], list[Prediction]]
    absent: str = ""

    @property
    def bound(self) -> str:
        """What is let pass, in words."""
        return f"{self.pixels:g} pixels, {self.score:g} of score"

    def agrees(self, own: Prediction, found: Prediction) -> bool:
        """Whether the same is found in an image, within the bound, as by the kernels that it runs."""
        pixels, score = largest_gaps(own, found)
        return count_different(own, found) == 0 and pixels <= self.pixels and score <= self.score


def compare_tensors(
    outputs: Sequence[OutputTensor], reference: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> TensorGap:
    """Compare raw outputs.

    A step is what one code more is worth. An output of floats has no codes: there it is 1/255 of the reference's range.

    Args:
        outputs: what the arrays are, in their order.
        reference, values: (N, ...) each.
    """
    equal = np.ones(len(reference[0]), bool)
    worst, name, different, total = 0.0, "", 0, 0
    for output, expected, found in zip(outputs, reference, values, strict=True):
        gap = np.abs(found.astype(np.float64) - expected.astype(np.float64)).reshape(len(expected), -1)
        if not output.scale:
            gap /= max(float(expected.max() - expected.min()), 1e-30) / 255
        equal &= ~gap.any(axis=1)
        different, total = different + int(np.count_nonzero(gap)), total + gap.size
        if gap.size and gap.max() > worst:
            worst, name = float(gap.max()), output.name
    return TensorGap(int(equal.sum()), worst, name, different / max(total, 1))


def same_answer(a: Prediction, b: Prediction) -> bool:
    """Whether two predictions are the same to the last bit."""
    if isinstance(a, Detections) and isinstance(b, Detections):
        return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("boxes_xyxy", "scores", "labels"))
    assert isinstance(a, Classification) and isinstance(b, Classification)
    boxes = not isinstance(a, Localization) or (isinstance(b, Localization) and np.array_equal(a.box_xyxy, b.box_xyxy))
    return a.label == b.label and bool(np.array_equal(a.probabilities, b.probabilities)) and boxes


def count_objects(prediction: Prediction) -> int:
    """Objects from the score `SHOWN` on; one where the task gives one answer an image."""
    return len(prediction.at_least(SHOWN)) if isinstance(prediction, Detections) else 1


def count_different(a: Prediction, b: Prediction) -> int:
    """Objects that one of two predictions of an image has and the other has not.

    Of detections those from the score `SHOWN` on count, and two are the same where their labels are and their boxes overlap
    by `SAME_IOU`; the best are paired first. A score that is `SHOWN` here and a hair less there makes a difference.
    """
    if isinstance(a, Detections) and isinstance(b, Detections):
        return _unpaired(a.at_least(SHOWN), b.at_least(SHOWN))
    assert isinstance(a, Classification) and isinstance(b, Classification)
    moved = False
    if isinstance(a, Localization) and isinstance(b, Localization):
        apart = float(pair_ious(a.box_xyxy[None], b.box_xyxy[None])[0]) < SAME_IOU
        moved = apart and not np.array_equal(a.box_xyxy, b.box_xyxy)
    return int(moved or a.label != b.label)


def largest_gaps(a: Prediction, b: Prediction) -> tuple[float, float]:
    """How far what both find is apart: corners of boxes in pixels of the input, and scores or probabilities.

    Of detections those from the score `SHOWN` on count that `count_different` pairs.
    """
    if isinstance(a, Detections) and isinstance(b, Detections):
        a, b = a.at_least(SHOWN), b.at_least(SHOWN)
        rows, columns = _pairs(a, b)
        boxes = np.abs(a.boxes_xyxy[rows] - b.boxes_xyxy[columns])
        return float(boxes.max(initial=0)), float(np.abs(a.scores[rows] - b.scores[columns]).max(initial=0))
    assert isinstance(a, Classification) and isinstance(b, Classification)
    apart = 0.0
    if isinstance(a, Localization) and isinstance(b, Localization):
        apart = float(np.abs(a.box_xyxy - b.box_xyxy).max())
    return apart, float(np.abs(a.probabilities - b.probabilities).max())


def _unpaired(a: Detections, b: Detections) -> int:
    return len(a) + len(b) - 2 * len(_pairs(a, b)[0])


def _pairs(a: Detections, b: Detections) -> tuple[list[int], list[int]]:
    """Places in both of those that are the same object."""
    overlap = np.where(a.labels[:, None] == b.labels[None], iou_matrix(a.boxes_xyxy, b.boxes_xyxy), 0)
    rows, columns = list[int](), list[int]()
    while overlap.size and overlap.max() >= SAME_IOU:
        row, column = map(int, np.unravel_index(np.argmax(overlap), overlap.shape))
        overlap[row], overlap[:, column] = 0, 0
        rows.append(row)
        columns.append(column)
    return rows, columns
