"""How much two boxes overlap, in forms that a loss can be made of."""

from __future__ import annotations

import math

import tensorflow as tf


def iou_and_giou(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """IoU and generalised IoU (arXiv:1902.09630) of boxes (..., 4), pair by pair."""
    iou, union, (width, height) = _iou(a, b)
    hull = width * height
    return iou, iou - tf.math.divide_no_nan(hull - union, hull)


def iou_and_ciou(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """IoU and complete IoU (arXiv:1911.08287) of boxes (..., 4), pair by pair.

    The latter is less by the squared distance of the centres, in squared diagonals of what holds both, and by how much
    their proportions differ.
    """
    iou, _, (width, height) = _iou(a, b)
    apart = tf.reduce_sum(tf.square(a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]), -1) / 4
    distance = tf.math.divide_no_nan(apart, width**2 + height**2)
    shape = tf.square(_slope(a) - _slope(b)) * 4 / math.pi**2
    weight = tf.stop_gradient(tf.math.divide_no_nan(shape, 1 - iou + shape))
    return iou, iou - distance - weight * shape


OVERLAPS = {"giou": iou_and_giou, "ciou": iou_and_ciou}


def _iou(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """IoU, the area of both together, and the sides of the smallest box that holds both."""
    ax1, ay1, ax2, ay2 = tf.unstack(a, axis=-1)
    bx1, by1, bx2, by2 = tf.unstack(b, axis=-1)
    width = tf.maximum(tf.minimum(ax2, bx2) - tf.maximum(ax1, bx1), 0.0)
    height = tf.maximum(tf.minimum(ay2, by2) - tf.maximum(ay1, by1), 0.0)
    both = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both
    hull = tf.maximum(ax2, bx2) - tf.minimum(ax1, bx1), tf.maximum(ay2, by2) - tf.minimum(ay1, by1)
    return tf.math.divide_no_nan(both, union), union, hull


def _slope(boxes: tf.Tensor) -> tf.Tensor:
    """The angle of a box's diagonal, up from its height."""
    return tf.atan2(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
