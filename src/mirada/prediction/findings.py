"""What was found in one photograph or frame, as it is kept and written, and how unsure the model was of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mirada.data.formats.writing import Written
from mirada.data.records import Box
from mirada.inference.engine import Answer
from mirada.inference.prediction import Detections, Localization, Prediction
from mirada.tasks.pictures import annotate

DOUBT_FLOOR = 0.05  # detections below it add less than 0.01 each to the uncertainty of a photograph

CROWDED = 40  # objects of a picture


@dataclass(frozen=True)
class Finding:
    """What was found in one photograph, best score first.

    Attributes:
        file: its path below the source, with '/'; of a frame that of its picture below `frames/`.
        width, height: as displayed, in pixels.
        labels, scores: of each object; of a classification the one label and its probability.
        boxes: (x1, y1, x2, y2) of each object in pixels; None for a classification.
        left_out: objects that `max_detections` cut off.
        uncertainty: as `uncertainty` has it, where photographs are ranked.
        frame, time_s: of a video's frame its number, from 0, and its time.
    """

    file: str
    width: int
    height: int
    labels: list[str]
    scores: list[float]
    boxes: list[list[float]] | None
    left_out: int = 0
    uncertainty: float | None = None
    frame: int | None = None
    time_s: float | None = None

    def written(self) -> Written:
        """It as the formats write it; the box of a classification spans the photograph, as the readers know a label."""
        whole = self.boxes is None
        corners = [[0.0, 0.0, float(self.width), float(self.height)]] if self.boxes is None else self.boxes
        boxes = tuple(Box(x1, y1, x2, y2, label) for (x1, y1, x2, y2), label in zip(corners, self.labels, strict=True))
        about = {key: getattr(self, key) for key in ("left_out", "uncertainty", "frame", "time_s")}
        said = {key: value for key, value in about.items() if value is not None}
        return Written(self.file, self.width, self.height, boxes, tuple(self.scores), whole=whole, about=said)


def finding_of(
    file: str, answer: Answer, labels: Sequence[str], min_score: float, most: int | None, ranked: bool = False
) -> Finding:
    """An answer of the engine as it is kept.

    Args:
        file: the name of the photograph.
        answer: with every detection from `min_score` on, or from `DOUBT_FLOOR` on where they are ranked.
        labels: class names of the card.
        min_score: of the detections that are kept.
        most: how many are; None: all.
        ranked: whether to say how unsure the model was.
    """
    found, doubt = answer.prediction, uncertainty(answer.prediction) if ranked else None
    size = answer.width, answer.height
    if not isinstance(found, Detections):
        # A network that gives its box directly may swap corners, which no format of labels allows.
        boxes = [_in_order(found.box_xyxy)] if isinstance(found, Localization) else None
        return Finding(file, *size, [labels[found.label]], [found.probability], boxes, uncertainty=doubt)
    sure = found.at_least(min_score)
    kept = sure if most is None else sure[:most]
    left_out = answer.left_out + len(sure) - len(kept)
    names = [labels[label] for label in kept.labels]
    return Finding(file, *size, names, kept.scores.tolist(), kept.boxes_xyxy.tolist(), left_out, doubt)


def _in_order(box: np.ndarray) -> list[float]:
    """The corners of a box, the upper left one first."""
    ordered: list[float] = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])]).tolist()
    return ordered


def uncertainty(found: Prediction) -> float:
    """How unsure a model is of a photograph; the higher, the more its label would teach.

    Detections: the sum over them of (1 - margin) squared, the margin being that between the two likeliest answers (Brust,
    Käding, Denzler: Active Learning for Deep Object Detection, 2019). A detection's score s says 'this object' against
    'nothing', so the margin is |2 s - 1|. Classes: the entropy of their probabilities in nats (Settles: Active Learning
    Literature Survey, 2009).
    """
    if isinstance(found, Detections):
        margins = np.abs(2 * found.scores.astype(np.float64) - 1)
        return float(((1 - margins) ** 2).sum())
    likely = found.probabilities[found.probabilities > 0]
    return float(abs((likely * np.log(likely)).sum()))


def draw_finding(picture: Image.Image, finding: Finding, labels: Sequence[str]) -> None:
    """Draw what was found on the RGB picture that it was found in.

    A score is written beside its box, and the class where there are several; of more than `CROWDED` objects neither is, as
    nothing else could be seen.
    """
    pairs = list(zip(finding.labels, finding.scores, strict=True))
    texts = [f"{label} {score:.2f}" if len(labels) > 1 else f"{score:.2f}" for label, score in pairs]
    if len(pairs) > CROWDED:
        texts = [""] * len(pairs)
    boxes: list[list[float] | None] = [None] * len(pairs) if finding.boxes is None else list(finding.boxes)
    annotate(picture, boxes, [labels.index(label) for label in finding.labels], texts)
