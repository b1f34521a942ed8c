"""Detection: a light feature pyramid with a head a level; which cell answers for which box; the three losses.

Where memory is scarce there is one level instead (`head_stride`): a grid of cells, each of which says whether an object is
centred near it, what it is, and how far its sides are. It is decoded as the pyramid is.

ReLU6 everywhere, boxes, scores and classes as separate outputs with scales of their own, decoding and NMS outside the
graph (`mirada.inference.prediction`), so that all of it survives int8.

Cells by `assignment`, boxes by `box_overlap`, and by `box_bins` where a side has bins; objectness by quality focal loss
(arXiv:2006.04388), its target the IoU of the predicted box, or what the assignment says; classes by cross-entropy on the
cells with a box, where classes may be weighted by their boxes in the training split, and labels smoothed. With
`class_scores` there is no objectness to learn: each class has that focal loss, its target 0 unless it is the box's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.learning.backbones import STRIDES, build_backbone
from mirada.learning.layers import map_output, pointwise, separable
from mirada.learning.tasks.assignment import assign, assign_by_task
from mirada.learning.tasks.box_bins import DISTRIBUTION_WEIGHT, distribution_loss, last_bin, mean_distances
from mirada.learning.tasks.box_overlap import OVERLAPS
from mirada.learning.tasks.cells import cell_centres, flatten_outputs, read_cells, size_ranges
from mirada.learning.tasks.class_loss import ClassEntropy, class_entropy
from mirada.learning.tasks.class_scores import class_scores, score_logits
from mirada.learning.tasks.soft_targets import box_distance, divergence

LOSSES: tuple[str, ...] = ("objectness", "classes", "boxes")
_PRIOR = 0.01  # the share of cells that hold an object, as the untrained net believes (focal loss paper, section 4.1)
_START_DISTANCE = 2.0  # strides from a cell's centre to each side of the untrained net's boxes

SCORE_WEIGHT, CLASS_WEIGHT, BOX_WEIGHT = 2.0, 1.0, 2.0
_CANDIDATES, _FOUND, _NMS_IOU = 256, 100, 0.5  # of a teacher with other cells: best ones, detections, and their overlap


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
    sizes = size_ranges(strides(config))
    for stride, features, (_, longest) in zip(strides(config), levels, sizes, strict=True):
        last = last_bin(longest, stride, image.shape[1])
        outputs.update(_head(features, config, classes, stride, last))
    return outputs


def _one_level(maps: list[keras.KerasTensor], config: ModelConfig) -> keras.KerasTensor:
    """The map at `head_stride`, and what the coarser ones that are there saw further around: added, level by level."""
    x = None
    for stride, features in reversed(list(zip(STRIDES, maps, strict=False))):
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


def _head(
    x: keras.KerasTensor, config: ModelConfig, classes: int, stride: int, last: float
) -> dict[str, keras.KerasTensor]:
    """A level's outputs; `last` is the last bin of a side, where there are bins."""
    names = {part: f"{part}_{stride}" for part in output_names(config, classes)}
    score, box = x, x
    for depth in range(config.head_depth):
        score = separable(score, config.width, f"score_{stride}_{depth}")
        box = separable(box, config.width, f"box_{stride}_{depth}")
    objectness_bias = keras.initializers.Constant(-math.log((1 - _PRIOR) / _PRIOR))
    distance_bias = keras.initializers.Constant(math.log(math.expm1(_START_DISTANCE)))
    if _by_class(config, classes):
        outputs = class_scores(score, classes, names, objectness_bias)
    else:
        outputs = {names["objectness"]: map_output(score, 1, names["objectness"], objectness_bias)}
    if config.dfl_bins:
        outputs[names["distances"]] = mean_distances(box, config.dfl_bins, last, names["distances"])
    else:
        outputs[names["distances"]] = map_output(box, 4, names["distances"], distance_bias)
    if "classes" in names and names["classes"] not in outputs:
        outputs[names["classes"]] = map_output(score, classes, names["classes"], "zeros")
    return outputs


def _by_class(config: ModelConfig, classes: int) -> bool:
    """Whether each class has a score of its own; one class alone has it anyway."""
    return config.scores == "class_wise" and classes > 1


def quality_focal(quality: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The cost of each of `logits`, whose sigmoid is to be as in `quality`; of the same shape, not negative."""
    return tf.abs(quality - tf.sigmoid(logits)) ** 2 * tf.nn.sigmoid_cross_entropy_with_logits(quality, logits)


class DetectionLoss:
    """The detector's loss for one input size.

    Args:
        input_size: side of the input in pixels.
        classes: number of classes.
        entropy: what a cell's wrong class costs; None: plain cross-entropy.
        assigner, box_loss: as in `TrainConfig`.
        levels: strides of the output maps.
        by_class: each class has a score of its own.
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
        by_class: bool = False,
    ) -> None:
        self.levels, self.by_class = levels, by_class
        points, steps, ranges = cell_centres(input_size, levels)
        self.points, self.strides, self.ranges = (tf.constant(part) for part in (points, steps, ranges))
        last = [last_bin(longest, step, input_size) for longest, step in zip(ranges[:, 1], steps, strict=True)]
        self.last_bins = tf.constant(last, tf.float32)
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
        logits, boxes = read_cells(outputs, self.points, self.strides, self.levels)
        class_logits = flatten_outputs(outputs, "classes", self.levels) if self.classes > 1 else None
        if class_logits is not None and self.by_class:
            class_logits = score_logits(class_logits)
        chosen, unsure, weight, quality = self._targets(boxes, logits, class_logits, batch)
        truth = tf.gather(batch["boxes_xyxy"], chosen, batch_dims=1)
        iou, overlap = self.overlap(boxes, truth)
        if quality is None:
            quality = tf.stop_gradient(tf.clip_by_value(iou, 0.0, 1.0)) * weight
        losses = {
            "objectness": tf.constant(0.0),
            "boxes": BOX_WEIGHT * tf.reduce_sum((1 - overlap) * weight),
            "classes": tf.constant(0.0),
            "positives": tf.reduce_sum(weight),
        }
        if f"distances_{self.levels[0]}_bins" in outputs:
            losses["boxes"] += DISTRIBUTION_WEIGHT * tf.reduce_sum(self._distribution_loss(outputs, truth) * weight)
        label = tf.maximum(tf.gather(batch["labels"], chosen, batch_dims=1), 0)
        sure = 1 - tf.cast(unsure, tf.float32)
        if class_logits is not None and self.by_class:
            target = tf.one_hot(label, self.classes) * quality[..., None]
            losses["classes"] = SCORE_WEIGHT * tf.reduce_sum(quality_focal(target, class_logits) * sure[..., None])
            return losses
        losses["objectness"] = SCORE_WEIGHT * tf.reduce_sum(quality_focal(quality, logits) * sure)
        if class_logits is not None:
            losses["classes"] = CLASS_WEIGHT * tf.reduce_sum(self.entropy(class_logits, label) * weight)
        return losses

    def _distribution_loss(self, outputs: Mapping[str, tf.Tensor], truth: tf.Tensor) -> tf.Tensor:
        """(B, P): how far each cell's bins are from the sides of its box in `truth` (B, P, 4)."""
        maps = [outputs[f"distances_{stride}_bins"] for stride in self.levels]
        logits = tf.concat([tf.reshape(one, (tf.shape(one)[0], -1, 4, one.shape[-1])) for one in maps], 1)
        sides = tf.concat([self.points - truth[..., :2], truth[..., 2:] - self.points], -1) / self.strides[:, None]
        return distribution_loss(logits, sides, self.last_bins)

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
        if self.by_class and class_logits is not None:
            scores = tf.sigmoid(class_logits)
        else:
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
        by_class=_by_class(config.model, len(dataset.classes)),
    )


class DetectionTeaching:
    """A teacher's word to each cell: what it is to score, which box it is to have, and of which class.

    With an input of the student's size and its strides the teacher's cells are the student's. Else they are not, nor may
    they be resized level by level: an object that is twice as large belongs to another level. Then the teacher's detections
    stand in for labels: they go to cells by their size, with the objectness of theirs as what a cell is to score.

    Args:
        config: the student's settings.
        dataset: its data.
        card: the teacher's.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, card: Card) -> None:
        self.temperature, self.classes, self.least = config.teacher_temperature, len(dataset.classes), card.min_score
        self.scale = dataset.input_size / card.input_size
        self.levels, self.own_levels = strides(config.model), list(card.strides)
        self.same_cells = self.scale == 1 and self.levels == self.own_levels
        cells, own_cells = cell_centres(dataset.input_size, self.levels), cell_centres(card.input_size, self.own_levels)
        self.points, self.strides, self.ranges = (tf.constant(part) for part in cells)
        self.own_points, self.own_strides = (tf.constant(part) for part in own_cells[:2])

    def read(self, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A row for each of the student's P cells.

        taught_scores: (B, P), 0..1; taught_boxes: (B, P, 4), corners in pixels of the student's input; with several classes
        taught_classes: logits (B, P, K).
        """
        logits, boxes = read_cells(outputs, self.own_points, self.own_strides, self.own_levels)
        taught = {"taught_scores": tf.sigmoid(logits), "taught_boxes": boxes * self.scale}
        if self.classes > 1:
            taught["taught_classes"] = flatten_outputs(outputs, "classes", self.own_levels)
        return taught if self.same_cells else self._to_cells(taught)

    def _to_cells(self, taught: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What a teacher's cells say, brought to the student's cells as detections."""
        scores = taught["taught_scores"]
        if self.classes > 1:
            scores *= tf.reduce_max(tf.nn.softmax(taught["taught_classes"]), -1)
        best, cells = tf.math.top_k(scores, min(_CANDIDATES, self.own_points.shape[0]))
        found = {name: tf.gather(value, cells, batch_dims=1) for name, value in taught.items()}
        kept, count = tf.image.non_max_suppression_padded(
            found["taught_boxes"], best, _FOUND, _NMS_IOU, self.least, pad_to_max_output_size=True
        )
        found = {name: tf.gather(value, kept, batch_dims=1) for name, value in found.items()}
        labels = tf.where(tf.sequence_mask(count, _FOUND), 0, -1)
        ignored = tf.zeros_like(labels, tf.bool)
        chosen, positive, _ = assign(found["taught_boxes"], labels, ignored, self.points, self.strides, self.ranges)
        cells = {name: tf.gather(value, chosen, batch_dims=1) for name, value in found.items()}
        return cells | {"taught_scores": cells["taught_scores"] * tf.cast(positive, tf.float32)}

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum over all cells, box and class as much as the teacher is sure of an object; see `tasks.Teaching`."""
        logits, boxes = read_cells(outputs, self.points, self.strides, self.levels)
        score = batch["taught_scores"]
        losses = SCORE_WEIGHT * quality_focal(score, logits)
        losses += BOX_WEIGHT * score * box_distance(boxes, batch["taught_boxes"])
        if self.classes > 1:
            apart = divergence(
                flatten_outputs(outputs, "classes", self.levels), batch["taught_classes"], self.temperature
            )
            losses += CLASS_WEIGHT * score * apart
        return tf.reduce_sum(losses)


def make_teaching(config: TrainConfig, dataset: Dataset, card: Card) -> DetectionTeaching:
    """What a teacher with this card has to say to a student with these settings and data."""
    return DetectionTeaching(config, dataset, card)
