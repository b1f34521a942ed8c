"""Several training images made into one: mosaic, mixup, and objects of rare classes pasted in.

Whole pixels are moved and nothing is scaled, so an object stays as large as it is in the image that it comes from: where
photographs are cut into tiles, all of one zoom, that is the size at which the network meets it later. Zooming in and out is
left to `changes`, which comes after.

An example is what `dataset.parse` makes, with fixed rows for boxes; `visible` (M,) then says what share of each is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from mirada.config import AugmentConfig
from mirada.learning.augment.changes import MIN_VISIBLE, box_areas

PARTNERS = 3  # images that stand beside an image, to be mixed with it
_SPLIT = (0.25, 0.75)  # between which shares of its side the four parts of a mosaic meet
_SHARE = (0.4, 0.5)  # of the second image in a mixture of images with boxes, which both have to be found
_STREAM = 1  # of the seed: other numbers than `changes` draws

Tensors = dict[str, tf.Tensor]


def beside(examples: tf.data.Dataset) -> tf.data.Dataset:
    """Each example as a tuple with the PARTNERS that follow it; the last PARTNERS are partners only."""
    blank = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), examples.element_spec)

    def step(waiting: tuple[Tensors, ...], new: Tensors) -> tuple[tuple[Tensors, ...], tuple[Tensors, ...]]:
        return (*waiting[1:], new), (*waiting, new)

    return examples.scan((blank,) * PARTNERS, step).skip(PARTNERS)


def mix_objects(
    examples: Sequence[Tensors],
    donor: Tensors | None,
    rare: tf.Tensor,
    seed: tf.Tensor,
    config: AugmentConfig,
    rows: int,
) -> Tensors:
    """Mix images with any number of objects, each way with its probability.

    Args:
        examples: the image, and its PARTNERS.
        donor: an image with an object of a rare class; None: there is none, and nothing is pasted.
        rare: (classes,) bool: which classes are.
        seed: (2,) integers; the same seed mixes the same way.
        config: its mosaic, mixup and copy_paste are used.
        rows: of boxes in the result; where more come together, the image stays as it was.
    """
    draws = tf.random.stateless_uniform((22,), tf.random.fold_in(seed, _STREAM))
    first, *partners = (_whole(example) for example in examples)
    mixed = first
    if config.mosaic:
        parts = (first, *partners)
        mixed = tf.cond(draws[0] < config.mosaic, lambda: mosaic(parts, draws[4:14]), lambda: first)
    if config.mixup:
        share, before = _between(_SHARE, draws[3]), mixed
        # The mosaic has used all partners, but of each only a part.
        mixed = tf.cond(draws[1] < config.mixup, lambda: mix_up(before, partners[0], share), lambda: before)
    if config.copy_paste and donor is not None:
        under, giver = mixed, _whole(donor)
        mixed = tf.cond(draws[2] < config.copy_paste, lambda: paste(under, giver, rare, draws[14:18]), lambda: under)
    fits = tf.reduce_sum(tf.cast(mixed["labels"] >= 0, tf.int32)) <= rows
    return settle(tf.cond(fits, lambda: mixed, lambda: first), rows)


def mix_labels(examples: Sequence[Tensors], seed: tf.Tensor, config: AugmentConfig) -> Tensors:
    """Mix images with one label each.

    Args:
        examples: the image, and its PARTNERS.
        seed: (2,) integers.
        config: its mixup is used, a probability.

    Returns:
        The first, its pixels mixed with the second's; mixed_label (): the second's label; mixed_share (): its share of
        the pixels, up to a half, 0 where nothing was mixed.
    """
    first, second = examples[0], examples[1]
    draws = tf.random.stateless_uniform((2,), tf.random.fold_in(seed, _STREAM))
    share = tf.where(draws[0] < config.mixup, draws[1] / 2, 0.0)
    return first | {
        "image": _blend(first["image"], second["image"], share),
        "mixed_label": second["labels"][0],
        "mixed_share": share,
    }


def unmixed(example: Tensors, rows: int) -> Tensors:
    """An example with objects as it is, in the form of a mixed one."""
    return settle(_whole(example), rows)


def unmixed_label(example: Tensors) -> Tensors:
    """An example with one label as it is, in the form of a mixed one."""
    return example | {"mixed_label": example["labels"][0], "mixed_share": tf.zeros(())}


def mosaic(examples: Sequence[Tensors], draws: tf.Tensor) -> Tensors:
    """A part of each of four images, all at their own scale, around a point near the middle.

    Args:
        examples: four, with `visible`.
        draws: (10,) in 0..1: where they meet, and which part of each is taken.
    """
    side = examples[0]["image"].shape[0]
    low, high = _SPLIT
    x, y = tf.unstack(tf.cast(side * (low + (high - low) * draws[:2]), tf.int32))
    corners, sizes = ((0, 0), (x, 0), (0, y), (x, y)), ((x, y), (side - x, y), (x, side - y), (side - x, side - y))
    patches, shown = [], []
    for number, (example, (left, top), (width, height)) in enumerate(zip(examples, corners, sizes, strict=True)):
        from_x = _whole_number(draws[2 + 2 * number], side - width)
        from_y = _whole_number(draws[3 + 2 * number], side - height)
        patches.append(example["image"][from_y : from_y + height, from_x : from_x + width])
        window = tf.stack([from_x, from_y, from_x + width, from_y + height])
        shown.append(_seen(example, window, tf.stack([left - from_x, top - from_y])))
    upper, lower = tf.concat(patches[:2], 1), tf.concat(patches[2:], 1)
    image = tf.ensure_shape(tf.concat([upper, lower], 0), examples[0]["image"].shape)
    return examples[0] | {"image": image} | _joined(shown)


def mix_up(first: Tensors, second: Tensors, share: tf.Tensor) -> Tensors:
    """Two images laid over each other, with the boxes of both.

    Args:
        first, second: with `visible`.
        share: of the second one's pixels.
    """
    return first | {"image": _blend(first["image"], second["image"], share)} | _joined([first, second])


def paste(under: Tensors, donor: Tensors, rare: tf.Tensor, draws: tf.Tensor) -> Tensors:
    """Cut out one object of a rare class, and lay it somewhere on an image.

    Boxes that it covers lose that share of themselves; what else is in the cut-out comes with its boxes.

    Args:
        under: the image, with `visible`.
        donor: has such an object, and `visible`; without one nothing is pasted.
        rare: (classes,) bool.
        draws: (4,) in 0..1: which object, and where it goes.
    """
    side = under["image"].shape[0]
    wanted = (donor["labels"] >= 0) & ~donor["ignore"] & tf.gather(rare, tf.maximum(donor["labels"], 0))
    places = tf.where(wanted)[:, 0]
    count = tf.size(places)
    box = tf.gather(donor["boxes_xyxy"], places[_whole_number(draws[0], count - 1)]) if count > 0 else tf.zeros((4,))
    low, high = tf.cast(tf.floor(box[:2]), tf.int32), tf.cast(tf.math.ceil(box[2:]), tf.int32)
    low, high = tf.maximum(low, 0), tf.minimum(high, side)
    new = tf.stack([_whole_number(draws[1 + axis], side - (high - low)[axis]) for axis in (0, 1)])
    shift, end = new - low, new + high - low
    pixel = tf.range(side)
    rows, columns = ((pixel >= new[axis]) & (pixel < end[axis]) for axis in (1, 0))
    moved = tf.roll(donor["image"], shift[::-1], (0, 1))
    image = tf.where((rows[:, None] & columns[None])[..., None], moved, under["image"])
    laid = _seen(donor, tf.concat([low, high], 0), shift)
    covered = box_areas(_clipped(under["boxes_xyxy"], tf.concat([new, end], 0)))
    hidden = tf.math.divide_no_nan(covered, box_areas(under["boxes_xyxy"]))
    return under | {"image": image} | _joined([under | {"visible": under["visible"] * (1 - hidden)}, laid])


def settle(example: Tensors, rows: int) -> Tensors:
    """Boxes that are there first, in `rows` rows; those of which too little is left are ignored."""
    order = tf.argsort(tf.cast(example["labels"] < 0, tf.int32), stable=True)[:rows]
    spare = tf.maximum(rows - tf.size(order), 0)
    fill = {"boxes_xyxy": 0.0, "labels": -1, "ignore": True, "visible": 1.0}
    settled = dict(example)
    for key, empty in fill.items():
        value = tf.gather(example[key], order)
        padding = [[0, spare]] + [[0, 0]] * (value.shape.rank - 1)
        settled[key] = tf.ensure_shape(tf.pad(value, padding, constant_values=empty), (rows, *value.shape[1:]))
    settled["ignore"] |= settled["visible"] < MIN_VISIBLE
    return settled


def _whole(example: Tensors) -> Tensors:
    return example | {"visible": tf.ones_like(example["labels"], tf.float32)}


def _seen(example: Tensors, window: tf.Tensor, shift: tf.Tensor) -> Tensors:
    """The boxes as far as they are in a window (x1, y1, x2, y2), moved by (x, y); both in whole pixels."""
    clipped = _clipped(example["boxes_xyxy"], window)
    share = tf.math.divide_no_nan(box_areas(clipped), box_areas(example["boxes_xyxy"]))
    there = (example["labels"] >= 0) & (box_areas(clipped) > 1.0)
    moved = clipped + tf.cast(tf.tile(shift, (2,)), tf.float32)
    return {
        "boxes_xyxy": tf.where(there[:, None], moved, 0.0),
        "labels": tf.where(there, example["labels"], -1),
        "ignore": example["ignore"] | ~there,
        "visible": example["visible"] * share,
    }


def _clipped(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """The part of boxes (M, 4) in a window; of no size where there is none."""
    window = tf.cast(window, tf.float32)
    low, high = tf.tile(window[:2], (2,)), tf.tile(window[2:], (2,))
    return tf.minimum(tf.maximum(boxes, low), high)


def _joined(shown: Sequence[Tensors]) -> Tensors:
    keys = ("boxes_xyxy", "labels", "ignore", "visible")
    return {key: tf.concat([part[key] for part in shown], 0) for key in keys}


def _blend(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    a, b = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    return tf.cast(tf.round(a + share * (b - a)), tf.uint8)


def _between(ends: tuple[float, float], draw: tf.Tensor) -> tf.Tensor:
    return ends[0] + (ends[1] - ends[0]) * draw


def _whole_number(draw: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """A whole number from 0 to `most`, of a draw in 0..1."""
    return tf.minimum(tf.cast(draw * tf.cast(most + 1, tf.float32), tf.int32), most)
