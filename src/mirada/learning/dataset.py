"""From shards to batches with tf.data: interleave, parallel decode and augmentation, cache, prefetch.

An epoch is a function of the seed and its number alone, so a resumed training sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import tensorflow as tf

from mirada.config import AugmentConfig
from mirada.learning.augment import augment
from mirada.records import Dataset

_CACHE_SHARE = 0.3  # of the free memory that decoded images may take
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "image_id": tf.io.FixedLenFeature([], tf.string),
    "boxes_xyxy": tf.io.VarLenFeature(tf.float32),
    "labels": tf.io.VarLenFeature(tf.int64),
    "ignore": tf.io.VarLenFeature(tf.int64),
}
_ID_BUCKETS = 2**62


def id_hash(image_ids: tf.Tensor) -> tf.Tensor:
    """The number that stands for an image's id in a batch, since devices do not hold strings."""
    return tf.strings.to_hash_bucket_fast(image_ids, _ID_BUCKETS)


def parse(record: tf.Tensor, input_size: int) -> dict[str, tf.Tensor]:
    """One serialized example as tensors: image (S, S, 3) uint8, boxes (N, 4), labels (N,), ignore (N,), id ()."""
    parsed = tf.io.parse_single_example(record, _FEATURES)
    image = tf.io.decode_image(parsed["image"], channels=3, expand_animations=False)
    return {
        "image": tf.ensure_shape(image, (input_size, input_size, 3)),
        "boxes_xyxy": tf.reshape(parsed["boxes_xyxy"].values, (-1, 4)),
        "labels": tf.cast(parsed["labels"].values, tf.int32),
        "ignore": tf.cast(parsed["ignore"].values, tf.bool),
        "id": id_hash(parsed["image_id"]),
    }


def read_records(shards: Sequence[Path], parallel: int) -> tf.data.Dataset:
    """Serialized examples of several shards, read at once, in an order that does not change."""
    files = tf.data.Dataset.from_tensor_slices([str(shard) for shard in shards])
    return files.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=parallel, deterministic=True)


def _most_boxes(records: tf.data.Dataset) -> int:
    """The number of boxes in the image that has most of them; at least 1."""
    feature = {"labels": _FEATURES["labels"]}
    counts = records.map(lambda r: tf.size(tf.io.parse_single_example(r, feature)["labels"].values), tf.data.AUTOTUNE)
    return int(counts.reduce(1, tf.maximum))


def to_input(image: tf.Tensor) -> tf.Tensor:
    """Pixels 0..255 to the network's -1..1 (the card's input_scale and input_offset)."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


class TrainingInput:
    """The training split, epoch by epoch.

    Args:
        dataset: what preprocess wrote.
        augmentation: how images are changed; None: not at all.
        batch_size: global batch.
        seed: decides order and augmentation.
        workers: parallel calls; 0: tf.data chooses.
    """

    def __init__(
        self, dataset: Dataset, augmentation: AugmentConfig | None, batch_size: int, seed: int, workers: int
    ) -> None:
        self.images = dataset.splits["train"]["images"]
        self.batch_size = batch_size
        self.steps = -(-self.images // batch_size)
        self._augmentation, self._seed = augmentation, seed
        self._parallel = workers or tf.data.AUTOTUNE
        size = dataset.input_size
        records = read_records(dataset.shards("train"), self._parallel)
        self._most_boxes = _most_boxes(records)
        if self.images * size * size * 3 < _CACHE_SHARE * psutil.virtual_memory().available:
            self._examples = records.map(lambda r: parse(r, size), self._parallel).cache()
        else:  # decode anew in every epoch rather than run out of memory
            self._examples = records.cache().map(lambda r: parse(r, size), self._parallel)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Batches of one epoch; each image comes once, and some of them again to fill the last batch.

        Yields:
            image (B, S, S, 3) float32 in -1..1; boxes_xyxy (B, M, 4), labels (B, M) with -1 for padding, ignore (B, M);
            id (B,) int64. M is the same in all batches, so a step is traced once.
        """
        order = self._examples.shuffle(min(self.images, 4096), seed=self._seed * 100_003 + number)
        order = order.repeat().take(self.steps * self.batch_size)
        prepared = order.enumerate().map(
            lambda index, example: self._prepare(example, index, number), self._parallel, deterministic=True
        )
        padding = {"image": 0.0, "boxes_xyxy": 0.0, "labels": -1, "ignore": True, "id": tf.constant(0, tf.int64)}
        most = self._most_boxes
        shapes = dict(prepared.element_spec)
        shapes = {key: spec.shape for key, spec in shapes.items()} | {
            "boxes_xyxy": (most, 4), "labels": (most,), "ignore": (most,),
        }  # fmt: skip
        return prepared.padded_batch(self.batch_size, shapes, padding, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def _prepare(self, example: dict[str, tf.Tensor], index: tf.Tensor, epoch: int) -> dict[str, tf.Tensor]:
        if self._augmentation is None:
            return example | {"image": to_input(example["image"])}
        seed = tf.stack([tf.constant(self._seed * 100_003 + epoch, tf.int64), index])
        image, boxes, ignore, kept = augment(
            example["image"], example["boxes_xyxy"], example["ignore"], seed, self._augmentation
        )
        return {
            "image": tf.ensure_shape(to_input(image), example["image"].shape),
            "boxes_xyxy": boxes,
            "labels": example["labels"][kept],
            "ignore": ignore,
            "id": example["id"],
        }
