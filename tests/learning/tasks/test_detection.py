import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card, load_card
from mirada.inference.engine import Engine
from mirada.inference.litert import float_operators
from mirada.learning.backbones import STRIDES
from mirada.learning.layers import makes_output
from mirada.learning.models import build_model, load_model
from mirada.learning.quantization.compression import compressed_layers
from mirada.learning.quantization.conversion import convert
from mirada.learning.quantization.qat import build_qat, calibrate, to_convertible
from mirada.learning.step import adapt
from mirada.learning.tasks import detection
from mirada.learning.tasks.box_bins import with_bins
from mirada.learning.tasks.cells import cell_centres
from mirada.learning.tasks.class_loss import ClassEntropy
from mirada.learning.tasks.detection import DetectionLoss, build_outputs, make_loss, make_teaching
from mirada.stages import train

BINS = ModelConfig("tiny", "tiny", None, width=8, head_depth=1, head_stride=8, dfl_bins=8, scores="class_wise")


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


def test_a_detector_has_neither_bins_nor_class_scores_unless_told() -> None:
    config = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)
    model = keras.Model(image := keras.Input((64, 64, 1)), build_outputs(config, image, 2))
    maps = {f"{part}_{stride}" for part in ("objectness", "classes", "distances") for stride in STRIDES}
    last = [layer for layer in model.layers if makes_output(layer, model.output_names)]
    assert {layer.name for layer in last} == maps and {type(layer) for layer in last} == {keras.layers.Conv2D}
    assert with_bins(model) is model


def test_bins_add_a_quarter_of_their_cross_entropy_to_the_loss_of_boxes() -> None:
    goal, loss = targets([[21, 21, 27, 27]], [0]), DetectionLoss(64, 1, levels=[16])  # for the cell at (24, 24) alone
    maps = {name: values for name, values in outputs(64, 1).items() if name.endswith("_16")}
    numbers = float(loss(maps, goal)["boxes"])
    maps["distances_16_bins"] = np.zeros((1, 4, 4 * 4, 8), np.float32)
    assert float(loss(maps, goal)["boxes"]) == pytest.approx(numbers + np.log(8) / 4, rel=1e-5)
    # 3 pixels to each side are 3/16 strides; eight bins from -2 to 32 / 16 + 1.5
    place = (np.log(np.expm1(3 / 16)) + 2) / (5.5 / 7)
    assert 0 < place < 1
    maps["distances_16_bins"].reshape(4, 4, 4, 8)[1, 1] = [50, *[-50] * 7]
    assert float(loss(maps, goal)["boxes"]) == pytest.approx(numbers + 100 * place / 4, rel=1e-4)


def test_class_wise_each_score_is_held_against_its_class_and_objectness_costs_nothing() -> None:
    loss = DetectionLoss(64, 2, levels=[16], by_class=True)
    maps = {name: values for name, values in outputs(64, 2, distance=float(np.log(np.expm1(3 / 16)))).items()
            if name.endswith("_16")}  # fmt: skip
    maps["classes_16"][:] = (0, 64 * np.log(3))  # sigmoids 1/2 and 3/4, as the map has 64 times the logits
    parts = loss(maps, targets([[21, 21, 27, 27]], [1]))  # the cell at (24, 24) has exactly that box
    first = 16 * 0.25 * np.log(2)
    second = 15 * 0.75**2 * np.log(4) + 0.25**2 * np.log(4 / 3)
    assert float(parts["classes"]) == pytest.approx(2 * (first + second), rel=1e-4)
    assert float(parts["objectness"]) == 0 and float(parts["positives"]) == 1
    ignored = loss(maps, targets([[-1, -1, 65, 65]], [1], [True]))
    assert float(ignored["classes"]) == 0


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


def test_a_teacher_of_another_size_teaches_by_its_detections() -> None:
    """Its box has 40 pixels of its 128, on stride 8; of the student's 64 that is 20, for the cells around its centre."""
    card = Card("detection", ["a", "b"], 128, 3, "letterbox", list(STRIDES), {}, "d", "0", {}, min_score=0.3)
    data = Dataset("", "d", "detection", ["a", "b"], 64, 3, "letterbox", {"train": {}}, "", {})
    maps = outputs(128, 2, distance=float(np.log(np.expm1(2.5))))  # 20 pixels to each side on stride 8
    maps["objectness_8"][0, 8, 8] = np.log(3)  # sigmoid: 3/4; centre (68, 68)
    maps["classes_8"][0, 8, 8] = (0, 5)
    maps["objectness_8"][0, 2, 2] = np.log(3)  # with both classes alike its score is 3/8
    maps["objectness_8"][0, 8, 2] = np.log(1 / 3)  # 1/8, less than min_score
    teaching = make_teaching(TrainConfig(data_dir="", output_dir=""), data, card)
    taught = {name: value.numpy()[0] for name, value in teaching.read(maps).items()}
    points, strides, _ = cell_centres(64)
    for centre, logits in (((34, 34), (0, 5)), ((10, 10), (0, 0))):
        near = (np.abs(points - centre).max(1) <= 1.5 * strides) & (np.abs(points - centre).max(1) < 10)
        near &= strides == 8  # the only level for 20 pixels
        assert near.any() and taught["taught_scores"][near] == pytest.approx(0.75)
        x, y = centre
        assert taught["taught_boxes"][near] == pytest.approx(np.array([[x - 10, y - 10, x + 10, y + 10]] * near.sum()))
        assert (taught["taught_classes"][near] == logits).all()
    sure = taught["taught_scores"] > 0
    assert not sure[strides > 8].any() and not sure[np.abs(points - (10, 34)).max(1) < 8].any()


@pytest.mark.slow
def test_bins_and_class_scores_train_become_int8_and_are_decoded(train_config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(detection, "DISTRIBUTION_WEIGHT", 1000.0)
    train.run(replace(train_config, model=BINS, epochs=1, assigner="task_aligned", batch_size=6))  # two steps
    model, card = load_model(tmp_path / "train" / "model.keras"), load_card(tmp_path / "train")
    with (tmp_path / "train" / "history.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["boxes"]) > 100 and float(row["classes"]) > 0 and float(row["objectness"]) == 0
    assert np.abs(model.get_layer("distances_8_bins").get_weights()[1]).max() > 1e-4
    bins = np.linspace(-2, 64 / 2 / 8 + 1.5, 8)
    np.testing.assert_allclose(model.get_layer("distances_8_mean").get_weights()[0].reshape(-1), bins, rtol=1e-5)
    wanted = {part: [f"{part}_8"] for part in ("objectness", "classes", "distances")}
    assert card.outputs == wanted and set(model.output) == {name for names in wanted.values() for name in names}

    kernel, bias = model.get_layer("classes_8_logits").get_weights()
    model.get_layer("classes_8_logits").set_weights([kernel, bias + (0, 6)])  # surer than two steps can make it
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    inputs = (pixels / 127.5 - 1).astype(np.float32)[None]
    expected = {name: value.numpy() for name, value in model(inputs).items()}
    rounded = build_qat(model, card)
    calibrate(rounded, model, [inputs])
    networks = {"float32": model, "int8": model, "qat": to_convertible(rounded)}
    for variant, network in networks.items():
        path = tmp_path / f"{variant}.tflite"
        path.write_bytes(convert(network, variant, lambda: [pixels]))
        engine = Engine(path, card)
        outputs, found = engine.model.predict(pixels), engine.predict(pixels).prediction
        near = 1e-4 if variant == "float32" else 0.05
        np.testing.assert_allclose(outputs["distances_8"], expected["distances_8"], atol=near)
        best = expected["classes_8"].max() / 64
        assert best > 1 and found.scores[0] == pytest.approx(1 / (1 + np.exp(-best)), abs=near)
        assert len(found) > 1 and set(found.labels) == {1}
        assert variant == "float32" or float_operators(path) == []


def test_what_makes_a_map_stays_as_it_is_when_others_get_fewer_bits_or_are_pruned() -> None:
    model = build_model(BINS, "detection", 64, 3, 2)
    assert not any(makes_output(model.get_layer(name), model.output_names) for name in compressed_layers(model))
    kinds = {layer.name: layer.dtype_policy.name for layer in adapt(model, "bf16", False, False).layers}
    assert {kinds.pop(layer.name) for layer in model.layers if makes_output(layer, model.output_names)} == {"float32"}
    assert kinds["box_8_0_conv"] == "mixed_bfloat16"
