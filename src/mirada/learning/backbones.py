"""Feature extractors: an image goes in, maps at strides 8, 16 and 32 come out, or those of them that a cut leaves.

EfficientNet-Lite (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) was made for int8:
ReLU6, no squeeze-and-excite. Its batch normalisations are folded into the convolutions when the weights are loaded, so
what is trained is what is converted, and a step is faster; or they stay layers of their own. MobileNetV2
(https://arxiv.org/abs/1801.04381) is built of the same blocks.

`mcu` is for microcontrollers, from scratch: MobileNetV2's inverted residuals in a size to choose. What takes memory is the
widest pair of maps at once, so nothing is widened before stride 4, as in MCUNet (arXiv:2007.10319).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tf_keras as keras

from mirada.config import ModelConfig
from mirada.config.training import STAGE_STRIDES
from mirada.learning.layers import linear_pointwise, pointwise

STRIDES = (8, 16, 32)


class _Stage(NamedTuple):
    kernel: int
    stride: int  # of the first block
    expansion: int
    channels: int  # that come out
    blocks: int


_LITE0_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)
_STEM = 32
_FEATURES = 1280


def _scale(width: float, depth: float) -> tuple[_Stage, ...]:
    """EfficientNet-Lite's rule: channels to multiples of 8, blocks rounded up; the first and last stage keep theirs."""
    scaled = []
    for number, stage in enumerate(_LITE0_STAGES):
        channels = max(8, int(stage.channels * width + 4) // 8 * 8)
        channels += 8 * (channels < 0.9 * stage.channels * width)
        inner = 0 < number < len(_LITE0_STAGES) - 1
        blocks = math.ceil(stage.blocks * depth) if inner else stage.blocks
        scaled.append(stage._replace(channels=channels, blocks=blocks))
    return tuple(scaled)


_NETWORKS = {
    "efficientnet_lite0": _LITE0_STAGES,
    "efficientnet_lite1": _scale(1.0, 1.1),
    "efficientnet_lite2": _scale(1.1, 1.2),
    "mobilenet_v2": (
        _Stage(3, 1, 1, 16, 1),
        _Stage(3, 2, 6, 24, 2),
        _Stage(3, 2, 6, 32, 3),
        _Stage(3, 2, 6, 64, 4),
        _Stage(3, 1, 6, 96, 3),
        _Stage(3, 2, 6, 160, 3),
        _Stage(3, 1, 6, 320, 1),
    ),
}
_BN_EPSILON = 1e-3
_BN_MOMENTUM = 0.99
_BN = "_normalized"  # at the end of a name
FOLDED = "folded"
_MCU_CHANNELS = (32, 64, 128)  # of the stages at strides 8, 16 and 32, before the multiplier
_CHANNEL_STEP = 8


def build_backbone(config: ModelConfig, image: keras.KerasTensor) -> list[keras.KerasTensor]:
    """The maps at strides 8, 16 and 32 of an image in -1..1.

    Args:
        config: its backbone is 'efficientnet_lite0' to 'efficientnet_lite2', 'mobilenet_v2', 'tiny' or 'mcu'.
        image: (batch, side, side, channels).

    Returns:
        Tensors (batch, side / stride, side / stride, channels), three but of a network cut by `stages`. The names of layers
        that learn apart from the heads, which those of `FROM_SCRATCH` do not, begin with 'backbone_'.
    """
    if config.backbone == "mcu":
        return _mcu(config, image)
    if config.backbone == "tiny":
        return _tiny(image)
    return _last_at_strides(_pretrained_stages(config, image))


def build_features(config: ModelConfig, image: keras.KerasTensor) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """The maps of `build_backbone`, and what classes are told by, at the last stride.

    Of a network with ImageNet's weights the features that its classes were told by; of one that is cut, where they would
    mean nothing, and of mcu `width` channels.
    """
    if config.backbone == "tiny":
        maps = _tiny(image)
        return maps, maps[-1]
    if config.backbone == "mcu":
        maps = _mcu(config, image)
        return maps, pointwise(maps[-1], config.width, "head")
    ends = _pretrained_stages(config, image)
    if config.stages is not None:
        return _last_at_strides(ends), pointwise(ends[-1], config.width, "head")
    head = _convolution(ends[-1], _FEATURES, 1, 1, "backbone_head", config.batch_norm != FOLDED, activate=True)
    return _last_at_strides(ends), head


def _tiny(image: keras.KerasTensor) -> list[keras.KerasTensor]:
    x, maps = image, []
    for level, channels in enumerate((8, 16, 24, 32, 32), start=1):
        name = f"backbone_{level}"
        x = keras.layers.Conv2D(channels, 3, 2, "same", use_bias=False, name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
        maps.append(x)
    return maps[2:]


def _mcu(config: ModelConfig, image: keras.KerasTensor) -> list[keras.KerasTensor]:
    """A stem at stride 2 or 4, then stages of inverted residuals at strides 4, 8, 16 and 32."""
    kernel = config.stem_stride + 1  # every pixel is seen
    x = keras.layers.Conv2D(config.stem_width, kernel, config.stem_stride, "same", use_bias=False, name="stem_conv")(
        image
    )
    x = _normalized_relu(x, "stem")
    maps, number = [], 0
    steps = (max(1, round(channels * config.multiplier / _CHANNEL_STEP)) for channels in _MCU_CHANNELS)
    for stage, width in enumerate((config.stem_width, *(step * _CHANNEL_STEP for step in steps))):
        for block in range(config.blocks):
            halves = block == 0 and not (stage == 0 and config.stem_stride == 4)
            expansion = 1 if stage == block == 0 else config.expansion
            x = _mcu_block(x, 2 if halves else 1, expansion, width, f"block_{number}")
            number += 1
        maps.append(x)
    return maps[1:]


def _mcu_block(x: keras.KerasTensor, stride: int, expansion: int, width: int, name: str) -> keras.KerasTensor:
    start = x
    if expansion > 1:
        x = pointwise(x, x.shape[-1] * expansion, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = linear_pointwise(_normalized_relu(x, f"{name}_depthwise"), width, f"{name}_project")
    if stride == 1 and start.shape[-1] == width:
        x = keras.layers.Add(name=f"{name}_add")([start, x])
    return x


def _normalized_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _pretrained_stages(config: ModelConfig, image: keras.KerasTensor) -> list[keras.KerasTensor]:
    """The map that each stage ends with, of those that `stages` leaves."""
    normalize = config.batch_norm != FOLDED
    x = _convolution(image, _STEM, 3, 2, "backbone_stem", normalize, activate=True)
    ends, number = [], 0
    for stage in _NETWORKS[config.backbone][: config.stages]:
        for block in range(stage.blocks):
            x = _inverted_residual(x, stage, stage.stride if block == 0 else 1, number, normalize)
            number += 1
        ends.append(x)
    return ends


def _last_at_strides(ends: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    last = dict(zip(STAGE_STRIDES, ends, strict=False))
    return [last[stride] for stride in STRIDES if stride in last]


def _inverted_residual(
    x: keras.KerasTensor, stage: _Stage, stride: int, number: int, normalize: bool
) -> keras.KerasTensor:
    name, start = f"backbone_{number}", x
    if stage.expansion > 1:
        x = _convolution(x, x.shape[-1] * stage.expansion, 1, 1, f"{name}_expand", normalize, activate=True)
    x = keras.layers.DepthwiseConv2D(stage.kernel, stride, "same", use_bias=not normalize, name=f"{name}_depthwise")(x)
    x = _batch_norm(x, f"{name}_depthwise") if normalize else x
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, stage.channels, 1, 1, f"{name}_project", normalize, activate=False)
    if stride == 1 and start.shape[-1] == stage.channels:
        x = keras.layers.Add(name=f"{name}_add")([start, x])
    return x


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int, stride: int, name: str, normalize: bool, *, activate: bool
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(channels, kernel, stride, "same", use_bias=not normalize, name=name)(x)
    x = _batch_norm(x, name) if normalize else x
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _batch_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=_BN_MOMENTUM, epsilon=_BN_EPSILON, name=f"{name}{_BN}")(x)


def moving_statistics(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalisations of a pretrained backbone that learn along, and so follow the batches."""
    layers = [layer for layer in model.layers if layer.name.startswith("backbone_") and layer.name.endswith(_BN)]
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]


def load_imagenet(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Put ImageNet's weights into the layers named 'backbone_*', batch normalisations folded in or beside.

    Args:
        model: any model that `build_backbone` of that network is part of.
        arrays: what `pretrained.load_arrays` returns for it.
    """
    _assign(model, "backbone_stem", arrays, "_conv_stem", "_bn0")
    if any(layer.name == "backbone_head" for layer in model.layers):
        _assign(model, "backbone_head", arrays, "_conv_head", "_bn1")
    blocks = {layer.name.split("_")[1] for layer in model.layers if layer.name.startswith("backbone_")}
    for number in sorted(int(block) for block in blocks if block.isdigit()):
        block = f"_blocks.{number}"
        if number:
            _assign(model, f"backbone_{number}_expand", arrays, f"{block}._expand_conv", f"{block}._bn0")
        _assign(model, f"backbone_{number}_depthwise", arrays, f"{block}._depthwise_conv", f"{block}._bn1")
        _assign(model, f"backbone_{number}_project", arrays, f"{block}._project_conv", f"{block}._bn2")


def _assign(model: keras.Model, layer: str, arrays: dict[str, np.ndarray], conv: str, bn: str) -> None:
    """Fold `bn(conv(x))` into one kernel and bias; torch's OIHW becomes HWIO (HWC1 for a depthwise layer).

    A grey image has one channel instead of three equal ones, so the stem's kernel is summed over them.
    """
    axes = (2, 3, 0, 1) if "depthwise" in layer else (2, 3, 1, 0)
    beside = any(other.name == f"{layer}{_BN}" for other in model.layers)
    scale = arrays[f"{bn}.weight"] / np.sqrt(arrays[f"{bn}.running_var"] + _BN_EPSILON)
    kernel = arrays[f"{conv}.weight"] * (1.0 if beside else scale[:, None, None, None])
    bias = arrays[f"{bn}.bias"] - arrays[f"{bn}.running_mean"] * scale
    kernel = kernel.transpose(axes)
    if layer == "backbone_stem" and model.input_shape[-1] == 1:
        kernel = kernel.sum(axis=2, keepdims=True)
    model.get_layer(layer).set_weights([kernel] if beside else [kernel, bias])
    if beside:
        names = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(f"{layer}{_BN}").set_weights([arrays[f"{bn}.{name}"] for name in names])
