"""Operations drawn by chance on images whose label holds for the whole of them (RandAugment, arXiv:1909.13719).

All are TensorFlow's own, on one image of uint8 at a time, before the changes that all tasks share. There is no box that
would have to follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from mirada.config import AugmentConfig
from mirada.learning.augment.changes import PADDING

_STREAM = 2  # of the seed: other numbers than the other parts of `augment` draw
_TURN, _SHEAR, _SHIFT, _GAIN = 30.0, 0.3, 0.3, 0.9  # degrees and shares, at full strength

Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (S, S, C) float32 in 0..255, and the strength in -1..1


def rand_augment(image: tf.Tensor, seed: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """Do `config.rand_operations` operations, each drawn from all of them, one after the other.

    Args:
        image: (S, S, C) uint8, C is 3 or 1.
        seed: (2,) integers; the same seed does the same.
        config: also rand_strength, which all operations have, to one side or the other.

    Returns:
        (S, S, C) uint8.
    """
    count = config.rand_operations
    draws = tf.random.stateless_uniform((count, 2), tf.random.fold_in(seed, _STREAM))
    pixels = tf.cast(image, tf.float32)
    for number in range(count):
        strength = tf.where(draws[number, 1] < 0.5, -1.0, 1.0) * config.rand_strength
        which = tf.minimum(tf.cast(draws[number, 0] * len(OPERATIONS), tf.int32), len(OPERATIONS) - 1)
        branches = [_branch(operation, pixels, strength) for operation in OPERATIONS.values()]
        pixels = tf.clip_by_value(tf.round(tf.switch_case(which, branches)), 0.0, 255.0)
    return tf.ensure_shape(tf.cast(pixels, tf.uint8), image.shape)


def _branch(operation: Operation, pixels: tf.Tensor, strength: tf.Tensor) -> Callable[[], tf.Tensor]:
    return lambda: operation(pixels, strength)


def _stretch_contrast(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Each channel from its darkest to its brightest pixel becomes 0 to 255, whatever the strength."""
    low, high = tf.reduce_min(image, (0, 1)), tf.reduce_max(image, (0, 1))
    return tf.where(high > low, tf.math.divide_no_nan((image - low) * 255.0, high - low), image)


def _equalize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Each channel's values as even as they get, whatever the strength."""
    channels = [_equalized(tf.cast(channel, tf.int32)) for channel in tf.unstack(image, axis=2)]
    return tf.stack(channels, 2)


def _equalized(values: tf.Tensor) -> tf.Tensor:
    counts = tf.math.bincount(tf.reshape(values, (-1,)), minlength=256, maxlength=256)
    below = tf.cumsum(counts)
    first = tf.gather(counts, tf.reduce_min(values))  # the darkest pixels stay at 0
    even = 255 * tf.maximum(below - first, 0) / tf.maximum(tf.size(values) - first, 1)
    return tf.gather(tf.cast(even, tf.float32), values)


def _posterize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Fewer bits a channel: from 8 down to 4."""
    step = 2.0 ** tf.round(4 * tf.abs(strength))
    return tf.floor(image / step) * step


def _solarize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Bright pixels are inverted; at full strength those from the middle on."""
    return tf.where(image >= 255.0 - 127.0 * tf.abs(strength), 255.0 - image, image)


def _brighten(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return image * (1 + _GAIN * strength)


def _contrast(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    fixed = tf.reduce_sum(tf.cast(image, tf.int64))  # whole numbers add up to the same sum in any order
    mean = tf.cast(fixed / tf.size(image, tf.int64), tf.float32)
    return mean + (image - mean) * (1 + _GAIN * strength)


def _saturate(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Away from grey, or towards it; a grey image stays."""
    if image.shape[2] == 1:
        return image
    grey = tf.image.rgb_to_grayscale(image)
    return grey + (image - grey) * (1 + _GAIN * strength)


def _sharpen(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Away from the mean of each pixel and its neighbours, or towards it."""
    channels = image.shape[2]
    kernel = tf.tile(tf.fill((3, 3, 1, 1), 1 / 9), (1, 1, channels, 1))
    around = tf.pad(image, ((1, 1), (1, 1), (0, 0)), "SYMMETRIC")[None]
    smooth = tf.nn.depthwise_conv2d(around, kernel, (1, 1, 1, 1), "VALID")[0]
    return smooth + (image - smooth) * (1 + _GAIN * strength)


def _turn(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    angle = math.radians(_TURN) * strength
    return _move(image, ((tf.cos(angle), -tf.sin(angle)), (tf.sin(angle), tf.cos(angle))), (0.0, 0.0))


def _shear_x(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _move(image, ((1.0, _SHEAR * strength), (0.0, 1.0)), (0.0, 0.0))


def _shear_y(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _move(image, ((1.0, 0.0), (_SHEAR * strength, 1.0)), (0.0, 0.0))


def _shift_x(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _move(image, ((1.0, 0.0), (0.0, 1.0)), (_SHIFT * strength * image.shape[1], 0.0))


def _shift_y(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return _move(image, ((1.0, 0.0), (0.0, 1.0)), (0.0, _SHIFT * strength * image.shape[0]))


def _move(image: tf.Tensor, rows: tuple, shift: tuple) -> tf.Tensor:
    """What lies at `rows` times a place, both seen from the centre, plus `shift`, comes to that place; grey beyond."""
    centre = (image.shape[0] - 1) / 2
    moves = [tf.stack([a, b, centre * (1 - a - b) + by]) for (a, b), by in zip(rows, shift, strict=True)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.concat([*moves, tf.zeros(2)], 0)[None],
        output_shape=image.shape[:2],
        fill_value=PADDING,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]


OPERATIONS: dict[str, Operation] = {
    "identity": lambda image, strength: image,
    "stretch_contrast": _stretch_contrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "solarize": _solarize,
    "brighten": _brighten,
    "contrast": _contrast,
    "saturate": _saturate,
    "sharpen": _sharpen,
    "turn": _turn,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "shift_x": _shift_x,
    "shift_y": _shift_y,
}
