"""Classification's loss, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from mirada.config import TrainConfig
from mirada.data.records import Dataset
from mirada.learning.tasks.classification import ClassificationLoss


def dataset(per_class: dict[str, int]) -> Dataset:
    splits = {"train": {"images": sum(per_class.values()), "per_class": per_class}}
    return Dataset("", "d", "classification", list(per_class), 64, 3, "letterbox", splits, "", {})


def loss(logits, labels, per_class=None, **settings):
    config = TrainConfig(data_dir="", output_dir="", **settings)
    batch = {"labels": np.array(labels, np.int32)[:, None]}
    measure = ClassificationLoss(config, dataset(per_class or {"a": 1, "b": 1}))
    return {k: float(v) for k, v in measure({"classes": np.array(logits, np.float32)}, batch).items()}


def test_cross_entropy_is_summed_over_the_images_that_have_a_label():
    found = loss([[0, 0], [math.log(3), 0], [5, 5]], [0, 0, -1])
    assert found == pytest.approx({"classes": math.log(2) + math.log(4 / 3), "positives": 2}, rel=1e-5)


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    per_class = {"a": 30, "b": 10}  # weights 40 / (2 * 30) and 40 / (2 * 10)
    assert loss([[0, 0]], [0], per_class, class_weight="loss")["classes"] == pytest.approx(
        2 / 3 * math.log(2), rel=1e-5
    )
    assert loss([[0, 0]], [1], per_class, class_weight="loss")["classes"] == pytest.approx(2 * math.log(2), rel=1e-5)


def test_logits_are_multiplied_by_their_classes_shares_as_the_third_study_did():
    found = loss([[4, 4]], [1], {"a": 30, "b": 10}, class_weight="logits")["classes"]
    assert found == pytest.approx(math.log(1 + math.exp(3 - 1)), rel=1e-5)


def test_smoothed_labels_punish_certainty():
    assert loss([[20, 0]], [0])["classes"] == pytest.approx(0, abs=1e-5)
    assert loss([[20, 0]], [0], label_smoothing=0.1)["classes"] == pytest.approx(0.05 * 20, rel=1e-4)


def test_a_mixed_image_costs_each_label_by_its_share():
    measure = ClassificationLoss(TrainConfig(data_dir="", output_dir=""), dataset({"a": 1, "b": 1}))
    batch = {
        "labels": np.array([[0], [0]]), "mixed_label": np.array([1, 1]), "mixed_share": np.array([0.25, 0.0], np.float32),
    }  # fmt: skip
    found = float(measure({"classes": np.array([[math.log(3), 0]] * 2, np.float32)}, batch)["classes"])
    # log(4 / 3) for the first label, log 4 for the second
    assert found == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4) + math.log(4 / 3), rel=1e-5)


def test_its_outputs_have_the_names_that_the_card_tells():
    from mirada.config import BACKBONES, ModelConfig
    from mirada.learning.models import build_model

    for name in (name for name, tasks in BACKBONES.items() if "classification" in tasks):
        config = ModelConfig(name=name, backbone=name, weights=None, pool_after=[1, 2, 3, 4, 5])
        outputs = build_model(config, "classification", 64, 1, 3)(np.zeros((2, 64, 64, 1), np.float32))
        assert {key: value.shape for key, value in outputs.items()} == {"classes": (2, 3)}
