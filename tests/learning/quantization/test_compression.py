"""Pruned and clustered int8, read back from the `.tflite`; and the same bytes twice, from the float weights on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from mirada.config import (
    ClusteringConfig,
    FineTuneConfig,
    ModelConfig,
    PruningConfig,
    QuantizeConfig,
    TrackingConfig,
    TrainConfig,
)
from mirada.errors import MiradaError
from mirada.inference.litert import float_operators
from mirada.learning.models import build_model, load_model
from mirada.learning.quantization.compression import ClusteredQuantizer, choose_levels, compressed_layers, kept_weights
from mirada.quantization.operators import Opened
from mirada.stages import quantize, train
from tests.learning.conftest import write_dataset

VARIANTS = ["float32", "int8", "qat", "pruned", "clustered"]
CLUSTERS, SPARSITY = 6, 0.7
TINY = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)


def trained(train_config: TrainConfig, folder: Path) -> QuantizeConfig:
    """A model trained below a folder, and the settings to quantize it there."""
    train.run(replace(train_config, epochs=1, output_dir=str(folder / "train")))
    return QuantizeConfig(
        tracking=TrackingConfig(enabled=False),
        model_dir=str(folder / "train"),
        data_dir=train_config.data_dir,
        output_dir=str(folder),
        variants=VARIANTS,
        calibration_images=4,
        evidence_images=0,
        pruning=PruningConfig(SPARSITY),
        clustering=ClusteringConfig(CLUSTERS),
        fine_tune=FineTuneConfig(epochs=1, learning_rate=1e-2),
    )


def kernels(path: Path) -> dict[str, np.ndarray]:
    """The int8 weights of each operator that has some, by its layer's name."""
    opened = Opened(path.read_bytes())
    found = {}
    for operator in opened.operators:
        weights = [i for i in opened.constants(operator) if opened.tensors[i]["dtype"] == np.int8]
        if weights and operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            found[operator.layer] = opened.value(weights[0])
    return found


@pytest.mark.slow
def test_zeros_and_few_values_are_in_the_file_and_the_same_seed_gives_all_bytes_again(train_config, tmp_path, capsys):
    data = write_dataset(tmp_path / "singles", task="classification", train=8, val=0)
    settings = replace(train_config, data_dir=str(data.folder))
    quantize.run(trained(settings, tmp_path / "a"))
    assert "pruned epoch 1: loss" in capsys.readouterr().out
    network = load_model(tmp_path / "a/train/model.keras")
    compressed = set(compressed_layers(network))
    files = {name: kernels(tmp_path / "a" / f"{name}.tflite") for name in VARIANTS[1:]}
    assert compressed < set(files["int8"]) and files["int8"].keys() == files["pruned"].keys()
    for layer in compressed:
        channels = files["int8"][layer].shape[0]
        kept = np.count_nonzero(files["pruned"][layer]) / files["pruned"][layer].size
        assert 1 - SPARSITY - 0.2 < kept <= 1 - SPARSITY + channels / files["pruned"][layer].size, layer
        values = np.unique(files["clustered"][layer])
        assert len(values) <= CLUSTERS and {-127, 0, 127} & {*values.tolist()}, layer
        assert len(np.unique(files["int8"][layer])) > CLUSTERS
    for layer in files["int8"].keys() - compressed:  # the first layer, depthwise ones, outputs
        assert len(np.unique(files["clustered"][layer])) > CLUSTERS or files["int8"][layer].size < 50, layer
        assert np.count_nonzero(files["pruned"][layer]) / files["pruned"][layer].size > 1 - SPARSITY + 0.2, layer
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "a/variants.json").read_text())["variants"]}
    for name in ("pruned", "clustered"):
        assert float_operators(tmp_path / "a" / f"{name}.tflite") == []
        assert entries[name]["size_gzip_bytes"] < entries["int8"]["size_gzip_bytes"]
        assert entries[name]["tuning"]["epochs"] == 1
    quantize.run(trained(settings, tmp_path / "b"))
    same = load_model(tmp_path / "b/train/model.keras")
    for first, second in zip(network.get_weights(), same.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()
    for name in VARIANTS:
        first, second = ((tmp_path / folder / f"{name}.tflite").read_bytes() for folder in "ab")
        assert first == second, name


def test_the_smallest_weights_go_and_each_channels_largest_stays():
    kernel = np.array([[4.0, 0.1], [-3.0, 0.2], [1.0, -0.3]], np.float32)
    np.testing.assert_array_equal(kept_weights(kernel, 0.5), [[1, 0], [1, 0], [1, 1]])  # -0.3 is its channel's largest


def test_levels_are_where_the_weights_are():
    kernel = np.array([[-127.0, 30], [32, 31], [127, 127]], np.float32)  # steps of 1 in both channels
    assert choose_levels(kernel, 4).tolist() == [-127, 0, 127]  # three evenly spaced ones are those that always are
    assert choose_levels(kernel, 5).tolist() == [-127, -42, 0, 31, 127], (
        "30, 31 and 32 are one; -42 has nothing to follow"
    )


def test_weights_go_to_the_nearest_level_of_their_channels_scale_and_gradients_pass():
    quantizer = ClusteredQuantizer((0,), np.array([-127, 0, 10, 127]))
    weights = tf.Variable([[1.27, -12.7], [0.1, 0.4], [0.0, 0.6]])  # steps of 0.01 and 0.1
    with tf.GradientTape() as tape:
        rounded = quantizer(weights, True, {})
    np.testing.assert_allclose(rounded, [[1.27, -12.7], [0.1, 0.0], [0.0, 1.0]], atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(rounded, weights), np.ones((3, 2)))


def test_first_depthwise_and_output_layers_stay_dense():
    model = build_model(TINY, "detection", 64, 3, 2)
    names = compressed_layers(model)
    weighted = [layer.name for layer in model.layers if layer.weights and "kernel" in layer.weights[0].name]
    kinds = {type(model.get_layer(name)) for name in names}
    assert weighted[0] not in names and kinds == {keras.layers.Conv2D}
    assert not set(model.output) & {*names} and len(names) >= 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: PruningConfig(1.0), "pruning.sparsity must be below 1, got 1"),
        (lambda: PruningConfig(0.0), "pruning.sparsity must be greater than 0"),
        (lambda: ClusteringConfig(3), "clustering.clusters must be from 4 to 254, got 3"),
        (lambda: FineTuneConfig(epochs=0), "fine_tune.epochs must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, sentence):
    with pytest.raises(MiradaError, match=sentence):
        make()
