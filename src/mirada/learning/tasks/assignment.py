"""Which cell of a detector answers for which box.

By the box's centre and size alone, as in FCOS (arXiv:1904.01355), or by how well the cells do at present, as in TOOD
(arXiv:2108.07755).
"""

from __future__ import annotations

import tensorflow as tf

from mirada.learning.tasks.box_overlap import iou_and_giou

CENTRE_RADIUS = 1.5  # strides from a box's centre within which a cell may answer for it
ALIGNED_CELLS = 13  # cells at most that answer for a box, of those whose centre is in it
SCORE_POWER, IOU_POWER = 1.0, 6.0  # alignment is score ** 1 * IoU ** 6, all three as in TOOD
_FAR = 1e9
_LEAST = 1e-30  # of an alignment that is divided by: score 0.01 and IoU 0.0001 make 1e-26


def assign(
    boxes: tf.Tensor, labels: tf.Tensor, ignore: tf.Tensor, points: tf.Tensor, strides: tf.Tensor, ranges: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Choose the box each cell answers for; of several, the smallest.

    Args:
        boxes: (B, M, 4) corners in pixels.
        labels: (B, M) class index, -1 for padding.
        ignore: (B, M) true for boxes that are neither object nor background.
        points, strides, ranges: what `cell_centres` returns.

    Returns:
        chosen (B, P): index into M; positive (B, P): whether the cell answers for a box;
        unsure (B, P): no object, but inside an ignored box, so no background either.
    """
    x, y = points[None, :, None, 0], points[None, :, None, 1]
    x1, y1, x2, y2 = (boxes[:, None, :, i] for i in range(4))
    inside = _inside(boxes, points)
    away = tf.maximum(tf.abs(x - (x1 + x2) / 2), tf.abs(y - (y1 + y2) / 2))
    central = away <= CENTRE_RADIUS * strides[None, :, None]
    longer = tf.maximum(x2 - x1, y2 - y1)
    fits = (longer >= ranges[None, :, None, 0]) & (longer <= ranges[None, :, None, 1])
    real = ((labels >= 0) & ~ignore)[:, None]
    area = tf.where(inside & central & fits & real, (x2 - x1) * (y2 - y1), _FAR)
    positive = tf.reduce_min(area, -1) < _FAR
    unsure = _in_ignored(inside, labels, ignore) & ~positive
    return tf.argmin(area, -1, output_type=tf.int32), positive, unsure


def assign_by_task(
    boxes: tf.Tensor, labels: tf.Tensor, ignore: tf.Tensor, points: tf.Tensor, scores: tf.Tensor, found: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Choose the box each cell answers for: a box takes the cells inside it whose score and box fit it best together.

    Args:
        boxes, labels, ignore: as for `assign`.
        points: (P, 2) cell centres.
        scores: (B, P, classes) in 0..1, that the network gives at present.
        found: (B, P, 4) its boxes.

    Returns:
        chosen (B, P): index into M; quality (B, P): what the cell is to score, 0 where it answers for none: the best of a
        box's cells as much as the best IoU among them, the others in proportion to their alignment; unsure (B, P): as for
        `assign`. A cell that several boxes want goes to the one that it overlaps most.
    """
    inside, real = _inside(boxes, points), (labels >= 0) & ~ignore
    candidate = inside & real[:, None]
    iou = tf.where(candidate, tf.clip_by_value(iou_and_giou(found[:, :, None], boxes[:, None])[0], 0.0, 1.0), 0.0)
    if scores.shape[-1] > 1:
        scores = tf.gather(scores, tf.maximum(labels, 0), axis=2, batch_dims=1)
    alignment = tf.where(candidate, scores**SCORE_POWER * iou**IOU_POWER, -1.0)
    best = tf.math.top_k(tf.transpose(alignment, (0, 2, 1)), min(ALIGNED_CELLS, points.shape[0])).values
    taken = candidate & (alignment >= tf.maximum(best[..., -1], 0.0)[:, None]) & (iou > 0)
    overlap = tf.where(taken, iou, -1.0)
    chosen = tf.argmax(overlap, -1, output_type=tf.int32)
    positive = tf.reduce_max(overlap, -1) > 0
    taken &= tf.one_hot(chosen, tf.shape(boxes)[1], on_value=True, off_value=False)
    kept = tf.where(taken, alignment, 0.0)
    top, top_iou = tf.reduce_max(kept, 1, keepdims=True), tf.reduce_max(tf.where(taken, iou, 0.0), 1, keepdims=True)
    quality = tf.reduce_sum(kept * top_iou / tf.maximum(top, _LEAST), -1)
    return chosen, tf.where(positive, quality, 0.0), _in_ignored(inside, labels, ignore) & ~positive


def _inside(boxes: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """(B, P, M): whether a cell's centre is in a box."""
    x, y = points[None, :, None, 0], points[None, :, None, 1]
    x1, y1, x2, y2 = (boxes[:, None, :, i] for i in range(4))
    return tf.reduce_min(tf.stack([x - x1, y - y1, x2 - x, y2 - y]), 0) > 0


def _in_ignored(inside: tf.Tensor, labels: tf.Tensor, ignore: tf.Tensor) -> tf.Tensor:
    """(B, P): whether a cell's centre is in an ignored box."""
    return tf.reduce_any(inside & ((labels >= 0) & ignore)[:, None], -1)
