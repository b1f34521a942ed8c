"""How far a box's side is, as shares of bins: distribution focal loss (arXiv:2006.04388, section 3.2).

The mean of the bins, weighted by their shares, is taken in the graph: what leaves the network is the map of distances that
every decoder knows. Decoders apply a softplus to it, so the bins are even steps of what the softplus is given: from about 1
up these are strides, below they are finer.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.learning.layers import map_output
from mirada.learning.tasks.assignment import CENTRE_RADIUS

DISTRIBUTION_WEIGHT = 0.25  # of the mean of the four sides; the paper's, whose overlaps count 2 as ours do
_LOWEST = -2.0  # before the softplus, of the first bin: 0.13 strides


def last_bin(longest: float, stride: int, input_size: int) -> float:
    """The last bin of a level, in strides: how far the side of its largest box is from the cells that answer for that.

    Args:
        longest: side in pixels of the largest box that the level answers for.
        stride: pixels to a cell.
        input_size: side of the input; no box is larger.
    """
    return min(longest, input_size) / 2 / stride + CENTRE_RADIUS


def mean_distances(x: keras.KerasTensor, bins: int, last: float, name: str) -> keras.KerasTensor:
    """Logits of bins, and their mean, in layers that int8 has.

    Args:
        x: features (batch, H, W, channels).
        bins: a side's number of bins.
        last: the last one, as `last_bin` says.
        name: of the map, and what the names of the layers on the way to it begin with.

    Returns:
        (batch, H, W, 4) before the softplus.
    """
    logits = map_output(x, 4 * bins, f"{name}_bins", "zeros")
    height, width = logits.shape[1:3]
    sides = keras.layers.Reshape((height, 4 * width, bins), name=f"{name}_sides")(logits)
    shares = keras.layers.Softmax(name=f"{name}_shares")(sides)
    mean = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name=f"{name}_mean")
    found = mean(shares)
    mean.set_weights([np.linspace(_LOWEST, last, bins, dtype=np.float32).reshape(1, 1, bins, 1)])
    return keras.layers.Reshape((height, width, 4), name=name)(found)


def with_bins(model: keras.Model) -> keras.Model:
    """The same network, with the logits of its bins as more outputs, which its loss asks for; itself where it has none.

    Its layers are the same, so nothing of this is in what is trained, kept or written.

    Args:
        model: with a dictionary of outputs; as it was built, or with int8's rounding in place.

    Returns:
        <name of a map>_bins -> (batch, H, W * 4, bins) besides.
    """
    shares = [layer for layer in model.layers if isinstance(layer, keras.layers.Softmax)]
    found = {layer.name.replace("_shares", "_bins"): layer.input for layer in shares if layer.name.endswith("_shares")}
    return keras.Model(model.input, {**model.output, **found}) if found else model


def distribution_loss(logits: tf.Tensor, distances: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Cross-entropy with the two bins that a distance lies between, each as much as it is near; the mean of the sides.

    Args:
        logits: (B, P, 4, bins).
        distances: (B, P, 4), the right ones, in strides; those beyond the bins count as the first or last one.
        last: (P,), each cell's last bin.

    Returns:
        (B, P), not negative.
    """
    bins = logits.shape[-1]
    last = last[:, None]
    strides = tf.clip_by_value(distances, tf.nn.softplus(_LOWEST), tf.nn.softplus(last))
    before_softplus = strides + tf.math.log(-tf.math.expm1(-strides))
    place = tf.clip_by_value((before_softplus - _LOWEST) / (last - _LOWEST) * (bins - 1), 0.0, bins - 1.0)
    target = tf.nn.relu(1 - tf.abs(place[..., None] - tf.range(bins, dtype=tf.float32)))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits), -1)
