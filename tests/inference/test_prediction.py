import math
from dataclasses import replace

import numpy as np
import pytest

from mirada.inference.card import Card
from mirada.inference.prediction import Decoding, decode_detections, decode_outputs
from tests.cards import BOX_CARD, CARD, MAP_CARD


def make_card(classes: int = 1) -> Card:
    parts = ["objectness", "distances"] + (["classes"] if classes > 1 else [])
    return Card(
        task="detection",
        labels=[f"label{k}" for k in range(classes)],
        input_size=32,
        channels=3,
        fit="stretch",
        strides=[8, 16],
        outputs={part: [f"{part}_8", f"{part}_16"] for part in parts},
        dataset="drawn",
        data_digest="0",
        model={},
    )


def empty_outputs(card: Card) -> dict[str, np.ndarray]:
    channels = {"objectness": 1, "distances": 4, "classes": len(card.labels)}
    return {
        name: np.full(
            (1, 32 // stride, 32 // stride, channels[part]), -50.0 if part == "objectness" else 0.0, np.float32
        )
        for part, names in card.outputs.items()
        for name, stride in zip(names, card.strides, strict=True)
    }


def raw_distance(strides: float) -> float:
    return math.log(math.expm1(strides))  # inverse of softplus


def test_a_box_reaches_from_the_cells_centre():
    card = make_card()
    outputs = empty_outputs(card)
    outputs["objectness_8"][0, 1, 2, 0] = 0.0
    outputs["distances_8"][0, 1, 2] = [raw_distance(d) for d in (1.0, 0.5, 0.25, 2.0)]
    found = decode_detections(outputs, card)
    # row 1, column 2 of stride 8: centre (20, 12)
    np.testing.assert_allclose(found.boxes_xyxy, [[12, 8, 22, 28]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.5])
    assert found.labels.tolist() == [0]
    assert (found.boxes_xyxy.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)


def test_boxes_end_at_the_inputs_border_and_come_from_every_level():
    card = make_card()
    outputs = empty_outputs(card)
    outputs["objectness_16"][0, 1, 0, 0] = 3.0
    outputs["distances_16"][0, 1, 0] = [raw_distance(d) for d in (5, 0.5, 0.25, 5)]
    found = decode_detections(outputs, card)
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 16, 12, 32]], atol=1e-4)  # centre (8, 24)


def test_score_is_objectness_times_the_likeliest_class():
    card = make_card(classes=3)
    outputs = empty_outputs(card)
    outputs["objectness_8"][0, 0, 0, 0] = math.log(4)  # 0.8
    outputs["classes_8"][0, 0, 0] = np.log([0.1, 0.2, 0.7])
    found = decode_detections(outputs, card)
    assert found.labels.tolist() == [2]
    np.testing.assert_allclose(found.scores, [0.56], rtol=1e-5)
    assert len(decode_detections(outputs, card, Decoding(score_floor=0.57))) == 0


def test_nothing_found_gives_empty_arrays():
    card = make_card(classes=2)
    found = decode_detections(empty_outputs(card), card)
    assert found.boxes_xyxy.shape == (0, 4)
    assert len(found) == len(found.labels) == 0


def test_best_first_and_no_more_than_asked_for():
    card = make_card()
    outputs = empty_outputs(card)
    outputs["objectness_8"][0, :, :, 0] = np.arange(16).reshape(4, 4) / 10
    outputs["distances_8"][:] = raw_distance(0.5)  # each cell a box of its own
    found = decode_detections(outputs, card, Decoding(max_detections=3))
    np.testing.assert_allclose(found.scores, [1 / (1 + math.exp(-x)) for x in (1.5, 1.4, 1.3)], rtol=1e-5)
    assert len(decode_detections(outputs, card)) == 16


def test_extreme_logits_are_no_overflow():
    card = make_card(classes=2)
    outputs = {name: np.full_like(value, 1e4) for name, value in empty_outputs(card).items()}
    found = decode_detections(outputs, card)
    assert np.isfinite(found.boxes_xyxy).all()
    assert found.scores[0] == pytest.approx(0.5)


def test_above_keeps_scores_at_the_threshold():
    card = make_card()
    outputs = empty_outputs(card)
    outputs["objectness_8"][0, 0, 0, 0] = 0.0
    found = decode_detections(outputs, card)
    assert len(found.at_least(0.5)) == 1
    assert len(found.at_least(0.51)) == 0


def test_a_labels_probability_is_its_softmax():
    outputs = {"classes": np.log(np.array([[0.2, 0.1, 0.7]], np.float32))}
    found = decode_outputs(outputs, replace(CARD, labels=["cat", "dog", "cow"]))
    np.testing.assert_allclose(found.probabilities, [0.2, 0.1, 0.7], rtol=1e-6)
    assert found.label == 2
    assert found.probability == pytest.approx(0.7)


@pytest.mark.parametrize(("threshold", "label"), [(0.5, 0), (0.26, 0), (0.25, 1)])
def test_the_second_of_two_is_chosen_from_the_cards_threshold_on(threshold, label):
    outputs = {"classes": np.array([[math.log(3), 0.0]])}  # 0.75 and 0.25
    assert decode_outputs(outputs, replace(CARD, threshold=threshold)).label == label


def test_a_box_comes_as_it_is_or_as_the_weighted_mean_of_a_map():
    classes = np.zeros((1, 2), np.float32)
    direct = decode_outputs({"classes": classes, "box": np.array([[40, 2, -3, 9]], np.float32)}, BOX_CARD)
    assert direct.box_xyxy.tolist() == [40, 2, -3, 9]
    scores = np.full((1, 2, 2, 1), -50, np.float32)
    scores[0, 0, 0], scores[0, 1, 0] = math.log(3), 0  # cells centred on (8, 8) and (8, 24), 3 to 1
    reach = np.log(np.expm1(np.array([0.25, 0.5, 1, 0.25])))  # 4, 8, 16 and 4 pixels
    logits = np.array([[[[4, 0], [9, 9]], [[0, 8], [9, 9]]]], np.float32)  # 3/4 * (4, 0) + 1/4 * (0, 8)
    outputs = {"classes_16": logits, "scores_16": scores, "distances_16": np.tile(reach, (1, 2, 2, 1))}
    found = decode_outputs(outputs, MAP_CARD)
    np.testing.assert_allclose(found.box_xyxy, [4, 4, 24, 16], atol=1e-4)
    assert found.label == 0 and found.probability == pytest.approx(1 / (1 + math.exp(2 - 3)))
    outputs["distances_16"] = np.full((1, 2, 2, 4), 9.0)
    np.testing.assert_allclose(decode_outputs(outputs, MAP_CARD).box_xyxy, [0, 0, 32, 32])
