"""Detection: a light feature pyramid with a head a level; which cell answers for which box; the three losses.

ReLU6 everywhere, boxes, scores and classes as separate outputs with scales of their own, decoding and NMS outside the
graph (`mirada.inference.prediction`), so that all of it survives int8.

Centre sampling and size ranges as in FCOS (arXiv:1904.01355), objectness by quality focal loss with the predicted box's
IoU as its target (arXiv:2006.04388), boxes by GIoU (arXiv:1902.09630), classes by cross-entropy on the cells with a box;
there classes may be weighted by their boxes in the training split, and labels smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.learning.backbones import STRIDES, build_backbone
from mirada.learning.layers import map_output, pointwise, separable
from mirada.learning.tasks.class_loss import ClassEntropy, class_entropy

LOSSES: tuple[str, ...] = ("objectness", "classes", "boxes")
_PRIOR = 0.01  # the share of cells that hold an object, as the untrained net believes (focal loss paper, section 4.1)
_START_DISTANCE = 2.0  # strides from a cell's centre to each side of the untrained net's boxes

CENTRE_RADIUS = 1.5  # strides from a box's centre within which a cell may answer for it
SIZE_RANGES = ((0.0, 80.0), (48.0, 176.0), (112.0, 1e8))  # longer side in pixels, a level; overlapping on purpose
OBJECTNESS_WEIGHT, CLASS_WEIGHT, BOX_WEIGHT = 2.0, 1.0, 2.0
_FAR = 1e9


def output_names(config: ModelConfig, classes: int) -> dict[str, list[str]]:
    """Part -> output names, one a level; with one class there is no class output."""
    parts = ["objectness", "distances"] if classes == 1 else ["objectness", "classes", "distances"]
    return {part: [f"{part}_{stride}" for stride in STRIDES] for part in parts}


def strides(config: ModelConfig) -> list[int]:
    """Pixels to a cell of each level."""
    return list(STRIDES)


def build_outputs(config: ModelConfig, image: keras.KerasTensor, classes: int) -> dict[str, keras.KerasTensor]:
    """An anchor-free detector: backbone, light feature pyramid, one head a level.

    Args:
        config: the network's settings.
        image: (batch, side, side, channels) in -1..1, the side a multiple of 32.
        classes: number of classes.

    Returns:
        Name, as in `output_names`, -> logits of objectness (1 channel) and classes, and distances to left, top, right,
        bottom in strides before the softplus (4 channels).
    """
    maps = _pyramid(build_backbone(config.backbone, image, config.batch_norm), config.width)
    outputs = {}
    for stride, features in zip(STRIDES, maps, strict=True):
        outputs.update(_head(features, config, classes, stride))
    return outputs


def _pyramid(maps: list[keras.KerasTensor], width: int) -> list[keras.KerasTensor]:
    """Top-down and bottom-up paths of depthwise separable convolutions (PANet, arXiv:1803.01534)."""
    sides = [pointwise(x, width, f"lateral_{stride}") for stride, x in zip(STRIDES, maps, strict=True)]
    for level in (1, 0):
        up = keras.layers.UpSampling2D(2, name=f"up_{STRIDES[level]}")(sides[level + 1])
        merged = keras.layers.Add(name=f"down_add_{STRIDES[level]}")([sides[level], up])
        sides[level] = separable(merged, width, f"top_down_{STRIDES[level]}")
    for level in (1, 2):
        down = separable(sides[level - 1], width, f"bottom_up_{STRIDES[level]}", stride=2)
        sides[level] = keras.layers.Add(name=f"up_add_{STRIDES[level]}")([sides[level], down])
    return sides


def _head(x: keras.KerasTensor, config: ModelConfig, classes: int, stride: int) -> dict[str, keras.KerasTensor]:
    names = {part: levels[STRIDES.index(stride)] for part, levels in output_names(config, classes).items()}
    score, box = x, x
    for depth in range(config.head_depth):
        score = separable(score, config.width, f"score_{stride}_{depth}")
        box = separable(box, config.width, f"box_{stride}_{depth}")
    objectness_bias = keras.initializers.Constant(-math.log((1 - _PRIOR) / _PRIOR))
    distance_bias = keras.initializers.Constant(math.log(math.expm1(_START_DISTANCE)))
    outputs = {
        names["objectness"]: map_output(score, 1, names["objectness"], objectness_bias),
        names["distances"]: map_output(box, 4, names["distances"], distance_bias),
    }
    if "classes" in names:
        outputs[names["classes"]] = map_output(score, classes, names["classes"], "zeros")
    return outputs


def cell_centres(input_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (P, 2) in pixels, strides (P,) and size ranges (P, 2) of all cells, level by level, row by row."""
    points, strides, ranges = [], [], []
    for stride, size_range in zip(STRIDES, SIZE_RANGES, strict=True):
        side = input_size // stride
        y, x = np.mgrid[:side, :side]
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(side * side, stride))
        ranges.append(np.tile(size_range, (side * side, 1)))
    return tuple(np.concatenate(part).astype(np.float32) for part in (points, strides, ranges))  # type: ignore[return-value]


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
    inside = tf.reduce_min(tf.stack([x - x1, y - y1, x2 - x, y2 - y]), 0) > 0
    away = tf.maximum(tf.abs(x - (x1 + x2) / 2), tf.abs(y - (y1 + y2) / 2))
    central = away <= CENTRE_RADIUS * strides[None, :, None]
    longer = tf.maximum(x2 - x1, y2 - y1)
    fits = (longer >= ranges[None, :, None, 0]) & (longer <= ranges[None, :, None, 1])
    real = ((labels >= 0) & ~ignore)[:, None]
    area = tf.where(inside & central & fits & real, (x2 - x1) * (y2 - y1), _FAR)
    positive = tf.reduce_min(area, -1) < _FAR
    unsure = tf.reduce_any(inside & ((labels >= 0) & ignore)[:, None], -1) & ~positive
    return tf.argmin(area, -1, output_type=tf.int32), positive, unsure


def iou_and_giou(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """IoU and generalised IoU of boxes (..., 4), pair by pair."""
    ax1, ay1, ax2, ay2 = tf.unstack(a, axis=-1)
    bx1, by1, bx2, by2 = tf.unstack(b, axis=-1)
    width = tf.maximum(tf.minimum(ax2, bx2) - tf.maximum(ax1, bx1), 0.0)
    height = tf.maximum(tf.minimum(ay2, by2) - tf.maximum(ay1, by1), 0.0)
    both = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both
    hull = (tf.maximum(ax2, bx2) - tf.minimum(ax1, bx1)) * (tf.maximum(ay2, by2) - tf.minimum(ay1, by1))
    iou = tf.math.divide_no_nan(both, union)
    return iou, iou - tf.math.divide_no_nan(hull - union, hull)


def flatten_outputs(outputs: Mapping[str, tf.Tensor], part: str) -> tf.Tensor:
    """One part of a detector's outputs, all levels, as (B, P, channels) in the order of `cell_centres`."""
    maps = [outputs[f"{part}_{stride}"] for stride in STRIDES]
    return tf.concat([tf.reshape(m, (tf.shape(m)[0], -1, m.shape[-1])) for m in maps], 1)


class DetectionLoss:
    """The detector's loss for one input size.

    Args:
        input_size: side of the input in pixels.
        classes: number of classes.
        entropy: what a cell's wrong class costs; None: plain cross-entropy.
    """

    def __init__(self, input_size: int, classes: int, entropy: ClassEntropy | None = None) -> None:
        self.points, self.strides, self.ranges = (tf.constant(part) for part in cell_centres(input_size))
        self.classes, self.entropy = classes, entropy or ClassEntropy([1] * classes)

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Summed losses of a batch, and what to divide them by.

        Args:
            outputs: the model's, a batch of B.
            batch: boxes_xyxy (B, M, 4), labels (B, M) with -1 for padding, ignore (B, M).

        Returns:
            objectness, classes, boxes: sums over the batch, weighted; positives: the number of cells with a box.
        """
        chosen, positive, unsure = assign(
            batch["boxes_xyxy"], batch["labels"], batch["ignore"], self.points, self.strides, self.ranges
        )
        weight = tf.cast(positive, tf.float32)
        distances = tf.nn.softplus(flatten_outputs(outputs, "distances")) * self.strides[None, :, None]
        boxes = tf.concat([self.points - distances[..., :2], self.points + distances[..., 2:]], -1)
        iou, giou = iou_and_giou(boxes, tf.gather(batch["boxes_xyxy"], chosen, batch_dims=1))
        logits = flatten_outputs(outputs, "objectness")[..., 0]
        quality = tf.stop_gradient(tf.clip_by_value(iou, 0.0, 1.0)) * weight
        focal = tf.abs(quality - tf.sigmoid(logits)) ** 2
        objectness = focal * tf.nn.sigmoid_cross_entropy_with_logits(quality, logits)
        losses = {
            "objectness": OBJECTNESS_WEIGHT * tf.reduce_sum(objectness * (1 - tf.cast(unsure, tf.float32))),
            "boxes": BOX_WEIGHT * tf.reduce_sum((1 - giou) * weight),
            "classes": tf.constant(0.0),
            "positives": tf.reduce_sum(weight),
        }
        if self.classes > 1:
            label = tf.maximum(tf.gather(batch["labels"], chosen, batch_dims=1), 0)
            entropy = self.entropy(flatten_outputs(outputs, "classes"), label)
            losses["classes"] = CLASS_WEIGHT * tf.reduce_sum(entropy * weight)
        return losses


def make_loss(config: TrainConfig, dataset: Dataset) -> DetectionLoss:
    """The loss for these settings and these data."""
    return DetectionLoss(dataset.input_size, len(dataset.classes), class_entropy(config, dataset))
