"""MediaPipe's ObjectDetector and ImageClassifier, in a process of a Python that has them.

Its wheel wants a newer absl-py than tensorflow-model-optimization lets in, so the two do not share an environment: the
variable MIRADA_MEDIAPIPE names the Python of one that has MediaPipe.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mirada.boards.processes import run_script
from mirada.export.comparing import Answering
from mirada.export.runtimes import XNNPACK
from mirada.inference.card import Card
from mirada.inference.prediction import STANDARD, Classification, Detections, Prediction, choose_label

VARIABLE = "MIRADA_MEDIAPIPE"
TITLE = "MediaPipe"
# It tells boxes as whole pixels, its corner and its sides cut off each.
_PIXELS, _SCORE = 2.0, 1e-3

_DETECT = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision import ObjectDetector, ObjectDetectorOptions

path, given, results = sys.argv[1:]
options = ObjectDetectorOptions(BaseOptions(path), score_threshold={floor}, max_results={most})
rows = []
with ObjectDetector.create_from_options(options) as detector:
    for number, image in enumerate(np.load(given)):
        for one in detector.detect(mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(image))).detections:
            box, category = one.bounding_box, one.categories[0]
            corners = (box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height)
            rows.append((number, category.category_name, category.score, corners))
np.savez(results, *[
    np.array([row[0] for row in rows], int), np.array([row[1] for row in rows], str),
    np.array([row[2] for row in rows], np.float32), np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
])
"""
_CLASSIFY = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions

path, given, results = sys.argv[1:]
names, scores = [], []
with ImageClassifier.create_from_options(ImageClassifierOptions(BaseOptions(path))) as classifier:
    for image in np.load(given):
        (head,) = classifier.classify(mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(image))).classifications
        names.append([category.category_name for category in head.categories])
        scores.append([category.score for category in head.categories])
np.savez(results, np.array(names, str), np.array(scores, np.float64))
"""


def ask_mediapipe(path: Path, card: Card, pixels: np.ndarray) -> Answering:
    """MediaPipe with a file that `add_postprocess` changed.

    Args:
        path: the file.
        card: of the model.
        pixels: (N, S, S, C) uint8, as large as the input: what MediaPipe does to other pictures is its own.
    """

    def find() -> list[Prediction]:
        return _detect(path, card, pixels) if card.task == "detection" else _classify(path, card, pixels)

    return Answering("mediapipe", TITLE, XNNPACK.name, _PIXELS, _SCORE, find, why_not(card))


def why_not(card: Card) -> str:
    """A sentence where it can't be had, or has no use for the model; else nothing."""
    if card.channels != 3:
        return f"{TITLE} takes no grey input."
    if not _python():
        return (
            f"{TITLE} is not set up: `pip install mediapipe` in an environment of its own, and name the Python there in "
            f"{VARIABLE}."
        )
    return ""


def _python() -> str:
    own = os.environ.get(VARIABLE, "")
    if own and Path(own).is_file():
        return own
    return sys.executable if find_spec("mediapipe") else ""


def _detect(path: Path, card: Card, pixels: np.ndarray) -> list[Prediction]:
    script = _DETECT.format(floor=STANDARD.score_floor, most=STANDARD.max_detections)
    (numbers, names, scores, boxes), _ = run_script([_python()], script, path, pixels, TITLE)
    labels = np.array([card.labels.index(name) for name in names], np.int64)
    every = Detections(boxes, scores, labels)
    return [every[numbers == number] for number in range(len(pixels))]


def _classify(path: Path, card: Card, pixels: np.ndarray) -> list[Prediction]:
    (names, scores), _ = run_script([_python()], _CLASSIFY, path, pixels, TITLE)
    found: list[Prediction] = []
    for row, likely in zip(names.tolist(), scores, strict=True):
        probabilities = np.array([likely[row.index(label)] for label in card.labels])
        found.append(Classification(probabilities, choose_label(probabilities, card)))
    return found
