"""From shards to batches with tf.data: read, shuffle, decode, augment, batch, prefetch.

An epoch is a function of the seed and its number alone, so a resumed training sees what an unbroken one would have seen.
How the work is done (`InputConfig`) changes its speed and not one bit of its result: shards are always read in turn, a
record of each at a time, whether by one thread or by several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import tensorflow as tf

from mirada.config import MOST_SHARDS_AT_ONCE, TASKS, AugmentConfig, InputConfig
from mirada.data.records import Dataset
from mirada.learning.augment.changes import (
    MIN_VISIBLE,
    change_boxes,
    change_images,
    draw_changes,
    size_keeping_scales,
)
from mirada.learning.augment.mixing import beside, mix_labels, mix_objects, unmixed, unmixed_label
from mirada.learning.augment.randaugment import rand_augment

_CACHE_SHARE = 0.3  # of the free memory that cached images may take
_SHUFFLED = 4096  # records among which the next one is drawn
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "image_id": tf.io.FixedLenFeature([], tf.string),
    "boxes_xyxy": tf.io.VarLenFeature(tf.float32),
    "labels": tf.io.VarLenFeature(tf.int64),
    "ignore": tf.io.VarLenFeature(tf.int64),
}
_ID_BUCKETS = 2**62

Tensors = dict[str, tf.Tensor]


def id_hash(image_ids: tf.Tensor) -> tf.Tensor:
    """The number that stands for an image's id in a batch, since devices do not hold strings."""
    return tf.strings.to_hash_bucket_fast(image_ids, _ID_BUCKETS)


def parse(record: tf.Tensor, input_size: int, channels: int = 3, most_boxes: int | None = None) -> Tensors:
    """One serialized example as tensors: image (S, S, C) uint8, boxes (N, 4), labels (N,), ignore (N,), id ().

    Args:
        record: the bytes of a `tf.train.Example`.
        input_size: S.
        channels: C, 3 or 1.
        most_boxes: N; rows without an object have the label -1. None: as many as there are objects.
    """
    parsed = tf.io.parse_single_example(record, _FEATURES)
    image = tf.io.decode_image(parsed["image"], channels=channels, expand_animations=False)
    boxes = tf.reshape(parsed["boxes_xyxy"].values, (-1, 4))
    labels, ignore = tf.cast(parsed["labels"].values, tf.int32), tf.cast(parsed["ignore"].values, tf.bool)
    if most_boxes is not None:
        spare = most_boxes - tf.size(labels)
        boxes = tf.ensure_shape(tf.pad(boxes, ((0, spare), (0, 0))), (most_boxes, 4))
        labels = tf.ensure_shape(tf.pad(labels, ((0, spare),), constant_values=-1), (most_boxes,))
        ignore = tf.ensure_shape(tf.pad(ignore, ((0, spare),), constant_values=True), (most_boxes,))
    return {
        "image": tf.ensure_shape(image, (input_size, input_size, channels)),
        "boxes_xyxy": boxes,
        "labels": labels,
        "ignore": ignore,
        "id": id_hash(parsed["image_id"]),
    }


def read_records(shards: Sequence[Path], at_once: int = 1) -> tf.data.Dataset:
    """Serialized examples of several shards, of each in turn, in an order that does not change.

    Args:
        shards: files.
        at_once: how many are read at the same time.
    """
    files = tf.data.Dataset.from_tensor_slices([str(shard) for shard in shards])
    calls = {"num_parallel_calls": at_once, "deterministic": True} if at_once > 1 else {}
    return files.interleave(tf.data.TFRecordDataset, MOST_SHARDS_AT_ONCE, block_length=1, **calls)


def _most_boxes(records: tf.data.Dataset) -> int:
    """The number of boxes in the image that has most of them; at least 1."""
    feature = {"labels": _FEATURES["labels"]}

    def count(record: tf.Tensor) -> tf.Tensor:
        return tf.size(tf.io.parse_single_example(record, feature)["labels"].values)

    counts = records.map(count, tf.data.AUTOTUNE)
    return int(counts.with_options(_options()).reduce(1, tf.maximum))


def _options() -> tf.data.Options:
    """Nothing is done that the settings do not say, such as a prefetch slipped in.

    The thread that tunes a pipeline is off: it sleeps up to a minute between two looks and may miss the call to end, and
    whoever drops the iterator waits for it (seen on 2 cores: 4 to 75 s an epoch, all threads asleep). AUTOTUNE then
    stands for tf.data's default, a call for each core.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return options


def scale_pixels(image: tf.Tensor, scale: float, offset: float) -> tf.Tensor:
    """Pixels 0..255 to the network's input (the card's input_scale and input_offset), float32."""
    return tf.cast(image, tf.float32) * scale + offset


def share_out(batch: Tensors, strategy: tf.distribute.Strategy) -> Tensors:
    """Give each replica of this worker its part of the worker's batch, in order; the batch is a multiple of them."""
    replicas = len(strategy.extended.worker_devices)
    if replicas == 1:
        return batch

    def part(context: tf.distribute.ValueContext) -> Tensors:
        number = context.replica_id_in_sync_group % replicas
        return {key: tf.split(value, replicas)[number] for key, value in batch.items()}

    shared: Tensors = strategy.experimental_distribute_values_from_function(part)
    return shared


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What batches hold, however they are made.

    Attributes:
        batch_size: global batch.
        seed: decides order and augmentation.
        augmentation: how images are changed; None: not at all.
        scale, offset: the card's input_scale and input_offset.
        accumulate: batches that a step takes; an epoch is whole steps.
        plain_from: the epoch, from 0, from which on images are no longer mixed; None: they always are.
        part: (which, of how many) equal parts of each batch to make, in order; the others are neither decoded nor changed.
    """

    batch_size: int
    seed: int
    augmentation: AugmentConfig | None = None
    scale: float = 1 / 127.5
    offset: float = -1.0
    accumulate: int = 1
    plain_from: int | None = None
    part: tuple[int, int] = (0, 1)


def mixes(task: str, augmentation: AugmentConfig | None) -> bool:
    """Whether images of a task are ever mixed."""
    if augmentation is None or TASKS[task] == "object":
        return False
    return augmentation.mixup > 0 or (TASKS[task] == "objects" and augmentation.mosaic + augmentation.copy_paste > 0)


def rare_classes(dataset: Dataset) -> list[bool]:
    """Which classes have fewer objects in the training split than the mean of all."""
    counts = [dataset.splits["train"]["per_class"].get(name, 0) for name in dataset.classes]
    return [0 < count < sum(counts) / len(counts) for count in counts]


class TrainingInput:
    """The training split, epoch by epoch.

    Args:
        dataset: what preprocess wrote.
        batches: what they hold.
        config: how the work is done; None: as `InputConfig` says by itself.
        workers: parallel calls; 0: one a core.
    """

    def __init__(
        self, dataset: Dataset, batches: BatchSettings, *, config: InputConfig | None = None, workers: int = 0
    ) -> None:
        self.images = dataset.splits["train"]["images"]
        self.steps = -(-self.images // (batches.batch_size * batches.accumulate))
        self._dataset, self._batches, self._config = dataset, batches, config or InputConfig()
        self._calls = (workers or tf.data.AUTOTUNE) if self._config.parallel else None
        # Traced once, not for every epoch, which on a small data set would wait for it noticeably.
        self._parse_numbered = tf.function(lambda index, record: (index, self._parse(record)))
        self._draw_changes = tf.function(self._draw)
        self._mix_images, self._leave_unmixed = tf.function(self._mix), tf.function(self._unmixed)
        self._change_batch = tf.function(self._change if self._config.vectorize else self._change_one)
        shards = dataset.shards("train")
        self._records = read_records(shards, self._config.interleave)
        self._most_boxes = _most_boxes(self._records) if TASKS[dataset.task] == "objects" else 1
        self._mixes, self._rare = mixes(dataset.task, batches.augmentation), rare_classes(dataset)
        self._donors = self._choose_donors()
        changed = batches.augmentation
        keeps_sizes = changed is not None and TASKS[dataset.task] != "label" and changed.keep_sizes
        self._sizes = dataset.object_sizes() if keeps_sizes else []
        self._decoded: tf.data.Dataset | None = None
        if self._config.cache:  # decoded where that fits into memory, else as read, else not at all
            space = _CACHE_SHARE * psutil.virtual_memory().available
            if self.images * dataset.input_size**2 * dataset.channels < space:
                self._decoded = self._records.map(self._parse, self._calls).cache()
            elif sum(shard.stat().st_size for shard in shards) < space:
                self._records = self._records.cache()

    def _parse(self, record: tf.Tensor) -> Tensors:
        return parse(record, self._dataset.input_size, self._dataset.channels, self._most_boxes)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Batches of one epoch, `accumulate` for each step; each image comes once, and some of them again to fill the last.

        Yields:
            image (B, S, S, C) float32, scaled; boxes_xyxy (B, M, 4); labels (B, M) with -1 for padding, for boxes that
            were cropped away and, in localization, for objects of which hardly anything is left; ignore (B, M);
            id (B,) int64; where labels are mixed also mixed_label and mixed_share (B,). M is the same in all batches, so a
            step is traced once.
        """
        source = self._records if self._decoded is None else self._decoded
        order = source.shuffle(min(self.images, _SHUFFLED), seed=self._batches.seed * 100_003 + number)
        batch_size, (part, parts) = self._batches.batch_size, self._batches.part
        wanted, mine = self.steps * self._batches.accumulate * batch_size, batch_size // parts
        plain = self._batches.plain_from is not None and number >= self._batches.plain_from
        mixed = self._mixes and not plain
        order = self._partnered(order.repeat(), number) if mixed else order.repeat()
        order = order.take(wanted).enumerate()
        if parts > 1:
            order = order.filter(lambda index, _: index % batch_size // mine == part)
        if self._decoded is None and not mixed:
            order = order.map(self._parse_numbered, self._calls)
        epoch = tf.constant(number, tf.int64)
        if self._mixes:
            mix = self._leave_unmixed if plain else self._mix_images
            order = order.map(lambda index, example: (index, mix(example, index, epoch)), self._calls)
        drawn = order.map(lambda index, example: self._draw_changes(example, index, epoch), self._calls)
        if self._config.vectorize:
            batches = drawn.batch(mine, drop_remainder=True).map(self._change_batch, self._calls)
        else:
            batches = drawn.map(self._change_batch, self._calls).batch(mine, drop_remainder=True)
        if self._config.prefetch:
            batches = batches.prefetch(2)
        return batches.with_options(_options())

    # -- what is done to images ------------------------------------------------------------------------------------

    def _choose_donors(self) -> tf.data.Dataset | None:
        """The records of images with an object of a rare class, to paste it from."""
        config = self._batches.augmentation
        if TASKS[self._dataset.task] != "objects" or config is None or not config.copy_paste or not any(self._rare):
            return None

        def has_rare(record: tf.Tensor) -> tf.Tensor:
            parsed = tf.io.parse_single_example(record, {key: _FEATURES[key] for key in ("labels", "ignore")})
            counts = tf.equal(parsed["ignore"].values, 0)
            return tf.reduce_any(tf.gather(tf.constant(self._rare), parsed["labels"].values) & counts)

        return self._records.filter(has_rare)

    def _partnered(self, order: tf.data.Dataset, number: int) -> tf.data.Dataset:
        """Each example, decoded, with its partners, and with the one that an object is pasted from."""
        partnered = beside(order if self._decoded is not None else order.map(self._parse, self._calls))
        if self._donors is None:
            return partnered.map(lambda *examples: (examples, ()))
        donors = self._donors.shuffle(_SHUFFLED, seed=self._batches.seed * 100_003 + number).repeat()
        donors = donors.map(self._parse, self._calls)
        return tf.data.Dataset.zip((partnered, donors)).map(lambda examples, donor: (examples, (donor,)))

    def _seed(self, index: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        return tf.stack([self._batches.seed * 100_003 + epoch, index])

    def _mix(
        self, beside: tuple[tuple[Tensors, ...], tuple[Tensors, ...]], index: tf.Tensor, epoch: tf.Tensor
    ) -> Tensors:
        examples, donors = beside
        seed, config = self._seed(index, epoch), self._batches.augmentation or AugmentConfig()
        if TASKS[self._dataset.task] == "label":
            return mix_labels(examples, seed, config)
        rare = tf.constant(self._rare)
        return mix_objects(examples, donors[0] if donors else None, rare, seed, config, 2 * self._most_boxes)

    def _unmixed(self, example: Tensors, index: tf.Tensor, epoch: tf.Tensor) -> Tensors:
        if TASKS[self._dataset.task] == "label":
            return unmixed_label(example)
        return unmixed(example, 2 * self._most_boxes)

    def _draw(self, example: Tensors, index: tf.Tensor, epoch: tf.Tensor) -> tuple[Tensors, Tensors]:
        """The example, and what is to be done to it."""
        config = self._batches.augmentation
        if config is None:
            return example, {}
        seed, scales = self._seed(index, epoch), None
        if TASKS[self._dataset.task] == "label" and config.rand_operations:
            example = example | {"image": rand_augment(example["image"], seed, config)}
        if self._sizes:
            counted = (example["labels"] >= 0) & ~example["ignore"]
            scales = size_keeping_scales(example["boxes_xyxy"], counted, (self._sizes[0], self._sizes[-1]), config)
        return example, draw_changes(seed, self._dataset.input_size, self._dataset.channels, config, scales)

    def _change_one(self, example: Tensors, changes: Tensors) -> Tensors:
        one = tf.nest.map_structure(lambda value: value[None], (example, changes))
        return {key: value[0] for key, value in self._change(*one).items()}

    def _change(self, batch: Tensors, changes: Tensors) -> Tensors:
        """Carry out the changes on a batch, and scale it."""
        size, channels = self._dataset.input_size, self._dataset.channels
        image = scale_pixels(change_images(batch["image"], changes), self._batches.scale, self._batches.offset)
        batch = batch | {"image": tf.ensure_shape(image, (None, size, size, channels))}
        if TASKS[self._dataset.task] == "label":  # its box is the whole image, whatever part of it is left
            return batch
        boxes, visible, kept = change_boxes(batch["boxes_xyxy"], changes, size)
        if "visible" in batch:
            visible *= batch.pop("visible")
        real = kept & (batch["labels"] >= 0)
        if TASKS[self._dataset.task] == "object":
            real &= visible >= MIN_VISIBLE
        return batch | {
            "boxes_xyxy": tf.where(real[..., None], boxes, 0.0),
            "labels": tf.where(real, batch["labels"], -1),
            "ignore": batch["ignore"] | (visible < MIN_VISIBLE) | ~real,
        }
