"""Localization: one object an image. A class head, and a map whose cells vote for the box.

Each cell of a map at stride 16 says how far it is from the box's sides, and how much its word counts; the box is the mean
over all cells, weighted by the softmax of those scores. A dense layer that regresses four numbers, as in the first study,
stays far behind. The published network (`model=study1`) keeps its own heads and its squared error in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.learning import published
from mirada.learning.backbones import build_features
from mirada.learning.layers import map_output, pointwise, separable
from mirada.learning.tasks.box_overlap import iou_and_giou
from mirada.learning.tasks.classification import ClassificationLoss, ClassificationTeaching
from mirada.learning.tasks.soft_targets import box_distance

LOSSES: tuple[str, ...] = ("classes", "boxes")
STRIDE = 16
BOX_WEIGHT = 2.0
_START_DISTANCE = 4.0  # cells from a cell's centre to each side of the untrained net's boxes


def output_names(config: ModelConfig, classes: int) -> dict[str, list[str]]:
    """The class logits, and the box either as a map or as four numbers."""
    if config.backbone == "study1":
        return {"classes": ["classes"], "box": ["box"]}
    return {part: [f"{part}_{STRIDE}"] for part in ("classes", "scores", "distances")}


def strides(config: ModelConfig) -> list[int]:
    """Of the one map, where there is one."""
    return [] if config.backbone == "study1" else [STRIDE]


def build_outputs(config: ModelConfig, image: keras.KerasTensor, classes: int) -> dict[str, keras.KerasTensor]:
    """Class logits (batch, classes), and the box.

    Args:
        config: the network's settings.
        image: (batch, side, side, channels), scaled as `models.input_scaling` says.
        classes: number of classes.

    Returns:
        Name, as in `output_names`, -> for a map: logits (batch, H, W, 1) of what a cell counts, and distances
        (batch, H, W, 4) to left, top, right, bottom in strides before the softplus; for study1 the corners (batch, 4) in
        pixels.
    """
    if config.backbone == "study1":
        features = published.study1_features(image, config.pool_after)
        return {
            "classes": published.study1_class_head(features, classes),
            "box": published.study1_box_head(features),
        }
    maps, features = build_features(config, image)
    x = pointwise(maps[1], config.width, "lateral_16")
    if len(maps) > 2:
        coarse = keras.layers.UpSampling2D(2, name="up_16")(pointwise(maps[2], config.width, "lateral_32"))
        x = keras.layers.Add(name="merge")([x, coarse])
    classify, locate = x, x
    for depth in range(config.head_depth):
        classify = separable(classify, config.width, f"classify_{depth}")
        locate = separable(locate, config.width, f"locate_{depth}")
    bias = keras.initializers.Constant(math.log(math.expm1(_START_DISTANCE)))
    return {
        f"classes_{STRIDE}": _with_whole_image(classify, features, config, classes),
        f"scores_{STRIDE}": map_output(locate, 1, f"scores_{STRIDE}", "zeros"),
        f"distances_{STRIDE}": map_output(locate, 4, f"distances_{STRIDE}", bias),
    }


def _with_whole_image(
    classify: keras.KerasTensor, features: keras.KerasTensor, config: ModelConfig, classes: int
) -> keras.KerasTensor:
    """What each cell says of the class, and to each what the whole image says.

    The latter comes from the very features that ImageNet's classes were told by. As the votes' shares sum to one, the common
    word is the sum of both.
    """
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(features)
    if config.dropout:
        classify = keras.layers.Dropout(config.dropout, name="dropout")(classify)
        whole = keras.layers.Dropout(config.dropout, name="features_dropout")(whole)
    cells = map_output(classify, classes, "classes_cells", "zeros")
    image = map_output(whole, classes, "classes_image", "zeros")
    return keras.layers.Add(name=f"classes_{STRIDE}")([cells, image])


def vote(scores: tf.Tensor, classes: tf.Tensor, distances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The cells' common word; `prediction.decode_localization` does the same for one image.

    Args:
        scores: (B, H, W, 1) logits; their softmax over the cells is what each cell's word counts.
        classes: (B, H, W, K) logits.
        distances: (B, H, W, 4) in strides before the softplus.

    Returns:
        Class logits (B, K) and boxes (B, 4), corners in pixels of the input.
    """
    height, width, count = scores.shape[1], scores.shape[2], classes.shape[3]
    y, x = tf.meshgrid(tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32), indexing="ij")
    centre = tf.reshape(tf.stack([x, y], -1) + 0.5, (1, -1, 2)) * STRIDE
    reach = tf.nn.softplus(tf.reshape(distances, (-1, height * width, 4))) * STRIDE
    boxes = tf.concat([centre - reach[..., :2], centre + reach[..., 2:]], -1)
    share = tf.nn.softmax(tf.reshape(scores, (-1, height * width)))[..., None]
    logits = tf.reshape(classes, (-1, height * width, count))
    return tf.reduce_sum(logits * share, 1), tf.reduce_sum(boxes * share, 1)


def read_answer(outputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Class logits (B, K) and boxes (B, 4) in pixels of the input, from maps or from study1's numbers."""
    if "box" in outputs:
        return outputs["classes"], outputs["box"]
    return vote(*(outputs[f"{part}_{STRIDE}"] for part in ("scores", "classes", "distances")))


class LocalizationLoss:
    """Cross-entropy for the class; GIoU (arXiv:1902.09630) for a box from a map, squared error for study1's.

    Args:
        config: the training's settings.
        dataset: the data.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        self.class_loss = ClassificationLoss(config, dataset)

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Summed losses of a batch; see `tasks.Loss`. Images whose label is -1 do not count."""
        truth = batch["boxes_xyxy"][:, 0]
        logits, box = read_answer(outputs)
        if "box" in outputs:
            boxes = tf.reduce_mean(tf.square(box - truth), -1)
        else:
            boxes = BOX_WEIGHT * (1 - iou_and_giou(box, truth)[1])
        known = tf.cast(batch["labels"][:, 0] >= 0, tf.float32)
        return self.class_loss({"classes": logits}, batch) | {"boxes": tf.reduce_sum(boxes * known)}


def make_loss(config: TrainConfig, dataset: Dataset) -> LocalizationLoss:
    """The loss for these settings and these data."""
    return LocalizationLoss(config, dataset)


class LocalizationTeaching:
    """The class as `ClassificationTeaching` has it, and the distance of the boxes, for study1 as its own loss has it.

    Args:
        config: the student's settings.
        dataset: its data.
        card: the teacher's; its input may have another size.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, card: Card) -> None:
        self.classes, self.scale = ClassificationTeaching(config), dataset.input_size / card.input_size

    def read(self, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """taught_classes: logits (B, K); taught_boxes: (B, 4), corners in pixels of the student's input."""
        logits, box = read_answer(outputs)
        return {"taught_classes": logits, "taught_boxes": box * self.scale}

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum over the images whose object counts; see `tasks.Teaching`."""
        (logits, box), taught = read_answer(outputs), batch["taught_boxes"]
        numbers = "box" in outputs
        boxes = tf.reduce_mean(tf.square(box - taught), -1) if numbers else BOX_WEIGHT * box_distance(box, taught)
        known = tf.cast(batch["labels"][:, 0] >= 0, tf.float32)
        return self.classes({"classes": logits}, batch) + tf.reduce_sum(boxes * known)


def make_teaching(config: TrainConfig, dataset: Dataset, card: Card) -> LocalizationTeaching:
    """What a teacher with this card has to say to a student with these settings and data."""
    return LocalizationTeaching(config, dataset, card)
