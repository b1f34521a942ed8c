"""Localization's box and loss, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import BACKBONES, ModelConfig, TrainConfig
from mirada.learning.models import build_model
from mirada.learning.tasks import learning_task
from mirada.learning.tasks.localization import LocalizationLoss, vote
from tests.learning.tasks.test_classification import dataset

STRIDE_ONE = math.log(math.expm1(1))  # softplus of it is one stride, 16 pixels


def maps(scores, classes=((0, 0), (0, 0), (0, 0), (0, 0))):
    """Four cells of 16 pixels; each one's box reaches a stride to every side."""
    scores = np.array(scores, np.float32).reshape(1, 2, 2, 1)
    return scores, np.array(classes, np.float32).reshape(1, 2, 2, 2), np.full((1, 2, 2, 4), STRIDE_ONE, np.float32)


CLASSES = ((1, 0), (0, 2), (4, 0), (0, 0))


def test_a_cell_that_is_sure_is_the_only_one_that_counts():
    logits, box = vote(*maps([0, 50, 0, 0], CLASSES))  # the upper right cell, centre (24, 8)
    np.testing.assert_allclose(box, [[8, -8, 40, 24]], atol=1e-3)
    np.testing.assert_allclose(logits, [[0, 2]], atol=1e-3)


def test_cells_that_count_alike_give_the_mean():
    logits, box = vote(*maps([7, 7, 7, 7], CLASSES))
    np.testing.assert_allclose(box, [[0, 0, 32, 32]], atol=1e-3)
    np.testing.assert_allclose(logits, [[5 / 4, 2 / 4]], atol=1e-3)


def test_training_and_decoding_hear_the_same_vote():
    from mirada.inference.card import Card
    from mirada.inference.prediction import decode_localization

    scores, classes, distances = maps([1, 2, 0, -1], CLASSES)
    distances -= 0.4  # boxes that stay inside
    outputs = {"scores_16": scores, "classes_16": classes, "distances_16": distances}
    parts = {part: [f"{part}_16"] for part in ("scores", "classes", "distances")}
    card = Card("localization", ["a", "b"], 32, 3, "stretch", [16], parts, "d", "0", {})
    found = decode_localization(outputs, card)
    logits, box = (value.numpy()[0] for value in vote(scores, classes, distances))
    np.testing.assert_allclose(found.box_xyxy, np.clip(box, 0, 32), rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)


def batch(box, label=0):
    return {"labels": np.array([[label]], np.int32), "boxes_xyxy": np.array([[box]], np.float32)}


def test_the_box_of_a_map_is_judged_by_giou():
    measure = LocalizationLoss(TrainConfig(data_dir="", output_dir=""), dataset({"a": 1, "b": 1}))
    scores, classes, distances = maps([7, 7, 7, 7])
    outputs = {"classes_16": classes, "scores_16": scores, "distances_16": distances}
    found = measure(outputs, batch([0, 0, 32, 16]))  # half of the box that is found: IoU and GIoU 0.5
    assert float(found["boxes"]) == pytest.approx(2 * 0.5, rel=1e-4)
    assert float(found["classes"]) == pytest.approx(math.log(2), rel=1e-5)
    assert float(measure(outputs, batch([0, 0, 32, 16], label=-1))["boxes"]) == 0


def test_the_box_of_study1_is_judged_by_its_squared_error_in_pixels():
    measure = LocalizationLoss(TrainConfig(data_dir="", output_dir=""), dataset({"a": 1, "b": 1}))
    outputs = {"classes": np.zeros((1, 2), np.float32), "box": np.array([[10, 10, 52, 50]], np.float32)}
    found = measure(outputs, batch([10, 14, 50, 50]))
    assert float(found["boxes"]) == pytest.approx((16 + 4) / 4)


@pytest.mark.parametrize("name", [name for name, tasks in BACKBONES.items() if "localization" in tasks])
def test_its_outputs_have_the_names_that_the_card_tells(name):
    config = ModelConfig(name=name, backbone=name, weights=None, pool_after=[1, 2, 3, 4, 5])
    task = learning_task("localization")
    outputs = build_model(config, "localization", 64, 3, 3)(np.zeros((2, 64, 64, 3), np.float32))
    assert set(outputs) == {name for names in task.output_names(config, 3).values() for name in names}
    assert len(task.strides(config)) == ("box" not in outputs)


@pytest.mark.parametrize(("pooled", "side"), [([1, 2, 3, 4, 5], 2), ([1, 3, 4, 5], 4)])
def test_study1_is_the_network_of_the_study(pooled, side):
    config = ModelConfig(name="study1", backbone="study1", weights=None, pool_after=pooled)
    model = build_model(config, "localization", 64, 3, 10)
    layers = [type(layer).__name__ for layer in model.layers]
    assert layers.count("Conv2D") == 5 and layers.count("BatchNormalization") == 4
    assert layers.count("MaxPooling2D") == len(pooled) and layers.count("Rescaling") == 1
    assert all(layer.filters == 32 for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert model.get_layer("flatten").output_shape == (None, side * side * 32)
    dense = {layer.name: layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)}
    assert dense == {"class_1": 128, "classes": 10, "box_1": 128, "box_2": 64, "box_3": 32, "box": 4}


def test_what_the_whole_image_says_of_the_class_counts_in_every_cell():
    model = build_model(ModelConfig(name="tiny", backbone="tiny", weights=None, width=8), "localization", 64, 3, 2)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    before = model(image)["classes_16"].numpy()
    model.get_layer("classes_image").bias.assign([0.0, 3.0])
    np.testing.assert_allclose(
        model(image)["classes_16"].numpy() - before, np.broadcast_to([0, 3], (1, 4, 4, 2)), atol=1e-5
    )
