"""Steps that are not the default one: several batches, 16 bits, XLA, statistics over replicas."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from mirada.config import InputConfig, TrainConfig
from mirada.data.records import load_dataset
from mirada.errors import MiradaError
from mirada.inference.litert import float_operators
from mirada.learning.devices import choose_devices
from mirada.learning.models import load_model
from mirada.learning.quantization.conversion import convert
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from mirada.stages import train
from tests.learning.conftest import write_dataset


@pytest.fixture
def config(train_config, tmp_path):
    """Of a classifier, which is made in a moment."""
    dataset = write_dataset(tmp_path / "classes", task="classification", train=16, val=0)
    return replace(train_config, data_dir=str(dataset.folder), batch_size=8, input=InputConfig(), epochs=1)


def make_trainer(config: TrainConfig, build=None) -> Trainer:
    dataset = load_dataset(config.data_dir)
    return Trainer(config, dataset, choose_devices(config.gpus), make_card(config, dataset), build)


def losses_of(trainer: Trainer, epochs: int = 1) -> list[float]:
    return [trainer.train_epoch(epoch)["loss"] for epoch in range(epochs)]


def plain_network() -> keras.Model:
    """Without batch statistics."""
    image = keras.Input((64, 64, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 4, activation="relu", name="backbone_conv")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, {"classes": keras.layers.Dense(2, name="classes")(x)})


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_accumulated_batches_are_one_large_batch(config, gpus):
    large = make_trainer(config, plain_network)
    small = make_trainer(replace(config, batch_size=4, accumulate=2, gpus=gpus), plain_network)
    other = make_trainer(replace(config, batch_size=4), plain_network)
    assert large.input.steps == small.input.steps == 2 and other.input.steps == 4
    assert losses_of(small, 3) == pytest.approx(losses_of(large, 3), rel=1e-5)
    losses_of(other, 3)
    assert small.state.step == large.state.step == 6
    for ours, theirs in zip(small.model.get_weights(), large.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    apart = [np.abs(a - b).max() for a, b in zip(other.model.get_weights(), large.model.get_weights(), strict=True)]
    assert max(apart) > 1e-4


def test_an_epoch_is_whole_steps(config):
    with pytest.raises(
        MiradaError, match="16 training images, fewer than batch_size=8 times accumulate=3: .* 5 or less"
    ):
        train.run(replace(config, accumulate=3))
    with pytest.raises(MiradaError, match="fewer than batch_size=8 times accumulate=17: set accumulate to 2 or less"):
        train.run(replace(config, accumulate=17))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_compute_but_do_not_stay(precision, config, tmp_path, capsys):
    full, half = (replace(config, precision=p, output_dir=str(tmp_path / p)) for p in ("fp32", precision))
    trainers = [make_trainer(full), make_trainer(half)]
    layers = {layer.name: layer.compute_dtype for layer in trainers[1].model.layers}
    wanted = {"bf16": "bfloat16", "fp16": "float16"}[precision]
    assert layers["backbone_3_conv"] == wanted and layers["classes"] == "float32"
    assert {weight.dtype for weight in trainers[1].model.get_weights()} == {np.dtype("float32")}
    assert losses_of(trainers[1]) == pytest.approx(losses_of(trainers[0]), rel=0.02)
    train.run(half)
    assert f"precision={precision} saves time on a GPU" in capsys.readouterr().out
    written = load_model(tmp_path / precision / "model.keras")
    assert {layer.compute_dtype for layer in written.layers} == {"float32"}
    operators = []
    for model in (written, trainers[0].average):
        (tmp_path / "model.tflite").write_bytes(convert(model, "float32", lambda: []))
        operators.append([text.split()[0] for text in float_operators(tmp_path / "model.tflite")])
    assert operators[0] == operators[1] != []


def test_a_step_that_overflows_in_float16_is_left_out(config):
    trainer = make_trainer(replace(config, precision="fp16", freeze_epochs=0), plain_network)
    weights = trainer.model.get_weights()
    trainer.step.scale = 2.0**60
    batch = next(iter(trainer.input.epoch(0)))
    loss = trainer.step([batch], 0.5, False)[0]
    assert np.isfinite(loss) and trainer.step.scale == 2.0**59
    for before, after in zip(weights, trainer.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    trainer.step.scale = 2.0**10
    assert trainer.step([batch], 0.5, False)[0] == pytest.approx(loss, rel=1e-6)  # nothing was left of the other one
    assert trainer.step.scale == 2.0**10
    assert any((a != b).any() for a, b in zip(weights, trainer.model.get_weights(), strict=True))


def test_the_scale_of_float16_is_resumed(config, tmp_path):
    trainer = make_trainer(replace(config, precision="fp16"), plain_network)
    trainer.step.scale = 2.0**7
    list(trainer.fit())
    again = make_trainer(replace(config, precision="fp16"), plain_network)
    assert again.restore() and again.step.scale == trainer.step.scale == 2.0**7


@pytest.mark.slow
def test_xla_computes_the_same(config, tmp_path):
    """With a map that is enlarged: XLA can't differentiate Keras' own layer for that."""
    config = replace(config, data_dir=str(write_dataset(tmp_path / "boxes", task="localization").folder), batch_size=4)
    plain, compiled = make_trainer(config), make_trainer(replace(config, xla=True))
    assert losses_of(compiled) == pytest.approx(losses_of(plain), rel=1e-3)
    assert compiled.step._differentiate.function_spec is not None  # it is a compiled function


def test_xla_over_replicas_refuses_common_statistics(config):
    with pytest.raises(MiradaError, match="xla=true compiles what one replica computes .* sync_batch_norm=false"):
        train.run(replace(config, xla=True, gpus=2, sync_batch_norm=True))


@pytest.mark.slow
def test_two_replicas_with_common_statistics_are_one(config):
    one = losses_of(make_trainer(config), 2)
    common = losses_of(make_trainer(replace(config, gpus=2, sync_batch_norm=True)), 2)
    apart = losses_of(make_trainer(replace(config, gpus=2)), 2)
    assert common == pytest.approx(one, rel=1e-4)
    assert apart != pytest.approx(one, rel=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"precision": "fp16"}, {"xla": True}, {"accumulate": 2}])
def test_on_a_gpu(settings, config):
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("no GPU here")
    config = replace(config, batch_size=4, deterministic=False)
    expected = losses_of(make_trainer(config), 2)
    assert losses_of(make_trainer(replace(config, **settings)), 2) == pytest.approx(expected, rel=0.1)
