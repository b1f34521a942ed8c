"""Kernels that compress well: pruned ones, with exact zeros, and clustered ones, with few different values.

Both are full int8, tuned with the zeros or the few values in place, as tensorflow-model-optimization's collaborative
optimization does with kernels that it has pruned or clustered before. Its `prune_low_magnitude` and `cluster_weights`
themselves are not used: they work on kernels before the batch normalization is folded in and each channel gets its scale,
so that a tensor of 32 clusters has up to 255 different values in the int8 file. Here both work on the int8 values.

As in that library, depthwise kernels and biases stay as they are; so do, as its guides advise, the layer that reads the
image and those that give the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import QuantizeConfig
from mirada.learning.layers import makes_output
from mirada.learning.quantization.qat import Compress
from mirada.learning.quantization.rounding import LEVELS, SMALLEST, ChannelQuantizer, round_weights
from mirada.learning.quantization.schemes import WEIGHTED, Graph

_ROUNDS = 100  # of k-means, at most


def compression(model: keras.Model, variant: str, config: QuantizeConfig) -> Compress | None:
    """How a variant rounds each layer's kernel.

    Args:
        model: the float model.
        variant: 'pruned' or 'clustered'; of any other, None.
        config: gives sparsity and clusters.
    """
    if variant not in ("pruned", "clustered"):
        return None
    chosen = compressed_layers(model)

    def compress(layer: keras.layers.Layer) -> ChannelQuantizer | None:
        if layer.name not in chosen:
            return None
        kernel = layer.get_weights()[0]
        axes = tuple(range(kernel.ndim - 1))
        if variant == "pruned":
            return PrunedQuantizer(axes, kept_weights(kernel, config.pruning.sparsity))
        return ClusteredQuantizer(axes, choose_levels(kernel, config.clustering.clusters))

    return compress


def compressed_layers(model: keras.Model) -> list[str]:
    """The names of the layers whose kernels are pruned or clustered."""
    graph = Graph(model)
    weighted = [layer for layer in graph.layers if type(layer) in WEIGHTED]
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    return [
        layer.name for layer in weighted[1:] if type(layer) in kinds and not makes_output(layer, model.output_names)
    ]


def kept_weights(kernel: np.ndarray, sparsity: float) -> np.ndarray:
    """Which weights are not pruned: 1 or 0, of the kernel's shape.

    The smallest go; a channel's largest stays, or there would be no scale. What counts is a weight's size with the batch
    normalization folded in; relative to its channel's largest was tried and cost more accuracy.

    Args:
        kernel: (..., channels).
        sparsity: share that goes.
    """
    size = np.abs(kernel)
    kept = np.ones(kernel.size, np.float32)
    kept[np.argsort(size, axis=None, kind="stable")[: round(sparsity * kernel.size)]] = 0
    largest = size == size.max(axis=tuple(range(kernel.ndim - 1)))
    return np.where(largest, 1, kept.reshape(kernel.shape)).astype(np.float32)


def choose_levels(kernel: np.ndarray, clusters: int) -> np.ndarray:
    """The int8 values that a kernel may have: k-means over its int8 values, from evenly spaced ones.

    -127, 0 and 127 are always among them: each channel's largest weight is 127 steps of its scale.

    Args:
        kernel: (..., channels).
        clusters: at most so many.

    Returns:
        Sorted integers, each once.
    """
    values = np.rint(_relative(kernel) * np.sign(kernel) * LEVELS).astype(int)
    counts = np.bincount(values.reshape(-1) + LEVELS, minlength=2 * LEVELS + 1)
    grid = np.arange(-LEVELS, LEVELS + 1)
    fixed = np.array([-LEVELS, 0, LEVELS])
    free = np.setdiff1d(np.linspace(-LEVELS, LEVELS, clusters - 1), fixed)[: clusters - len(fixed)]
    for _ in range(_ROUNDS):
        levels = np.sort(np.concatenate([fixed, free]))
        nearest = levels[np.abs(grid[:, None] - levels).argmin(axis=1)]
        weight = (nearest == free[:, None]) * counts
        total = weight.sum(axis=1)
        moved = np.where(total > 0, (weight * grid).sum(axis=1) / np.maximum(total, 1), free)
        if np.array_equal(moved, free):
            break
        free = moved
    return np.unique(np.rint(np.concatenate([fixed, free])).astype(int))


def _relative(kernel: np.ndarray) -> np.ndarray:
    """Each weight's size relative to its channel's largest."""
    size = np.abs(kernel)
    return size / np.maximum(size.max(axis=tuple(range(kernel.ndim - 1))), SMALLEST)


class PrunedQuantizer(ChannelQuantizer):
    """Rounds what is kept, and the rest to zero.

    Args:
        axes: as of `ChannelQuantizer`.
        kept: 1 or 0 for each weight.
    """

    def __init__(self, axes: tuple[int, ...], kept: np.ndarray) -> None:
        super().__init__(axes)
        self.kept = kept

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        """Round."""
        return round_weights(inputs * self.kept, self.axes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"kept": self.kept}


class ClusteredQuantizer(ChannelQuantizer):
    """Rounds to some of int8's values; gradients pass unchanged, so that a weight may change from one to the next.

    Args:
        axes: as of `ChannelQuantizer`.
        levels: these values, -127 and 127 among them.
    """

    def __init__(self, axes: tuple[int, ...], levels: np.ndarray) -> None:
        super().__init__(axes)
        self.levels = levels
        grid = np.arange(-LEVELS, LEVELS + 1)
        self.nearest = levels[np.abs(grid[:, None] - levels).argmin(axis=1)].astype(np.float32)

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        """Round."""
        fixed = tf.stop_gradient(inputs)
        scale = tf.maximum(tf.reduce_max(tf.abs(fixed), self.axes, keepdims=True), SMALLEST) / LEVELS
        places = tf.cast(tf.round(fixed / scale), tf.int32) + LEVELS
        return inputs + tf.stop_gradient(tf.gather(self.nearest, places) * scale - inputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"levels": self.levels}
