"""Every network that is shipped, through quantization-aware training to int8."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from mirada.config import CheckQatConfig, ModelConfig, QatConfig, QuantizeConfig, TrackingConfig
from mirada.data.images import decode
from mirada.data.records import Dataset, load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model, float_operators
from mirada.inference.prediction import decode_outputs
from mirada.learning.devices import choose_devices
from mirada.learning.models import build_model, input_scaling, load_model
from mirada.learning.quantization import qat, tuning
from mirada.learning.quantization.conversion import convert
from mirada.learning.quantization.rounding import Range, RoundedLayer, input_range, round_weights
from mirada.learning.quantization.schemes import preflight, require_schemes
from mirada.learning.training import Trainer
from mirada.stages import quantize, train
from mirada.stages.checks import check_qat
from mirada.tasks import get_task
from tests.learning.conftest import write_dataset

TINY = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)
STUDY1 = ModelConfig(name="study1", backbone="study1", weights=None, pool_after=[1, 2, 3, 4, 5])
STUDY3 = ModelConfig(name="study3", backbone="study3", weights=None)
MCU = ModelConfig("mcu", "mcu", None, width=16, head_depth=1, head_stride=8, multiplier=0.5, stem_width=8)
LITE0 = ModelConfig(name="lite0", backbone="efficientnet_lite0", weights=None, width=16, dropout=0.2)
NETWORKS = [
    ("localization", STUDY1, 3),
    ("localization", replace(STUDY1, pool_after=[1, 3, 4, 5]), 3),
    ("classification", STUDY3, 1),
    ("detection", TINY, 3),
    ("localization", TINY, 3),
    ("detection", LITE0, 3),
    ("localization", LITE0, 3),
    ("classification", LITE0, 1),
    ("detection", MCU, 1),
]
NAMES = ["study1", "study1_code", "study3", "detector", "localizer", "lite0_detector", "lite0_localizer", "lite0_grey"]
NAMES += ["mcu_detector"]
LAYERS = keras.layers


def make_card(model: ModelConfig, task: str = "detection", channels: int = 3, size: int = 64) -> Card:
    scale, offset = input_scaling(model)
    return Card(
        task, ["a", "b"], size, channels, "letterbox", [], {}, "d", "x", {}, input_scale=scale, input_offset=offset
    )


def build(task: str, config: ModelConfig, channels: int, size: int = 64) -> keras.Model:
    """A network whose batch normalizations and biases are not what they were made with."""
    keras.utils.set_random_seed(0)
    model, rng = build_model(config, task, size, channels, 2), np.random.default_rng(0)
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, LAYERS.BatchNormalization):  # gamma, beta, mean, variance
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape) if i in (0, 3) else w + 0.2 for i, w in enumerate(weights)]
            )
        elif layer.name.startswith("backbone_0") or layer.name == "conv_1":
            layer.set_weights([w + 0.05 * rng.normal(size=w.shape) for w in weights])
    return model


def pictures(count: int, channels: int, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 8, 8, channels))
    return np.clip(
        tf.image.resize(coarse, (size, size)).numpy() + rng.normal(0, 8, (count, size, size, channels)), 0, 255
    )


def calibrated(model: keras.Model, card: Card, images: np.ndarray) -> keras.Model:
    network = qat.build_qat(model, card)
    inputs = images.astype(np.float32) * card.input_scale + card.input_offset
    qat.calibrate(network, model, [inputs[:4], inputs[4:]])
    return network


@pytest.mark.parametrize(("task", "config", "channels"), NETWORKS, ids=NAMES)
def test_every_layer_of_our_networks_has_a_scheme(task, config, channels):
    schemes = preflight(build_model(config, task, 64, channels, 2))
    require_schemes(schemes)
    kinds = {scheme.kind for scheme in schemes}
    assert ("Rescaling" in kinds) == (config.backbone == "study1") and ("LeakyReLU" in kinds) == (config is STUDY3)


def test_schemes_say_what_is_folded_fused_and_free_standing():
    image = keras.Input((8, 8, 3))
    x = LAYERS.Rescaling(1 / 255, name="rescale")(image)
    x = LAYERS.Conv2D(4, 3, name="conv")(x)
    x = LAYERS.BatchNormalization(name="bn")(x)
    x = LAYERS.ReLU(6.0, name="relu")(x)
    x = LAYERS.MaxPooling2D(name="pool")(x)
    x = LAYERS.BatchNormalization(name="free")(x)
    x = LAYERS.LeakyReLU(0.5, name="leaky")(x)
    x = LAYERS.Softmax(name="shares")(x)
    x = LAYERS.Softmax(axis=1, name="across")(x)
    assert {scheme.name: (scheme.role, scheme.text) for scheme in preflight(keras.Model(image, x))} == {
        "rescale": ("affine", "1x1 depthwise convolution, int8 weights; range of its output"),
        "conv": ("weights", "int8 weights, a scale a channel; range after bn"),
        "bn": ("folded", "folded into conv"),
        "relu": ("range", "range of its output"),
        "pool": ("through", "range of its input"),
        "free": ("affine", "1x1 depthwise convolution, int8 weights; range of its output"),
        "leaky": ("range", "range of its output"),
        "shares": ("shares", "range 0 to 255/256"),
        "across": (None, "not over the last axis; use axis=-1"),
    }


def unsupported() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(4, 3, activation="swish", name="swish")(image)
    x = LAYERS.LayerNormalization(name="norm")(x)
    x = LAYERS.Lambda(lambda x: x * 2, name="twice")(x)
    shared = LAYERS.Conv2D(4, 1, name="shared")
    return keras.Model(image, shared(shared(x)))


def test_layers_without_a_scheme_are_named_before_anything_is_built():
    model = unsupported()
    assert [scheme.name for scheme in preflight(model) if scheme.role is None] == ["swish", "norm", "twice", "shared"]
    with pytest.raises(MiradaError) as error:
        qat.build_qat(model, make_card(TINY))
    message = str(error.value)
    for part in (
        "swish (Conv2D: activation 'swish'; use ReLU",
        "norm (LayerNormalization: not computed in int8",
        "used at several",
    ):
        assert part in message
    assert message.endswith("change these layers, or leave qat out of quantize's variants.")


def test_a_user_checks_a_model_file(tmp_path, capsys):
    build("localization", STUDY1, 3).save(tmp_path / "good.keras")
    check_qat.run(CheckQatConfig(str(tmp_path / "good.keras")))
    assert "all 22 layers have an int8 scheme" in capsys.readouterr().out
    image = keras.Input((8, 8, 3))
    keras.Model(image, LAYERS.LayerNormalization(name="norm")(image)).save(tmp_path / "bad.keras")
    with pytest.raises(MiradaError, match=r"No int8 scheme for norm \(LayerNormalization: "):
        check_qat.run(CheckQatConfig(str(tmp_path / "bad.keras")))
    assert "LayerNormalization" in capsys.readouterr().out
    with pytest.raises(MiradaError, match=r"no\.keras: there is no such file"):
        check_qat.run(CheckQatConfig(str(tmp_path / "no.keras")))
    (tmp_path / "torn.keras").write_bytes(b"no zip")
    with pytest.raises(MiradaError, match=r"torn\.keras can't be read"):
        check_qat.run(CheckQatConfig(str(tmp_path / "torn.keras")))


def test_weights_are_rounded_channel_by_channel():
    weights = tf.constant([[1.27, 127.0], [0.014, -63.6]])  # steps of 0.01 and of 1
    np.testing.assert_allclose(round_weights(weights, (0,)), [[1.27, 127.0], [0.01, -64.0]], rtol=1e-6)


def test_the_input_range_is_the_cards():
    assert input_range(make_card(STUDY1)) == (0.0, 255.0)
    assert input_range(make_card(TINY)) == pytest.approx((-127 / 127.5, 128 / 127.5))


def test_ranges_are_the_mean_of_the_batches_and_outputs_keep_the_extremes():
    image = keras.Input((4, 4, 1))
    twice = LAYERS.Conv2D(1, 1, weights=[np.full((1, 1, 1, 1), 2.0), np.array([0.0])], name="twice")(image)
    half = LAYERS.Conv2D(1, 1, weights=[np.full((1, 1, 1, 1), 0.5), np.array([-1.0])], name="half")(twice)
    model = keras.Model(image, {"half": half})
    network = qat.build_qat(model, make_card(TINY, channels=1, size=4))
    batches = [np.full((2, 4, 4, 1), value, np.float32) for value in (1.0, 3.0)]
    qat.calibrate(network, model, batches)
    assert network.get_layer("twice_range").get_weights() == [0.0, 4.0]  # 2 and 6; zero always belongs to a range
    assert network.get_layer("half_range").get_weights() == [0.0, 2.0]  # 0 and 2


def test_frozen_layers_stay_frozen_and_the_rescaling_is_never_trained():
    model = build("localization", STUDY1, 3)
    model.get_layer("conv_2").trainable = False
    network = qat.build_qat(model, make_card(STUDY1))
    trained = {variable.name.split("/")[0] for variable in network.trainable_variables}
    assert trained == {layer.name for layer in model.layers if layer.trainable_weights}
    assert all(variable.dtype.is_floating for variable in network.variables)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "config", "channels"), [NETWORKS[i] for i in (1, 2, 3, 7)], ids=[NAMES[i] for i in (1, 2, 3, 7)]
)
def test_the_file_computes_what_the_network_does(task, config, channels, tmp_path):
    card, model, images = make_card(config, task, channels), build(task, config, channels), pictures(8, channels)
    network = calibrated(model, card, images)
    path = tmp_path / "qat.tflite"
    path.write_bytes(convert(qat.to_convertible(network), "qat", list))
    assert float_operators(path) == []
    card.outputs = {name: [name] for name in model.output}
    tflite = Model(path, card)
    for image in images[:2].astype(np.uint8):
        found = tflite.predict(image)
        inputs = image[None].astype(np.float32) * card.input_scale + card.input_offset
        wanted, original = network(inputs, training=False), model(inputs, training=False)
        for name in wanted:
            step = tflite._outputs[name]["quantization"][0]
            assert np.abs(found[name] - wanted[name]).mean() < 4 * step, name
            assert np.abs(wanted[name] - original[name]).mean() < 16 * step, name


def test_the_files_scales_are_those_of_training(tmp_path):
    """A scale a channel, of depthwise and dense layers too, and biases that are alike for all channels come through."""
    image = keras.Input((8, 8, 4))
    x = LAYERS.DepthwiseConv2D(3, name="depthwise", bias_initializer=lambda shape, dtype=None: tf.fill(shape, 0.5))(
        image
    )
    x = LAYERS.ReLU(name="relu")(x)
    x = LAYERS.Dense(3, name="dense")(LAYERS.Flatten()(x))
    model = keras.Model(image, {"dense": x})
    kernel = model.get_layer("depthwise").get_weights()[0] * np.array([1, 10, 0.1, 3]).reshape(1, 1, 4, 1)
    model.get_layer("depthwise").set_weights([kernel, np.full(4, 0.5)])
    card = make_card(TINY, channels=4, size=8)
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 4)).astype(np.uint8)
    network = calibrated(model, card, images)
    path = tmp_path / "qat.tflite"
    path.write_bytes(convert(qat.to_convertible(network), "qat", list))
    from ai_edge_litert.interpreter import Interpreter

    details = [entry["quantization_parameters"] for entry in Interpreter(str(path)).get_tensor_details()]
    scales = [entry["scales"] for entry in details if len(entry["scales"]) > 1]
    for wanted in (np.abs(kernel).max((0, 1)).ravel(), np.abs(model.get_layer("dense").get_weights()[0]).max(0)):
        assert any(len(found) == len(wanted) and np.allclose(found, wanted / 127, rtol=1e-5) for found in scales)
    card.outputs = {"dense": ["dense"]}
    tflite = Model(path, card)
    wanted = network(images[:1] / np.float32(127.5) - 1, training=False)["dense"]
    assert np.abs(tflite.predict(images[0])["dense"] - wanted).max() < 2.5 * tflite._outputs["dense"]["quantization"][0]


def trained(folder: Path, task: str, config: ModelConfig, **settings) -> QuantizeConfig:
    """A model trained on squares, and the settings to quantize it."""
    from mirada.config import AugmentConfig, InputConfig, TrainConfig

    images = settings.pop("images", 8)
    dataset = write_dataset(folder / "data", task=task, train=images, val=4)
    plain = AugmentConfig(scale_min=1.0, scale_max=1.0, brightness=0, contrast=0, saturation=0, hue=0)
    off = TrackingConfig(enabled=False)
    values = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.0} | settings
    train.run(TrainConfig(config, plain, InputConfig(), off, str(dataset.folder), str(folder / "train"), **values))
    out = str(folder / "quantize")
    return QuantizeConfig(off, str(folder / "train"), str(dataset.folder), out, ["float32", "qat"])


def settle_batch_norms(path: Path, dataset: Dataset) -> None:
    """After so few steps, moving averages of momentum 0.99 still hold much of what they began with."""
    model = load_model(path)
    images = np.stack([decode(example.image, 3) for example in dataset.examples("train")]).astype(np.float32)
    for layer in model.layers:
        if isinstance(layer, LAYERS.BatchNormalization):
            layer.momentum = 0.5
    forward = tf.function(lambda: model(images, training=True))
    for _ in range(30):
        forward()
    model.save(path)


@pytest.mark.slow
def test_study1s_network_keeps_its_accuracy_through_qat_to_int8(tmp_path, capsys):
    """The published network on easy data: what float32 tells and where it puts the box, int8 does as well."""
    steps = {"epochs": 40, "batch_size": 4, "images": 16, "val_every": 40, "clip_norm": 0.0, "learning_rate": 3e-3}
    config = trained(tmp_path, "localization", STUDY1, ema_decay=0.9, **steps)
    settle_batch_norms(Path(config.model_dir) / "model.keras", load_dataset(config.data_dir))
    quantize.run(config)
    entries = json.loads((tmp_path / "quantize/variants.json").read_text())["variants"]
    tuning_figures = entries[1]["tuning"]
    assert tuning_figures["epochs"] == 2 and tuning_figures["best_epoch"] in (0, 1, 2)
    assert "qat calibrated: val loc_accuracy" in capsys.readouterr().out
    with (tmp_path / "quantize/layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["variant"] for row in rows} == {"qat"} and all(float(row["hurt"]) < 0.5 for row in rows)
    assert not list((tmp_path / "quantize").glob("*part*"))
    card, dataset = load_card(config.model_dir), load_dataset(config.data_dir)
    task, examples = get_task("localization"), [*dataset.examples("val"), *dataset.examples("train")]
    figures, answers = {}, {}
    for name in ("float32", "qat"):
        model = Model(tmp_path / f"quantize/{name}.tflite", card)
        answers[name] = [model.predict(decode(example.image, 3)) for example in examples]
        predictions = [decode_outputs(answer, card) for answer in answers[name]]
        figures[name] = task.evaluate(examples, predictions, card.labels).figures
    assert figures["float32"]["loc_accuracy"] >= 0.9, "the float network must have learnt, or nothing is shown"
    assert figures["qat"]["loc_accuracy"] >= figures["float32"]["loc_accuracy"] - 0.051  # one image of twenty
    assert figures["qat"]["mean_iou"] >= figures["float32"]["mean_iou"] - 0.05
    assert float_operators(tmp_path / "quantize/qat.tflite") == []


@pytest.mark.slow
def test_two_replicas_tune_to_the_loss_of_one(tmp_path):
    """Each replica's ranges follow its own half of the batch, so the losses differ a little: by at most 1 % here."""
    config = trained(tmp_path, "classification", TINY)
    dataset, card = load_dataset(config.data_dir), load_card(config.model_dir)
    model = load_model(Path(config.model_dir) / "model.keras")
    images = (
        np.stack([decode(example.image, 3) for example in dataset.examples("train")]).astype(np.float32) / 127.5 - 1
    )
    losses, note = {}, lambda rows, epoch, row: rows.append(row)
    for gpus in (1, 2):
        settings = tuning.training_config(card, QatConfig(3, 1e-2, gpus=gpus), config.data_dir, tmp_path / str(gpus))
        reported = []
        tuning.tune(model, card, dataset, settings, choose_devices(gpus), [images], partial(note, reported))
        losses[gpus] = [row["loss"] for row in reported[1:]]
    assert len(losses[1]) == 3 and losses[2] == pytest.approx(losses[1], rel=0.01)
    assert losses[1][2] != pytest.approx(losses[1][0], rel=0.02), "training changed nothing, so nothing is shown"


@pytest.mark.slow
def test_the_calibrated_network_is_kept_where_training_makes_it_worse(tmp_path, monkeypatch):
    config = trained(tmp_path, "classification", TINY)
    dataset, card = load_dataset(config.data_dir), load_card(config.model_dir)
    model = load_model(Path(config.model_dir) / "model.keras")
    values = iter([0.9, 0.5, 0.8])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"val_accuracy": next(values)})
    settings = tuning.training_config(card, QatConfig(2, 1e-2), config.data_dir, tmp_path / "checkpoints")
    images = np.zeros((4, 64, 64, 3), np.float32)
    tuned = tuning.tune(model, card, dataset, settings, choose_devices(1), [images])
    assert (tuned.best_epoch, tuned.before, tuned.after) == (0, {"val_accuracy": 0.9}, {"val_accuracy": 0.9})
    kernels = {layer.name: layer.get_weights()[0] for layer in tuned.network.layers if isinstance(layer, RoundedLayer)}
    np.testing.assert_array_equal(kernels["classes"], model.get_layer("classes").get_weights()[0])
    assert any(isinstance(layer, Range) for layer in tuned.network.layers)
