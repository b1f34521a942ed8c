"""Classification: global average of the backbone's features and one dense layer, or a published network whole.

Softmax cross-entropy; classes may be weighted, labels smoothed.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from mirada.config import ModelConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.learning import published
from mirada.learning.backbones import build_features
from mirada.learning.layers import class_head
from mirada.learning.tasks.class_loss import class_entropy

LOSSES: tuple[str, ...] = ("classes",)


def output_names(config: ModelConfig, classes: int) -> dict[str, list[str]]:
    """One output: the logits."""
    return {"classes": ["classes"]}


def strides(config: ModelConfig) -> list[int]:
    """There is no map."""
    return []


def build_outputs(config: ModelConfig, image: keras.KerasTensor, classes: int) -> dict[str, keras.KerasTensor]:
    """Logits (batch, classes).

    Args:
        config: the network's settings.
        image: (batch, side, side, channels), scaled as `models.input_scaling` says.
        classes: number of classes.
    """
    if config.backbone == "study1":
        logits = published.study1_class_head(published.study1_features(image, config.pool_after), classes)
    elif config.backbone == "study3":
        logits = published.study3(image, classes)
    else:
        logits = class_head(build_features(config, image), classes, config.dropout)
    return {"classes": logits}


class ClassificationLoss:
    """Softmax cross-entropy.

    Args:
        config: its class_weight and label_smoothing are used.
        dataset: says how often each class is in the training split.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset) -> None:
        self.entropy = class_entropy(config, dataset)

    def __call__(self, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The summed cross-entropy of a batch; see `tasks.Loss`. Images whose label is -1 do not count.

        Of images that were mixed (`mixed_label`, `mixed_share`) each label costs its share.
        """
        label = batch["labels"][:, 0]
        known = tf.cast(label >= 0, tf.float32)
        losses = self.entropy(outputs["classes"], tf.maximum(label, 0))
        if "mixed_label" in batch:
            share, second = batch["mixed_share"], self.entropy(outputs["classes"], batch["mixed_label"])
            losses = (1 - share) * losses + share * second
        losses *= known
        return {"classes": tf.reduce_sum(losses), "positives": tf.reduce_sum(known)}


def make_loss(config: TrainConfig, dataset: Dataset) -> ClassificationLoss:
    """The loss for these settings and these data."""
    return ClassificationLoss(config, dataset)
