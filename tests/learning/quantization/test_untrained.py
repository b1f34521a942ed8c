"""A network's int8 file before its training: what it needs is what the trained one needs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import ModelConfig
from mirada.inference.litert import float_operators
from mirada.learning.models import build_model
from mirada.learning.quantization.conversion import convert
from mirada.learning.quantization.untrained import untrained_int8

needs_tflm = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
CONFIG = ModelConfig(
    "mcu", "mcu", None, width=16, head_depth=1, head_stride=8, multiplier=0.5, blocks=1, stem_width=8, dropout=0.1
)


@pytest.fixture(scope="module")
def content() -> bytes:
    return untrained_int8(CONFIG, "classification", 64, 1, 2)


def test_equal_settings_give_equal_bytes_of_an_int8_file(content: bytes, tmp_path: Path) -> None:
    assert untrained_int8(CONFIG, "classification", 64, 1, 2) == content
    (tmp_path / "int8.tflite").write_bytes(content)
    assert float_operators(tmp_path / "int8.tflite") == []


@needs_tflm
@pytest.mark.slow
def test_the_memory_is_that_of_other_weights_and_an_int8_input_saves_a_copy(content: bytes, tmp_path: Path) -> None:
    from mirada.export.tflm import measure_arena

    keras.utils.set_random_seed(5)
    model, rng = build_model(CONFIG, "classification", 64, 1, 2), np.random.default_rng(5)
    for layer in model.layers:
        layer.set_weights([weights + rng.uniform(0, 0.5, weights.shape) for weights in layer.get_weights()])
    images = rng.integers(0, 256, (4, 64, 64, 1), np.uint8)
    files = {
        "untrained": content,
        "trained": convert(model, "int8", lambda: images),
        "int8 input": untrained_int8(CONFIG, "classification", 64, 1, 2, io="int8"),
    }
    arenas = {}
    for name, given in files.items():
        (tmp_path / f"{name}.tflite").write_bytes(given)
        arenas[name] = measure_arena(tmp_path / f"{name}.tflite")
    assert arenas["trained"] == arenas["untrained"]
    assert abs(len(files["trained"]) - len(content)) < 1000
    assert arenas["int8 input"].total < arenas["untrained"].total
