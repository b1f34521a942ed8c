"""Small stacks of layers that the heads of several tasks share."""

from __future__ import annotations

from collections.abc import Collection

import tf_keras as keras


def pointwise(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """1×1 convolution, batch normalisation, ReLU6."""
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(linear_pointwise(x, width, name))


def linear_pointwise(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """1×1 convolution, batch normalisation."""
    x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def separable(x: keras.KerasTensor, width: int, name: str, stride: int = 1) -> keras.KerasTensor:
    """Depthwise 3×3 convolution and `pointwise`."""
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    return pointwise(x, width, name)


def map_output(
    x: keras.KerasTensor, channels: int, name: str, bias: str | keras.initializers.Initializer
) -> keras.KerasTensor:
    """1×1 convolution without activation, small weights and a chosen bias: an output map."""
    normal = keras.initializers.RandomNormal(stddev=0.01)
    return keras.layers.Conv2D(channels, 1, kernel_initializer=normal, bias_initializer=bias, name=name)(x)


def makes_output(layer: keras.layers.Layer, outputs: Collection[str]) -> bool:
    """Whether a layer gives an output or lies between a head's features and one: its name then begins with the output's.

    Args:
        layer: of a network.
        outputs: the names of the layers that give its outputs.
    """
    return any(layer.name == name or layer.name.startswith(f"{name}_") for name in outputs)


def class_head(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    """Global average, dropout and one dense layer: logits (batch, classes), named 'classes'."""
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(classes, name="classes")(x)
