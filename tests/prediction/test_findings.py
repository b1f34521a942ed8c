import math

import numpy as np
import pytest
from PIL import Image

from mirada.inference.engine import Answer
from mirada.inference.prediction import Classification, Detections, Localization
from mirada.prediction.findings import CROWDED, Finding, draw_finding, finding_of, uncertainty


def detections(*scores: float) -> Detections:
    boxes = np.tile(np.array([0, 0, 4, 4], np.float32), (len(scores), 1))
    return Detections(boxes, np.array(scores, np.float32), np.zeros(len(scores), np.int64))


def test_uncertainty_of_detections_is_the_sum_of_squared_doubts():
    """Margins |2 s - 1| of 1, 0.5, 0 and 0.5 leave doubts of 0, 0.5, 1 and 0.5."""
    assert uncertainty(detections(1.0, 0.75, 0.5, 0.25)) == pytest.approx(0 + 0.25 + 1 + 0.25)
    assert uncertainty(detections()) == 0


def test_uncertainty_of_classes_is_their_entropy():
    assert uncertainty(Classification(np.array([0.5, 0.5]), 0)) == pytest.approx(math.log(2))
    assert uncertainty(Classification(np.array([1.0, 0.0]), 0)) == 0


def test_what_is_kept_of_an_answer():
    answer = Answer(detections(0.9, 0.6, 0.5, 0.1), 8, 8, "whole", 0, 0, {})
    found = finding_of("a.jpg", answer, ["x"], 0.5, 2, ranked=True)
    assert [round(score, 4) for score in found.scores] == [0.9, 0.6]
    assert found.left_out == 1
    assert found.uncertainty == pytest.approx(0.04 + 0.64 + 1 + 0.04)


def test_a_crowded_picture_has_boxes_alone():
    def lit(count: int) -> int:
        picture = Image.new("RGB", (400, 400))
        boxes = [[100.0, 100.0, 150.0, 150.0]] * count
        draw_finding(picture, Finding("a", 400, 400, ["x"] * count, [0.5] * count, boxes), ["x"])
        return int((np.asarray(picture)[:98] > 0).sum())

    assert lit(CROWDED) > 0  # the score stands above the box
    assert lit(CROWDED + 1) == 0


def test_swapped_corners_of_a_localization_are_put_in_order():
    found = Localization(np.array([0.75, 0.25]), 0, np.array([30, 8, 10, 20], np.float32), 32)
    assert finding_of("a.jpg", Answer(found, 32, 32, "whole", 0, 0, {}), ["x", "y"], 0.9, None) == Finding(
        "a.jpg", 32, 32, ["x"], [0.75], [[10, 8, 30, 20]]
    )
