"""Random changes to training images, with their boxes.

One affine warp does crop, scale, flips, quarter turns and small turns; one matrix does contrast, saturation and hue. Every
draw comes from a seed given from outside, so the same epoch of the same seed sees the same images, also after a resume.
`draw_changes` decides for one image; `change_images` and `change_boxes` carry out the decisions of a whole batch, each image
by itself and with exact sums, so that the size of the batch makes no difference.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mirada.config import AugmentConfig

PADDING = 114.0  # the grey that letterboxing pads with
MIN_VISIBLE = 0.3  # a box of which less is left inside is ignored, neither object nor background
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

Changes = dict[str, tf.Tensor]


def augment(
    image: tf.Tensor, boxes: tf.Tensor, ignore: tf.Tensor, seed: tf.Tensor, config: AugmentConfig
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Change one image and its boxes at random.

    Args:
        image: (S, S, C) uint8, C is 3 or 1.
        boxes: (N, 4) float32, corners in pixels.
        ignore: (N,) bool.
        seed: (2,) integers; the same seed gives the same changes.
        config: how much.

    Returns:
        image (S, S, C) float32 in 0..255; boxes (M, 4), clipped; ignore (M,); kept (N,) bool: which boxes are left.
    """
    image, boxes = tf.convert_to_tensor(image), tf.convert_to_tensor(boxes)
    changes = {key: value[None] for key, value in draw_changes(seed, image.shape[0], image.shape[2], config).items()}
    moved, visible, kept = change_boxes(boxes[None], changes, image.shape[0])
    ignore = tf.convert_to_tensor(ignore) | (visible[0] < MIN_VISIBLE)
    return change_images(image[None], changes)[0], moved[0][kept[0]], ignore[kept[0]], kept[0]


def draw_changes(
    seed: tf.Tensor, side: int, channels: int, config: AugmentConfig, scales: tf.Tensor | None = None
) -> Changes:
    """What is to be done to one image.

    Args:
        seed: (2,) integers.
        side: of the image, in pixels.
        channels: 3 or 1; hue and saturation of a grey image do not change.
        config: how much.
        scales: (2,), of `size_keeping_scales`: smallest and largest side of the window, relative to the image; None: as
            `config` says.

    Returns:
        to_source (2, 3): takes a point of the new image to the old one; without small turns also window (4,), what
        CropAndResize takes, and with quarter turns transposed (), whether rows and columns change places before; colour
        (3, 3) for RGB: takes old colours to new ones; contrast () and brightness (), in 0..255. What `config` does not ask
        for is absent.
    """
    draws = tf.random.stateless_uniform((12,), seed)
    changes = {}
    moves = config.flip_horizontal or config.flip_vertical or config.rotate_90 or config.rotate_degrees > 0
    if moves or (config.scale_min, config.scale_max) != (1.0, 1.0):
        changes["to_source"] = _warp(draws, float(side), config, scales)
        if not config.rotate_degrees:
            changes |= _window(changes["to_source"], float(side), config.rotate_90)
    signed = 2 * draws[6:] - 1
    if channels == 3 and (config.saturation or config.hue):
        changes["colour"] = _colour_matrix(signed, config)
    if config.contrast:
        changes["contrast"] = 1 + config.contrast * signed[2]
    if config.brightness:
        changes["brightness"] = 255 * config.brightness * signed[3]
    return changes


def change_images(images: tf.Tensor, changes: Changes) -> tf.Tensor:
    """Carry out the changes on (B, S, S, C) images in 0..255; gives float32 in 0..255."""
    images = tf.cast(images, tf.float32)
    if "window" in changes:
        images = _crop(images, changes)
    elif "to_source" in changes:
        half = tf.fill(
            (2, 1), 0.5
        )  # pixel i covers i..i+1, its centre is i + 0.5; the op counts centres as whole numbers
        matrix, offset = changes["to_source"][:, :, :2], changes["to_source"][:, :, 2:]
        shifted = offset + 0.5 * tf.reduce_sum(matrix, 2, keepdims=True) - half
        rows = tf.reshape(tf.concat([matrix, shifted], 2), (-1, 6))
        images = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.pad(rows, ((0, 0), (0, 2))),
            output_shape=tf.shape(images)[1:3],
            fill_value=PADDING,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
    return _recolour(images, changes)


def _crop(images: tf.Tensor, changes: Changes) -> tf.Tensor:
    """What the projective transform does where rows stay rows or become columns, in a third of its time.

    Less than a pixel beyond the border it gives the padding, where the other one mixes it with the last pixel.
    """
    if "transposed" in changes:
        turned = tf.transpose(images, (0, 2, 1, 3))
        images = tf.where(changes["transposed"][:, None, None, None], turned, images)
    return tf.raw_ops.CropAndResize(
        image=images,
        boxes=changes["window"],
        box_ind=tf.range(tf.shape(images)[0]),
        crop_size=tf.shape(images)[1:3],
        method="bilinear",
        extrapolation_value=PADDING,
    )


def _recolour(images: tf.Tensor, changes: Changes) -> tf.Tensor:
    if not changes.keys() & {"colour", "contrast", "brightness"}:
        return images
    shift, gain = tf.zeros(()), tf.ones((1, 1, 1, 1))
    if "contrast" in changes:
        gain = changes["contrast"][:, None, None, None]
        shift = _mean(images) * (1 - gain)
    if "colour" in changes:  # its rows sum to 1: grey, and so the mean's share of each colour, stays
        flat = tf.reshape(images, (tf.shape(images)[0], -1, 3))
        coloured = tf.reshape(tf.matmul(flat, changes["colour"] * gain[..., 0], transpose_b=True), tf.shape(images))
    else:
        coloured = images * gain
    if "brightness" in changes:
        shift += changes["brightness"][:, None, None, None]
    return tf.clip_by_value(coloured + shift, 0.0, 255.0)


def _mean(images: tf.Tensor) -> tf.Tensor:
    """The mean of each image (B, 1, 1, 1), in 64ths: whole numbers add up to the same sum in any order."""
    fixed = tf.cast(images * 64, tf.int32)
    rows = tf.reduce_sum(fixed, (2, 3), keepdims=True)  # at most 2048 * 3 * 255 * 64 < 2 ** 31
    total = tf.reduce_sum(tf.cast(rows, tf.int64), (1, 2, 3), keepdims=True)
    return tf.cast(total / (64 * tf.size(images[0], tf.int64)), tf.float32)


def change_boxes(boxes: tf.Tensor, changes: Changes, side: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Move the boxes along with their images.

    Args:
        boxes: (B, N, 4) float32, corners in pixels.
        changes: of each image.
        side: of the images, in pixels.

    Returns:
        boxes (B, N, 4), around their four turned corners, clipped to the image; visible (B, N): the share of each that
        is inside; kept (B, N) bool: whether anything is.
    """
    if "to_source" not in changes:
        return boxes, tf.ones(tf.shape(boxes)[:2]), box_areas(boxes) > 0
    (a, b, shift_x), (c, d, shift_y) = (
        (tf.unstack(row, axis=1)) for row in tf.unstack(changes["to_source"][..., None], axis=1)
    )
    x = tf.gather(boxes, (0, 2, 0, 2), axis=2) - shift_x[..., None]
    y = tf.gather(boxes, (1, 1, 3, 3), axis=2) - shift_y[..., None]
    determinant = (a * d - b * c)[..., None]
    new_x = (d[..., None] * x - b[..., None] * y) / determinant
    new_y = (a[..., None] * y - c[..., None] * x) / determinant
    sides = (tf.reduce_min(new_x, 2), tf.reduce_min(new_y, 2), tf.reduce_max(new_x, 2), tf.reduce_max(new_y, 2))
    moved = tf.stack(sides, axis=2)
    clipped = tf.clip_by_value(moved, 0.0, float(side))
    return clipped, tf.math.divide_no_nan(box_areas(clipped), box_areas(moved)), box_areas(clipped) > 1.0


def size_keeping_scales(
    boxes: tf.Tensor, counted: tf.Tensor, sizes: tuple[float, float], config: AugmentConfig
) -> tf.Tensor:
    """Between which scales an image's objects stay, on the whole, as large as objects of the training are.

    Args:
        boxes: (N, 4) float32.
        counted: (N,) bool: which of them are objects.
        sizes: sides (square root of the area) in pixels that few objects fall short of, and few surpass.
        config: its scale_min and scale_max are the widest limits.

    Returns:
        (2,) smallest and largest side of the window. An object of side s becomes s / scale large; s is the geometric mean
        of the image's objects. Where they are beyond `sizes` already, the nearest that `config` allows.
    """
    number = tf.reduce_sum(tf.cast(counted, tf.float32))
    logs = tf.where(counted, tf.math.log(tf.maximum(box_areas(boxes), 1.0)) / 2, 0.0)
    side = tf.exp(tf.math.divide_no_nan(tf.reduce_sum(logs), number))
    limits = tf.stack([config.scale_min, config.scale_max])
    kept = tf.clip_by_value(side / tf.stack([sizes[1], sizes[0]]), config.scale_min, config.scale_max)
    return tf.where(number > 0, kept, limits)


def _warp(draws: tf.Tensor, side: float, config: AugmentConfig, scales: tf.Tensor | None) -> tf.Tensor:
    """The (2, 3) matrix that takes a point of the new image to the old one."""
    low, high = math.log(config.scale_min), math.log(config.scale_max)
    if scales is not None:
        low, high = tf.unstack(tf.math.log(scales))
    scale = tf.exp(low + (high - low) * draws[0])  # side of the window in the old image, relative to it
    shift = (1 - scale) * side * draws[1:3]  # its corner; negative where the window is larger than the image
    matrix = tf.eye(2)
    if config.flip_horizontal:
        matrix = tf.linalg.matmul(matrix, tf.linalg.diag([_sign(draws[3]), 1.0]))
    if config.flip_vertical:
        matrix = tf.linalg.matmul(matrix, tf.linalg.diag([1.0, _sign(draws[4])]))
    if config.rotate_90:
        swap = tf.constant([[0.0, 1.0], [1.0, 0.0]])
        matrix = tf.where(draws[5] < 0.5, matrix, tf.linalg.matmul(matrix, swap))
    if config.rotate_degrees:
        angle = math.radians(config.rotate_degrees) * (2 * draws[10] - 1)
        sine, cosine = tf.sin(angle), tf.cos(angle)
        matrix = tf.linalg.matmul(matrix, tf.stack([tf.stack([cosine, -sine]), tf.stack([sine, cosine])]))
    matrix = matrix * scale
    centre = tf.fill((2, 1), side / 2)
    return tf.concat([matrix, shift[:, None] + centre * scale - tf.linalg.matmul(matrix, centre)], 1)


def _window(to_source: tf.Tensor, side: float, turns: bool) -> Changes:
    """The same as corners (y1, x1, y2, x2) in shares of side - 1, from the first pixel's centre to the last one's."""
    upright = to_source
    changes = {}
    if turns:
        changes["transposed"] = tf.equal(to_source[0, 0], 0.0)
        upright = tf.where(changes["transposed"], to_source[::-1], to_source)
    scale, shift = tf.linalg.diag_part(upright[:, :2]), upright[:, 2]
    ends = tf.stack([0.5 * scale + shift - 0.5, (side - 0.5) * scale + shift - 0.5]) / (side - 1)
    return changes | {"window": tf.reshape(ends[:, ::-1], (4,))}


def _sign(draw: tf.Tensor) -> tf.Tensor:
    return tf.where(draw < 0.5, -1.0, 1.0)


def box_areas(boxes: tf.Tensor) -> tf.Tensor:
    """Square pixels of boxes (..., 4)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _colour_matrix(signed: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """Saturation and hue as one linear map of the colours (3, 3)."""
    luma = tf.tile(tf.constant([_LUMA]), (3, 1))
    saturation = 1 + config.saturation * signed[0]
    matrix = saturation * tf.eye(3) + (1 - saturation) * luma
    angle = 2 * math.pi * config.hue * signed[1]
    third = tf.fill((3, 3), 1 / 3)  # hue: a turn about the grey axis (Rodrigues)
    cross = tf.constant([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    turn = tf.cos(angle) * tf.eye(3) + (1 - tf.cos(angle)) * third + tf.sin(angle) * cross
    return tf.matmul(matrix, turn)
