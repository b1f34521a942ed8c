"""What an answer costs beside a teacher's. All tasks share it.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (arXiv:1503.02531): the answers are softened by a
temperature, and the loss is a mean of that against the labels and that against the teacher.
"""

from __future__ import annotations

import tensorflow as tf

_BEND = 1 / 9  # of a side: a shorter distance counts by its square, as in the code of Faster R-CNN (arXiv:1506.01497)


def divergence(logits: tf.Tensor, taught: tf.Tensor, temperature: float) -> tf.Tensor:
    """The Kullback-Leibler divergence of a softened answer from the teacher's, times the squared temperature.

    By that factor gradients are about as large at one temperature as at another, as the paper has it.

    Args:
        logits: (..., classes).
        taught: the teacher's, likewise.
        temperature: that both are divided by.

    Returns:
        (...), not negative; 0 where both say the same.
    """
    target = tf.nn.softmax(taught / temperature)
    crossed = tf.nn.softmax_cross_entropy_with_logits(target, logits / temperature)
    return temperature**2 * (crossed - tf.nn.softmax_cross_entropy_with_logits(target, taught / temperature))


def box_distance(boxes: tf.Tensor, taught: tf.Tensor) -> tf.Tensor:
    """How far the sides of boxes are from the teacher's, in sides of the latter: smooth L1, summed over the four.

    For larger shifts about as much as a loss of IoU; unlike that it is flat where both agree.

    Args:
        boxes: (..., 4), corners in pixels.
        taught: the teacher's, likewise.

    Returns:
        (...), not negative.
    """
    sides = tf.maximum(taught[..., 2:] - taught[..., :2], 1.0)
    away = tf.abs(boxes - taught) / tf.concat([sides, sides], -1)
    return tf.reduce_sum(tf.where(away < _BEND, tf.square(away) / (2 * _BEND), away - _BEND / 2), -1)
