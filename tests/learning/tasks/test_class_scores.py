"""A score a class, read by the decoder that knows objectness and classes alone."""

import numpy as np
import pytest
import tf_keras as keras

from mirada.inference.card import Card
from mirada.inference.prediction import decode_outputs
from mirada.learning.tasks.class_scores import class_scores, score_logits


def test_a_cell_scores_the_sigmoid_of_its_likeliest_class() -> None:
    features = keras.Input((2, 2, 3))
    names = {"objectness": "objectness_8", "classes": "classes_8"}
    model = keras.Model(features, class_scores(features, 3, names, keras.initializers.Constant(0.0)))
    model.get_layer("classes_8_logits").set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3)])
    logits = np.array([[(-9, -9, -9), (0.5, 2, -3)], [(-4, -1, -1.2), (1, 1, -8)]], np.float32)
    outputs = {name: value.numpy() for name, value in model(logits[None]).items()}
    np.testing.assert_allclose(score_logits(outputs["classes_8"])[0], logits)
    outputs["distances_8"] = np.zeros((1, 2, 2, 4), np.float32)
    parts = {part: [f"{part}_8"] for part in ("objectness", "classes", "distances")}
    card = Card("detection", ["a", "b", "c"], 16, 3, "letterbox", [8], parts, "d", "0", {})
    found = decode_outputs(outputs, card)
    scores = 1 / (1 + np.exp([-2.0, 1.0, -1.0]))
    # the second of two that are equal is not seen, and halves the score
    assert found.scores == pytest.approx([scores[0], scores[2] / 2, scores[1]], rel=1e-4)
    assert found.labels.tolist() == [1, 0, 1]
