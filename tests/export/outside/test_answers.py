"""Answers without tensors, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from mirada.export.comparing import Answering
from mirada.export.outside.answers import read_answers
from mirada.inference.prediction import Classification, Detections

ASKED = Answering("a", "A", "litert_reference", 2, 0.01, list)


def one(x: float, score: float) -> Detections:
    return Detections(np.array([[x, 0, x + 20, 20]], np.float32), np.array([score]), np.array([0]))


def test_boxes_are_shares_of_the_side_and_what_lies_behind_their_number_is_none() -> None:
    boxes, labels = np.array([[[0.25, 0.5, 0.75, 1], [9, 9, 9, 9]]], np.float32), np.array([[1.0, 7]], np.float32)
    card = SimpleNamespace(input_size=64, threshold=0.5)
    (found,) = read_answers([boxes, labels, np.array([[0.5, 0.4]], np.float32), np.array([1.0])], card)
    assert (found.boxes_xyxy.tolist(), found.labels.tolist()) == ([[32, 16, 64, 48]], [1])
    (found,) = read_answers([np.array([[0.7, 0.3]], np.float32)], SimpleNamespace(threshold=0.25))
    assert isinstance(found, Classification) and found.label == 1


@pytest.mark.parametrize(
    ("found", "agrees"),
    [(one(2, 0.5), True), (one(2.5, 0.5), False), (one(0, 0.52), False), (one(0, 0.2), False), (one(15, 0.5), False)],
)
def test_within_its_bound_an_answer_is_the_same(found: Detections, agrees: bool) -> None:
    assert ASKED.agrees(one(0, 0.5), found) == agrees


def test_likelihoods_agree_within_theirs() -> None:
    own = Classification(np.array([0.6, 0.4]), 0)
    assert ASKED.agrees(own, Classification(np.array([0.605, 0.395]), 0))
    assert not ASKED.agrees(own, Classification(np.array([0.62, 0.38]), 0))
    assert not ASKED.agrees(own, Classification(np.array([0.6, 0.4]), 1))
