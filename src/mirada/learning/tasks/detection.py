"""Detection: a light feature pyramid with a head a level; which cell answers for which box; the three losses.

Where memory is scarce there is one level instead (`head_stride`): a grid of cells, each of which says whether an object is
centred near it, what it is, and how far its sides are. It is decoded as the pyramid is.

ReLU6 everywhere, boxes, scores and classes as separate outputs with scales of their own, decoding and NMS outside the
graph (`mirada.inference.prediction`), so that all of it survives int8.

Cells by `assignment`, boxes by `box_overlap`; objectness by quality focal loss (arXiv:2006.04388), its target the IoU of
the predicted box, or what the assignment says; classes by cross-entropy on the cells with a box, where classes may be
weighted by their boxes in the training split, and labels smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.learning.backbones import STRIDES, build_backbone
from mirada.learning.layers import map_output, pointwise, separable
from mirada.learning.tasks.assignment import assign, assign_by_task
from mirada.learning.tasks.box_overlap import OVERLAPS
from mirada.learning.tasks.class_loss import ClassEntropy, class_entropy

LOSSES: tuple[str, ...] = ("objectness", "classes", "boxes")
_PRIOR = 0.01  # the share of cells that hold an object, as the untrained net believes (focal loss paper, section 4.1)
_START_DISTANCE = 2.0  # strides from a cell's centre to each side of the untrained net's boxes

SIZE_RANGES = ((0.0, 80.0), (48.0, 176.0), (112.0, 1e8))  # longer side in pixels, a level; overlapping on purpose
ANY_SIZE = (0.0, 1e8)
OBJECTNESS_WEIGHT, CLASS_WEIGHT, BOX_WEIGHT = 2.0, 1.0, 2.0


def output_names(config: ModelConfig, classes: int) -> dict[str, list[str]]:
    """Part -> output names, one a level; with one class there is no class output."""
    parts = ["objectness", "distances"] if classes == 1 else ["objectness", "classes", "distances"]
    return {part: [f"{part}_{stride}" for stride in strides(config)] for part in parts}


def strides(config: ModelConfig) -> list[int]:
    """Pixels to a cell of each level."""
    return [config.head_stride] if config.head_stride else list(STRIDES)


def build_outputs(config: ModelConfig, image: keras.KerasTensor, classes: int) -> dict[str, keras.KerasTensor]:
    """An anchor-free detector: backbone, light feature pyramid, one head a level; or one head in all.

    Args:
        config: the network's settings.
        image: (batch, side, side, channels) in -1..1, the side a multiple of 32.
        classes: number of classes.

    Returns:
        Name, as in `output_names`, -> logits of objectness (1 channel) and classes, and distances to left, top, right,
        bottom in strides before the softplus (4 channels).
    """
    maps = build_backbone(config, image)
    levels = [_one_level(maps, config)] if config.head_stride else _pyramid(maps, config.width)
    outputs = {}
    for stride, features in zip(strides(config), levels, strict=True):
        outputs.update(_head(features, config, classes, stride))
    return outputs


def _one_level(maps: list[keras.KerasTensor], config: ModelConfig) -> keras.KerasTensor:
    """The map at `head_stride`, and what the coarser ones saw further around: added, level by level."""
    x = None
    for stride, features in reversed(list(zip(STRIDES, maps, strict=True))):
        if stride < (config.head_stride or 0):
            break
        side = pointwise(features, config.width, f"lateral_{stride}")
        if x is not None:
            up = keras.layers.UpSampling2D(2, name=f"up_{stride}")(x)
            side = keras.layers.Add(name=f"down_add_{stride}")([side, up])
        x = side
    return x


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
    names = {part: f"{part}_{stride}" for part in output_names(config, classes)}
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


def cell_centres(input_size: int, levels: Sequence[int] = STRIDES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (P, 2) in pixels, strides (P,) and size ranges (P, 2) of all cells, level by level, row by row.

    Args:
        input_size: side of the input in pixels.
        levels: strides; one that is alone takes boxes of every size.
    """
    points, strides, ranges = [], [], []
    size_ranges = SIZE_RANGES if len(levels) > 1 else (ANY_SIZE,)
    for stride, size_range in zip(levels, size_ranges, strict=True):
        side = input_size // stride
        y, x = np.mgrid[:side, :side]
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(side * side, stride))
        ranges.append(np.tile(size_range, (side * side, 1)))
    return tuple(np.concatenate(part).astype(np.float32) for part in (points, strides, ranges))  # type: ignore[return-value]


def flatten_outputs(outputs: Mapping[str, tf.Tensor], part: str, levels: Sequence[int]) -> tf.Tensor:
    """One part of a detector's outputs, all levels, as (B, P, channels) in the order of `cell_centres`."""
    maps = [outputs[f"{part}_{stride}"] for stride in levels]
    return tf.concat([tf.reshape(m, (tf.shape(m)[0], -1, m.shape[-1])) for m in maps], 1)


class DetectionLoss:
    """The detector's loss for one input size.

    Args:
        input_size: side of the input in pixels.
        classes: number of classes.
        entropy: what a cell's wrong class costs; None: plain cross-entropy.
        assigner, box_loss: as in `TrainConfig`.
        levels: strides of the output maps.
    """

    def __init__(
        self,
        input_size: int,
        classes: int,
        entropy: ClassEntropy | None = None,
        *,
        assigner: str = "centre",
        box_loss: str = "giou",
        levels: Sequence[int] = STRIDES,
    ) -> None:
        self.levels = levels
        self.points, self.strides, self.ranges = (tf.constant(part) for part in cell_centres(input_size, levels))
        self.classes, self.entropy = classes, entropy or ClassEntropy([1] * classes)
        self.assigner, self.overlap = assigner, OVERLAPS[box_loss]

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Summed losses of a batch, and what to divide them by.

        Args:
            outputs: the model's, a batch of B.
            batch: boxes_xyxy (B, M, 4), labels (B, M) with -1 for padding, ignore (B, M).

        Returns:
            objectness, classes, boxes: sums over the batch, weighted; positives: the number of cells with a box, or with
            task_aligned the sum of what they are to score.
        """
        distances = tf.nn.softplus(flatten_outputs(outputs, "distances", self.levels)) * self.strides[None, :, None]
        boxes = tf.concat([self.points - distances[..., :2], self.points + distances[..., 2:]], -1)
        logits = flatten_outputs(outputs, "objectness", self.levels)[..., 0]
        class_logits = flatten_outputs(outputs, "classes", self.levels) if self.classes > 1 else None
        chosen, unsure, weight, quality = self._targets(boxes, logits, class_logits, batch)
        iou, overlap = self.overlap(boxes, tf.gather(batch["boxes_xyxy"], chosen, batch_dims=1))
        if quality is None:
            quality = tf.stop_gradient(tf.clip_by_value(iou, 0.0, 1.0)) * weight
        focal = tf.abs(quality - tf.sigmoid(logits)) ** 2
        objectness = focal * tf.nn.sigmoid_cross_entropy_with_logits(quality, logits)
        losses = {
            "objectness": OBJECTNESS_WEIGHT * tf.reduce_sum(objectness * (1 - tf.cast(unsure, tf.float32))),
            "boxes": BOX_WEIGHT * tf.reduce_sum((1 - overlap) * weight),
            "classes": tf.constant(0.0),
            "positives": tf.reduce_sum(weight),
        }
        if class_logits is not None:
            label = tf.maximum(tf.gather(batch["labels"], chosen, batch_dims=1), 0)
            losses["classes"] = CLASS_WEIGHT * tf.reduce_sum(self.entropy(class_logits, label) * weight)
        return losses

    def _targets(
        self, boxes: tf.Tensor, logits: tf.Tensor, class_logits: tf.Tensor | None, batch: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """For each cell (B, P): its box, whether it is in an ignored one, what it counts, and what it is to score.

        The last is None where it is the IoU of its box, whatever that comes to.
        """
        truth = (batch["boxes_xyxy"], batch["labels"], batch["ignore"])
        if self.assigner == "centre":
            chosen, positive, unsure = assign(*truth, self.points, self.strides, self.ranges)
            return chosen, unsure, tf.cast(positive, tf.float32), None
        scores = tf.sigmoid(logits)[..., None]
        if class_logits is not None:
            scores *= tf.nn.softmax(class_logits)
        chosen, quality, unsure = assign_by_task(*truth, self.points, tf.stop_gradient(scores), tf.stop_gradient(boxes))
        return chosen, unsure, quality, quality


def make_loss(config: TrainConfig, dataset: Dataset) -> DetectionLoss:
    """The loss for these settings and these data."""
    entropy = class_entropy(config, dataset)
    return DetectionLoss(
        dataset.input_size,
        len(dataset.classes),
        entropy,
        assigner=config.assigner,
        box_loss=config.box_loss,
        levels=strides(config.model),
    )
