"""int8's rounding, placed in a Keras graph with tensorflow-model-optimization's wrappers and quantizers.

Weights are rounded by a scale a channel that follows from the weights; activations between two ends that follow the data.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.inference.card import Card

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="distutils Version classes are deprecated")  # the library's own use
    import tensorflow_model_optimization as tfmot

LEVELS = 127  # int8 weights lie in -127..127
RANGE_DECAY = 0.99  # of the ranges, a training step
SHARE_RANGE = (0.0, 255 / 256)  # that int8 gives a softmax, whatever the data
SMALLEST = 1e-8  # half-width of a range, so that its scale is never 0


def input_range(card: Card) -> tuple[float, float]:
    """The ends of the input's int8 range.

    Zero has to be one of its 256 values, so for -1..1 it lies half a step higher: a uint8 input's scale is the card's and
    its zero point 127, as after post-training quantization.
    """
    zero_point = min(max(float(np.ceil(-card.input_offset / card.input_scale - 0.5)), 0.0), 255.0)
    return -zero_point * card.input_scale, (255 - zero_point) * card.input_scale


def round_weights(weights: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """Weights at the nearest of int8's values, a symmetric scale for each channel; gradients pass unchanged.

    Args:
        weights: a float kernel.
        axes: those that belong to one channel.
    """
    largest = tf.reduce_max(tf.abs(tf.stop_gradient(weights)), axes, keepdims=True)
    scale = tf.maximum(largest, SMALLEST) / LEVELS
    return weights + tf.stop_gradient(tf.round(weights / scale) * scale - weights)


class ChannelQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Rounds weights with a scale a channel that follows from the weights alone, so that there is nothing to keep.

    Args:
        axes: the kernel's axes that belong to one channel.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = tuple(axes)

    def build(self, tensor_shape: Any, name: str, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        """No variables."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        """Round."""
        return round_weights(inputs, self.axes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"axes": self.axes}


class RangeQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Rounds activations to 256 steps between a low and a high end, zero being one of the steps.

    Args:
        kind: 'moving': while training, the ends follow the batches' smallest and largest value; 'growing': they only
            widen, for outputs, whose extremes count; 'fixed': they stay.
        low, high: the ends at first.
    """

    def __init__(self, kind: str, low: float = -6.0, high: float = 6.0) -> None:
        self.kind, self.low, self.high = kind, low, high

    def build(self, tensor_shape: Any, name: str, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        """The two ends. Each replica follows its own batches; what is read outside is their mean, as in a batch norm."""
        return {
            end: layer.add_weight(
                name=f"{name}_{end}",
                initializer=keras.initializers.Constant(value),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.MEAN,
            )
            for end, value in (("low", self.low), ("high", self.high))
        }

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        """Round; while training, move the ends afterwards."""
        low, high = weights["low"], weights["high"]
        rounded = tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)
        if training and self.kind != "fixed":
            with tf.control_dependencies([rounded]):
                lowest, highest = tf.reduce_min(inputs), tf.reduce_max(inputs)
                if self.kind == "growing":
                    low.assign(tf.minimum(low, lowest))
                    high.assign(tf.maximum(high, highest))
                else:
                    low.assign_sub((1 - RANGE_DECAY) * (low - tf.minimum(lowest, 0.0)))
                    high.assign_sub((1 - RANGE_DECAY) * (high - tf.maximum(highest, SMALLEST)))
        return rounded

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"kind": self.kind, "low": self.low, "high": self.high}


class Range(keras.layers.Layer):
    """The place in the graph where a tensor becomes int8.

    Args:
        kind, low, high: of its `RangeQuantizer`.
        shift: added before rounding. Pixels of an input in -1..1 lie half-way between two steps: a quarter of a step makes
            them round to what a uint8 input is.
    """

    def __init__(self, kind: str, low: float = -6.0, high: float = 6.0, shift: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer, self.shift = RangeQuantizer(kind, low, high), shift

    def build(self, input_shape: Any) -> None:
        """Make the two ends."""
        self.ends = self.quantizer.build(input_shape, "range", self)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Round, as the quantizer does."""
        return self.quantizer(inputs + self.shift if self.shift else inputs, bool(training), self.ends)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.quantizer.get_config() | {"shift": self.shift}


class KernelConfig(tfmot.quantization.keras.QuantizeConfig):
    """Rounds a layer's kernel, and nothing else.

    Args:
        quantizer: does it; None: a `ChannelQuantizer`.
    """

    def __init__(self, quantizer: ChannelQuantizer | None = None) -> None:
        self.quantizer = quantizer

    def _attribute(self, layer: keras.layers.Layer) -> tuple[str, tuple[int, ...]]:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            return "depthwise_kernel", (0, 1)
        return "kernel", (0,) if isinstance(layer, keras.layers.Dense) else (0, 1, 2)

    def get_weights_and_quantizers(self, layer: keras.layers.Layer) -> list:
        """The kernel and its quantizer."""
        name, axes = self._attribute(layer)
        return [(getattr(layer, name), self.quantizer or ChannelQuantizer(axes))]

    def get_activations_and_quantizers(self, layer: keras.layers.Layer) -> list:
        """None: a `Range` follows."""
        return []

    def set_quantize_weights(self, layer: keras.layers.Layer, quantize_weights: list) -> None:
        """Let the layer compute with the rounded kernel."""
        setattr(layer, self._attribute(layer)[0], quantize_weights[0])

    def set_quantize_activations(self, layer: keras.layers.Layer, quantize_activations: list) -> None:
        """Nothing to set."""

    def get_output_quantizers(self, layer: keras.layers.Layer) -> list:
        """None: a `Range` follows."""
        return []

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


class RoundedLayer(tfmot.quantization.keras.QuantizeWrapperV2):
    """A layer that computes with int8 weights; `get_weights` gives [kernel, bias] as they are trained, in float."""

    def add_weight(self, name: str | None = None, *args: Any, **kwargs: Any) -> tf.Variable | None:
        """The library's step counter, which no quantizer here reads, would be an integer in a moving average."""
        return None if name == "optimizer_step" else super().add_weight(name, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Note the layer's weights before the library replaces the kernel."""
        if not self.layer.built:
            self.layer.build(input_shape)
        self.pair = list(self.layer.weights)
        super().build(input_shape)

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """All or none: the library would train a frozen layer's kernel."""
        return list(self.pair) if self.layer.trainable and self.built else []

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """None or all."""
        return list(self.pair) if not self.layer.trainable and self.built else []
