"""The int8 file of a network before any training: memory, flash and operators are those of the trained one.

Weights are random and ranges come from noise, so what it says means nothing; its shapes, operators and tables, which are
all that an interpreter's memory depends on, are what training would leave.
"""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from mirada.config import ModelConfig
from mirada.learning.models import build_model, input_scaling
from mirada.learning.quantization.conversion import convert


def untrained_int8(
    config: ModelConfig, task: str, input_size: int, channels: int, classes: int, *, io: str = "uint8"
) -> bytes:
    """The `.tflite` that int8 would be, in a few seconds; equal settings give equal bytes.

    Args:
        config: the network's settings; pretrained weights are left out.
        task: 'detection', 'localization' or 'classification'.
        input_size: side of the square input in pixels, a multiple of 32.
        channels: 3 (RGB) or 1 (grey).
        classes: number of classes.
        io: type of the input, 'uint8' as a variant has it, or 'int8', which saves a copy of the input.

    Raises:
        MiradaError: the converter refuses the network.
    """
    keras.backend.clear_session()  # else the layers of all that came before are kept
    keras.utils.set_random_seed(0)
    model = build_model(config, task, input_size, channels, classes, pretrained=False)
    rng = np.random.default_rng(0)
    for (
        layer
    ) in model.layers:  # of biases that are 0 and all alike the converter would leave out some and store others once
        layer.set_weights([weights + rng.uniform(0, 0.1, weights.shape) for weights in layer.get_weights()])
    noise = rng.integers(0, 256, (1, input_size, input_size, channels), np.uint8)
    scale, offset = input_scaling(config)
    return convert(model, "int8", lambda: noise, input_scale=scale, input_offset=offset, io=io)
