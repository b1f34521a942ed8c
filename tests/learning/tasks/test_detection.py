from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.learning.backbones import STRIDES
from mirada.learning.tasks.class_loss import ClassEntropy
from mirada.learning.tasks.detection import DetectionLoss, build_outputs, cell_centres, make_loss


def targets(boxes, labels, ignore=None):
    ignore = [False] * len(labels) if ignore is None else ignore
    return {
        "boxes_xyxy": np.array([boxes], np.float32),
        "labels": np.array([labels], np.int32),
        "ignore": np.array([ignore]),
    }


def outputs(side, classes, objectness=-20.0, distance=0.0):
    maps = {}
    for stride in STRIDES:
        cells = side // stride
        maps[f"objectness_{stride}"] = np.full((1, cells, cells, 1), objectness, np.float32)
        maps[f"distances_{stride}"] = np.full((1, cells, cells, 4), distance, np.float32)
        if classes > 1:
            maps[f"classes_{stride}"] = np.zeros((1, cells, cells, classes), np.float32)
    return maps


def test_cell_centres_of_64_pixels():
    points, strides, _ = cell_centres(64)
    assert points.shape == (64 + 16 + 4, 2)
    assert points[0].tolist() == [4, 4] and points[1].tolist() == [12, 4]
    assert points[64].tolist() == [8, 8] and strides[64] == 16
    assert points[-1].tolist() == [48, 48]


def test_one_level_answers_for_boxes_of_every_size():
    points, strides, ranges = cell_centres(64, [16])
    assert points.tolist() == [[x, y] for y in (8, 24, 40, 56) for x in (8, 24, 40, 56)]
    assert set(strides.tolist()) == {16} and ranges[:, 0].max() == 0 and ranges[:, 1].min() > 1e6
    maps = {name: values for name, values in outputs(64, 1).items() if name.endswith("_16")}
    loss = DetectionLoss(64, 1, levels=[16])
    # cells centred inside a box and at most 24 pixels from its centre
    assert float(loss(maps, targets([[21, 21, 27, 27]], [0]))["positives"]) == 1
    assert float(loss(maps, targets([[-100, -100, 148, 148]], [0]))["positives"]) == 9


@pytest.mark.parametrize("stride", [8, 16])
def test_a_grid_head_gives_one_map_a_part_that_sees_the_coarse_features_too(stride):
    config = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1, head_stride=stride)
    image = keras.Input((64, 64, 1))
    model = keras.Model(image, build_outputs(config, image, 3))
    cells = 64 // stride
    assert {name: tuple(map_.shape) for name, map_ in model.output.items()} == {
        f"objectness_{stride}": (None, cells, cells, 1),
        f"classes_{stride}": (None, cells, cells, 3),
        f"distances_{stride}": (None, cells, cells, 4),
    }
    assert "backbone_5_conv" in [layer.name for layer in model.layers]


def test_an_ignored_region_costs_nothing_however_sure_the_network_is():
    loss = DetectionLoss(64, 1)
    everywhere = targets([[-1, -1, 65, 65]], [0], [True])
    assert float(loss(outputs(64, 1, objectness=20.0), everywhere)["objectness"]) == 0
    nothing = targets([[0, 0, 0, 0]], [-1], [True])
    assert float(loss(outputs(64, 1, objectness=20.0), nothing)["objectness"]) > 100


def test_perfect_boxes_and_classes_cost_nothing():
    loss = DetectionLoss(64, 2)
    # at (20, 20) on stride 8, softplus(d) * 8 = 8 on all sides gives the box (12, 12, 28, 28)
    maps = outputs(64, 2, distance=float(np.log(np.expm1(1.0))))
    for stride in STRIDES:
        maps[f"classes_{stride}"][..., 1] = 30.0
    parts = loss(maps, targets([[12, 12, 28, 28]], [1]))
    assert float(parts["classes"]) == pytest.approx(0, abs=1e-5)
    exact = float(parts["positives"])
    assert exact > 0
    wrong = loss(maps, targets([[12, 12, 28, 28]], [0]))
    assert float(wrong["classes"]) == pytest.approx(30 * exact, rel=1e-3)


def class_cost(label, entropy, logits=(0.0, 0.0)):
    """The class part of the loss, a positive cell."""
    maps = outputs(64, 2)
    for stride in STRIDES:
        maps[f"classes_{stride}"][:] = logits
    parts = DetectionLoss(64, 2, entropy)(maps, targets([[12, 12, 28, 28]], [label]))
    return float(parts["classes"]) / float(parts["positives"])


def test_a_rare_class_of_objects_counts_as_much_as_a_frequent_one():
    plain, fair = ClassEntropy([30, 10]), ClassEntropy([30, 10], "loss")  # weights 40 / (2 * 30) and 40 / (2 * 10)
    assert class_cost(0, plain) == pytest.approx(np.log(2), rel=1e-5)
    assert class_cost(0, fair) == pytest.approx(2 / 3 * np.log(2), rel=1e-5)
    assert class_cost(1, fair) == pytest.approx(2 * np.log(2), rel=1e-5)


def test_smoothed_labels_of_objects_punish_certainty():
    assert class_cost(0, ClassEntropy([1, 1]), (20.0, 0.0)) == pytest.approx(0, abs=1e-5)
    # 0.95 * 0 + 0.05 * 20
    assert class_cost(0, ClassEntropy([1, 1], smoothing=0.1), (20.0, 0.0)) == pytest.approx(1.0, rel=1e-4)


def test_logits_of_objects_are_multiplied_by_their_classes_shares():
    found = class_cost(1, ClassEntropy([30, 10], "logits"), (4.0, 4.0))
    assert found == pytest.approx(np.log(1 + np.exp(3 - 1)), rel=1e-5)


def test_the_settings_reach_the_loss_of_a_detector():
    config = TrainConfig(data_dir="", output_dir="", class_weight="loss", label_smoothing=0.2)
    data = Dataset(
        folder=Path(), name="x", task="detection", classes=["a", "b"], input_size=64, channels=3, fit="letterbox",
        splits={"train": {"per_class": {"a": 30, "b": 10}}}, digest="", about={},
    )  # fmt: skip
    made = make_loss(config, data)
    assert made.entropy.weights.numpy().tolist() == pytest.approx([2 / 3, 2])
    # label b, logits (20, 0): 2 * (0.9 * 20 + 0.1 * 0)
    assert float(made.entropy(np.array([[20.0, 0.0]], "f4"), np.array([1]))[0]) == pytest.approx(36, rel=1e-4)


def test_a_task_aligned_loss_of_perfect_boxes_is_that_of_their_scores():
    loss = DetectionLoss(64, 2, assigner="task_aligned")
    maps = outputs(64, 2, objectness=0.0, distance=float(np.log(np.expm1(1.0))))
    goal = targets([[12, 12, 28, 28]], [1])
    # Cells with their centre in it: on stride 8 (20, 20), whose box is exactly it; on stride 16 (24, 24), whose box of 32
    # pixels holds it, 16 * 16 / (32 * 32); on stride 32 (16, 16), 16 * 16 / (64 * 64).
    ious = np.array([1, 1 / 4, 1 / 16])
    quality = ious**6  # all scores are alike, and the best IoU is 1
    parts = loss(maps, goal)
    assert float(parts["positives"]) == pytest.approx(quality.sum(), rel=1e-5)
    assert float(parts["classes"]) == pytest.approx(np.log(2) * quality.sum(), rel=1e-5)
    # score 0.5 everywhere: |target - 0.5| ** 2 times a cross-entropy of log 2, twice as heavy, over 84 cells
    focal = ((quality - 0.5) ** 2).sum() + 0.25 * (84 - len(ious))
    assert float(parts["objectness"]) == pytest.approx(2 * np.log(2) * focal, rel=1e-5)


def test_a_box_loss_of_ciou_is_one_less_the_overlap():
    # at (20, 20) a box of 16 around it; the truth is 4 further right: IoU 12 * 16 / (2 * 256 - 192) = 0.6
    maps = outputs(64, 1, distance=float(np.log(np.expm1(1.0))))
    goal = targets([[16, 12, 32, 28]], [0])
    giou, ciou = (float(DetectionLoss(64, 1, box_loss=kind)(maps, goal)["boxes"]) for kind in ("giou", "ciou"))
    points, strides, _ = cell_centres(64)
    away = np.abs(points - [24, 20]).max(1)
    inside = (np.abs(points - [24, 20]) < 8).all(1)
    cells = np.flatnonzero(inside & (away <= 1.5 * strides) & (strides < 16))  # 16 pixels are for stride 8 alone
    assert len(cells) > 1
    wanted = {"giou": 0.0, "ciou": 0.0}
    for x, y in points[cells]:
        both = (16 - abs(x - 24)) * (16 - abs(y - 20))
        width, height = 16 + abs(x - 24), 16 + abs(y - 20)
        union = 512 - both
        wanted["giou"] += 2 * (1 - both / union + (width * height - union) / (width * height))
        wanted["ciou"] += 2 * (1 - both / union + ((x - 24) ** 2 + (y - 20) ** 2) / (width**2 + height**2))
    assert (giou, ciou) == (pytest.approx(wanted["giou"], rel=1e-4), pytest.approx(wanted["ciou"], rel=1e-4))
