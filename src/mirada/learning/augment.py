"""Random changes to a training image, with its boxes.

One affine warp does crop, scale, flips and quarter turns; one matrix does brightness, contrast, saturation and hue. Every
draw comes from a seed given from outside, so the same epoch of the same seed sees the same images, also after a resume.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mirada.config import AugmentConfig

PADDING = 114.0  # the grey that letterboxing pads with
MIN_VISIBLE = 0.3  # a box of which less is left inside is ignored, neither object nor background
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment(
    image: tf.Tensor, boxes: tf.Tensor, ignore: tf.Tensor, seed: tf.Tensor, config: AugmentConfig
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Change one image and its boxes at random.

    Args:
        image: (S, S, 3) uint8.
        boxes: (N, 4) float32, corners in pixels.
        ignore: (N,) bool.
        seed: (2,) integers; the same seed gives the same changes.
        config: how much.

    Returns:
        image (S, S, 3) float32 in 0..255; boxes (M, 4), clipped; ignore (M,); kept (N,) bool: which boxes are left.
    """
    side = tf.cast(tf.shape(image)[0], tf.float32)
    draws = tf.random.stateless_uniform((12,), seed)
    to_source = _warp(draws, side, config)
    image = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=tf.concat([tf.reshape(to_source, (1, 6)), tf.zeros((1, 2))], 1),
        output_shape=tf.shape(image)[:2],
        fill_value=PADDING,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]
    boxes, ignore, kept = _move_boxes(boxes, ignore, to_source, side)
    return _recolour(image, draws[6:], config), boxes, ignore, kept


def _warp(draws: tf.Tensor, side: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """The (2, 3) matrix that takes a point of the new image to the old one."""
    low, high = math.log(config.scale_min), math.log(config.scale_max)
    scale = tf.exp(low + (high - low) * draws[0])  # side of the window in the old image, relative to it
    shift = (1 - scale) * side * draws[1:3]  # its corner; negative where the window is larger than the image
    matrix = tf.eye(2)
    if config.flip_horizontal:
        matrix = tf.linalg.matmul(matrix, tf.linalg.diag([_sign(draws[3]), 1.0]))
    if config.flip_vertical:
        matrix = tf.linalg.matmul(matrix, tf.linalg.diag([1.0, _sign(draws[4])]))
    if config.rotate_90:
        swap = tf.constant([[0.0, 1.0], [1.0, 0.0]])
        matrix = tf.cond(draws[5] < 0.5, lambda: matrix, lambda: tf.linalg.matmul(matrix, swap))
    matrix = matrix * scale
    centre = tf.fill((2, 1), side / 2)
    offset = shift[:, None] + centre * scale - tf.linalg.matmul(matrix, centre)
    # pixel i covers i..i+1, its centre is i + 0.5; the warp op counts centres as whole numbers
    half = tf.fill((2, 1), 0.5)
    return tf.concat([matrix, offset + tf.linalg.matmul(matrix, half) - half], 1)


def _sign(draw: tf.Tensor) -> tf.Tensor:
    return tf.where(draw < 0.5, -1.0, 1.0)


def _move_boxes(
    boxes: tf.Tensor, ignore: tf.Tensor, to_source: tf.Tensor, side: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    matrix, offset = to_source[:, :2], to_source[:, 2:]
    half = tf.fill((2, 1), 0.5)
    offset = offset - tf.linalg.matmul(matrix, half) + half
    inverse = tf.linalg.inv(matrix)
    first = tf.linalg.matmul(inverse, tf.transpose(boxes[:, :2]) - offset)
    second = tf.linalg.matmul(inverse, tf.transpose(boxes[:, 2:]) - offset)
    moved = tf.transpose(tf.concat([tf.minimum(first, second), tf.maximum(first, second)], 0))
    clipped = tf.clip_by_value(moved, 0.0, side)
    visible = tf.math.divide_no_nan(_area(clipped), _area(moved))
    kept = _area(clipped) > 1.0
    return clipped[kept], (ignore | (visible < MIN_VISIBLE))[kept], kept


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _recolour(image: tf.Tensor, draws: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """Brightness, contrast, saturation and hue as one linear map of the colours."""
    draws = 2 * draws - 1
    luma = tf.tile(tf.constant([_LUMA]), (3, 1))
    saturation = 1 + config.saturation * draws[0]
    matrix = saturation * tf.eye(3) + (1 - saturation) * luma
    angle = 2 * math.pi * config.hue * draws[1]
    third = tf.fill((3, 3), 1 / 3)  # hue: a turn about the grey axis (Rodrigues)
    cross = tf.constant([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    turn = tf.cos(angle) * tf.eye(3) + (1 - tf.cos(angle)) * third + tf.sin(angle) * cross
    contrast = 1 + config.contrast * draws[2]
    mean = tf.reduce_mean(image)
    coloured = tf.reshape(image, (-1, 3)) @ tf.transpose(tf.matmul(matrix, turn)) * contrast
    brightness = 255 * config.brightness * draws[3]
    return tf.reshape(tf.clip_by_value(coloured + mean * (1 - contrast) + brightness, 0.0, 255.0), tf.shape(image))
