"""A score a class and no objectness (RetinaNet, arXiv:1708.02002), in the maps of objectness and classes.

A decoder takes sigmoid(objectness) times the likeliest class's share as a cell's score. Here objectness is the largest of
the classes' logits, and the classes are those logits times a number so large that the likeliest one's share is 1: what the
decoder says is the sigmoid of the largest logit. It is less only where another class is nearly as high, half where two are
equal. A cell still has one label.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from mirada.learning.layers import map_output

_SHARPNESS = 64.0  # at 0.1 between two logits the share is 0.998


def class_scores(
    x: keras.KerasTensor, classes: int, names: Mapping[str, str], bias: keras.initializers.Initializer
) -> dict[str, keras.KerasTensor]:
    """The two maps from one map of logits, in layers that int8 has.

    Args:
        x: features (batch, H, W, channels).
        classes: their number, 2 or more.
        names: of the maps of 'objectness' and 'classes'; the names of the layers on the way to them begin with these.
        bias: of the logits.

    Returns:
        Name -> (batch, H, W, 1) and (batch, H, W, classes).
    """
    score, label = names["objectness"], names["classes"]
    logits = map_output(x, classes, f"{label}_logits", bias)
    height, width = logits.shape[1:3]
    cells = keras.layers.Reshape((height * width, classes, 1), name=f"{score}_cells")(logits)
    largest = keras.layers.MaxPooling2D((1, classes), strides=1, name=f"{score}_largest")(cells)
    return {
        score: keras.layers.Reshape((height, width, 1), name=score)(largest),
        label: keras.layers.Rescaling(_SHARPNESS, name=label)(logits),
    }


def score_logits(classes: tf.Tensor) -> tf.Tensor:
    """The logits (…, classes) that the map of classes is made from."""
    return classes / _SHARPNESS
