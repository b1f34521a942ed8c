"""The networks: flat functional graphs that survive int8.

ReLU6 everywhere, boxes, scores and classes as separate outputs with scales of their own, decoding and NMS outside the
graph (`mirada.prediction`).
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import tf_keras as keras

from mirada.config import ModelConfig
from mirada.errors import MiradaError
from mirada.learning.backbones import STRIDES, build_backbone, load_imagenet
from mirada.learning.pretrained import load_efficientnet_lite0

_PRIOR = 0.01  # the share of cells that hold an object, as the untrained net believes (focal loss paper, section 4.1)
_START_DISTANCE = 2.0  # strides from a cell's centre to each side of the untrained net's boxes


def output_names(classes: int) -> dict[str, list[str]]:
    """Part -> output names, one a level, of a detector of so many classes (the card's `outputs`)."""
    parts = ["objectness", "distances"] if classes == 1 else ["objectness", "classes", "distances"]
    return {part: [f"{part}_{stride}" for stride in STRIDES] for part in parts}


def build_detector(config: ModelConfig, input_size: int, classes: int) -> keras.Model:
    """An anchor-free detector: backbone, light feature pyramid, one head a level.

    Args:
        config: the network's settings; `weights: imagenet` loads the backbone's.
        input_size: side of the square input in pixels, a multiple of 32.
        classes: number of classes; with one there is no class output.

    Returns:
        A model from (batch, side, side, 3) in -1..1 to a dictionary of `output_names`: logits of objectness (1 channel)
        and classes, and distances to left, top, right, bottom in strides before the softplus (4 channels).
    """
    image = keras.Input((input_size, input_size, 3), name="image")
    maps = _pyramid(build_backbone(config.backbone, image), config.width)
    outputs = {}
    for stride, features in zip(STRIDES, maps, strict=True):
        outputs.update(_head(features, config, classes, stride))
    model = keras.Model(image, outputs, name=config.name)
    if config.weights == "imagenet":
        load_imagenet(model, load_efficientnet_lite0())
    if config.frozen_blocks:
        frozen = ("backbone_stem", *(f"backbone_{number}_" for number in range(config.frozen_blocks)))
        for layer in model.layers:
            layer.trainable = not layer.name.startswith(frozen)
    return model


def _pyramid(maps: list[keras.KerasTensor], width: int) -> list[keras.KerasTensor]:
    """Top-down and bottom-up paths of depthwise separable convolutions (PANet, arXiv:1803.01534)."""
    sides = [_pointwise(x, width, f"lateral_{stride}") for stride, x in zip(STRIDES, maps, strict=True)]
    for level in (1, 0):
        up = keras.layers.UpSampling2D(2, name=f"up_{STRIDES[level]}")(sides[level + 1])
        merged = keras.layers.Add(name=f"down_add_{STRIDES[level]}")([sides[level], up])
        sides[level] = _separable(merged, width, f"top_down_{STRIDES[level]}")
    for level in (1, 2):
        down = _separable(sides[level - 1], width, f"bottom_up_{STRIDES[level]}", stride=2)
        sides[level] = keras.layers.Add(name=f"up_add_{STRIDES[level]}")([sides[level], down])
    return sides


def _head(x: keras.KerasTensor, config: ModelConfig, classes: int, stride: int) -> dict[str, keras.KerasTensor]:
    names = {part: levels[STRIDES.index(stride)] for part, levels in output_names(classes).items()}
    score, box = x, x
    for depth in range(config.head_depth):
        score = _separable(score, config.width, f"score_{stride}_{depth}")
        box = _separable(box, config.width, f"box_{stride}_{depth}")
    objectness_bias = keras.initializers.Constant(-math.log((1 - _PRIOR) / _PRIOR))
    distance_bias = keras.initializers.Constant(math.log(math.expm1(_START_DISTANCE)))
    outputs = {
        names["objectness"]: _output(score, 1, names["objectness"], objectness_bias),
        names["distances"]: _output(box, 4, names["distances"], distance_bias),
    }
    if "classes" in names:
        outputs[names["classes"]] = _output(score, classes, names["classes"], "zeros")
    return outputs


def _output(
    x: keras.KerasTensor, channels: int, name: str, bias: str | keras.initializers.Initializer
) -> keras.KerasTensor:
    normal = keras.initializers.RandomNormal(stddev=0.01)
    return keras.layers.Conv2D(channels, 1, kernel_initializer=normal, bias_initializer=bias, name=name)(x)


def _pointwise(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _separable(x: keras.KerasTensor, width: int, name: str, stride: int = 1) -> keras.KerasTensor:
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    return _pointwise(x, width, name)


def backbone_variables(model: keras.Model) -> tuple[list, list]:
    """The trainable variables of the pretrained layers, and those of the new ones."""
    old = [v for layer in model.layers if layer.name.startswith("backbone_") for v in layer.trainable_variables]
    known = {v.ref() for v in old}
    return old, [v for v in model.trainable_variables if v.ref() not in known]


def load_model(path: Path) -> keras.Model:
    """Read a `model.keras` that the train stage wrote.

    Raises:
        MiradaError: the file is damaged.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise MiradaError(
            f"{path} is corrupt ({str(error).splitlines()[0]}): run the train stage again (`dvc repro train`)."
        ) from error
