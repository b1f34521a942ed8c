import numpy as np
import pytest

from mirada.config import AugmentConfig, InputConfig
from mirada.data.images import decode, encode
from mirada.data.records import Example, frame, serialize
from mirada.learning.dataset import BatchSettings, TrainingInput, rare_classes, share_out
from mirada.learning.devices import choose_devices
from tests.learning.conftest import write_dataset


def batches_of(
    dataset, augmentation=None, batch_size=4, *, seed=0, workers=0, config=None, scale=1 / 127.5, offset=-1.0
):
    wanted = BatchSettings(batch_size=batch_size, seed=seed, augmentation=augmentation, scale=scale, offset=offset)
    return TrainingInput(dataset, wanted, config=config, workers=workers)


def collect(source, epoch):
    return [{key: value.numpy() for key, value in batch.items()} for batch in source.epoch(epoch)]


def test_every_image_comes_once_and_some_again_to_fill_the_last_batch(tmp_path):
    dataset = write_dataset(tmp_path / "d", train=10)
    source = batches_of(dataset)
    batches = collect(source, 0)
    assert source.steps == len(batches) == 3
    ids = np.concatenate([batch["id"] for batch in batches])
    assert len(ids) == 12 and len(set(ids[:10].tolist())) == 10


def test_without_augmentation_images_and_boxes_are_what_the_shards_hold(squares):
    batches = collect(batches_of(squares, workers=1), 0)
    pixels = {e.image_id: (decode(e.image) / 127.5 - 1, e.boxes_xyxy, e.labels) for e in squares.examples("train")}
    for batch in batches:
        for image, boxes, labels in zip(batch["image"], batch["boxes_xyxy"], batch["labels"], strict=True):
            match = [v for v in pixels.values() if np.abs(v[0] - image).max() < 1e-5]
            assert len(match) == 1
            np.testing.assert_array_equal(match[0][1], boxes)
            np.testing.assert_array_equal(match[0][2], labels)


@pytest.mark.slow
def test_an_epoch_is_a_function_of_seed_and_number_whatever_the_workers(squares):
    first = collect(batches_of(squares, AugmentConfig(), seed=7, workers=1), 3)
    source = batches_of(squares, AugmentConfig(), seed=7, workers=4)
    collect(source, 0)
    again = collect(source, 3)
    for a, b in zip(first, again, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize(("seed", "epoch"), [(7, 4), (8, 3)])
def test_another_epoch_or_seed_gives_another_order_and_other_changes(squares, seed, epoch):
    first = collect(batches_of(squares, AugmentConfig(), seed=7), 3)
    other = collect(batches_of(squares, AugmentConfig(), seed=seed), epoch)
    assert any((a["id"] != b["id"]).any() for a, b in zip(first, other, strict=True))
    assert sorted(np.concatenate([b["id"] for b in first])) == sorted(np.concatenate([b["id"] for b in other]))


NAIVE = {"interleave": 1, "parallel": False, "cache": False, "vectorize": False, "prefetch": False}
KNOBS = [{**NAIVE, key: value} for key, value in vars(InputConfig()).items() if key in NAIVE]
LIVELY = AugmentConfig(flip_vertical=True, rotate_90=True, rotate_degrees=20)


@pytest.mark.slow
@pytest.mark.parametrize("knobs", [{}, *KNOBS], ids=["pipelined", *NAIVE])
def test_naive_and_pipelined_input_are_the_same_to_the_bit(tmp_path, knobs):
    dataset = write_dataset(tmp_path / "d", train=10)
    naive = batches_of(dataset, LIVELY, seed=7, config=InputConfig(**NAIVE))
    other = batches_of(dataset, LIVELY, seed=7, config=InputConfig(**knobs))
    for epoch in (0, 1):
        batches = collect(naive, epoch)
        assert len(batches) == 3
        for a, b in zip(batches, collect(other, epoch), strict=True):
            assert a.keys() == b.keys()
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])


MIXED = AugmentConfig(
    rotate_90=True, mosaic=0.5, mixup=0.5, copy_paste=0.5, rand_operations=2, rand_strength=0.5, keep_sizes=True
)


def uneven(folder, task):
    """Four squares of a class and three of another."""
    return write_dataset(folder, task=task, train=7, classes=2)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "classification"])
def test_mixed_images_are_the_same_however_they_are_made_and_after_a_resume(tmp_path, task):
    dataset = uneven(tmp_path / "d", task)
    source = batches_of(dataset, MIXED, seed=7)
    collect(source, 0)
    for knobs in (NAIVE, {"cache": False}):
        fresh = batches_of(dataset, MIXED, seed=7, config=InputConfig(**knobs))
        for a, b in zip(collect(fresh, 2), collect(source, 2), strict=True):
            assert a.keys() == b.keys()
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])
    parts = [BatchSettings(batch_size=4, seed=7, augmentation=MIXED, part=(number, 2)) for number in (0, 1)]
    halves = [collect(TrainingInput(dataset, part), 2) for part in parts]
    for whole, *both in zip(collect(source, 2), *halves, strict=True):
        for key in whole:
            np.testing.assert_array_equal(whole[key], np.concatenate([half[key] for half in both]))


def test_the_last_epochs_are_plain_and_of_the_same_shapes(tmp_path):
    dataset = uneven(tmp_path / "d", "detection")
    still = AugmentConfig(
        flip_horizontal=False, scale_min=1, scale_max=1, brightness=0, contrast=0, saturation=0, hue=0, mixup=1.0
    )
    wanted = BatchSettings(batch_size=4, seed=7, augmentation=still, plain_from=1)
    source = TrainingInput(dataset, wanted)
    mixed, plain = (np.concatenate([batch["labels"] for batch in collect(source, epoch)]) for epoch in (0, 1))
    assert mixed.shape == plain.shape == (8, 2)
    assert (mixed >= 0).all() and (plain[:, 0] >= 0).all() and (plain[:, 1] == -1).all()
    pixels = {decode(example.image).tobytes() for example in dataset.examples("train")}
    found = [np.rint((image + 1) * 127.5).astype(np.uint8) for b in collect(source, 1) for image in b["image"]]
    assert {image.tobytes() for image in found} == pixels


def test_objects_of_the_rare_class_are_pasted(tmp_path):
    dataset = uneven(tmp_path / "d", "detection")  # 4 red ones, 3 blue
    assert rare_classes(dataset) == [False, True]
    pasted = collect(batches_of(dataset, AugmentConfig(copy_paste=1.0, scale_min=1, scale_max=1)), 0)
    labels = np.concatenate([batch["labels"] for batch in pasted])
    assert (labels == 1).sum() >= 8 and labels.shape == (8, 2)  # one more in each image


def test_zooming_keeps_the_sizes_that_the_training_has(tmp_path):
    dataset = write_dataset(tmp_path / "d", train=40, classes=1)
    low, _, high = dataset.object_sizes()
    found = {}
    for keep in (False, True):
        config = AugmentConfig(scale_min=0.5, scale_max=2.0, keep_sizes=keep)
        batches = collect(batches_of(dataset, config, 8), 0)
        boxes, ignore = (np.concatenate([batch[key][:, 0] for batch in batches]) for key in ("boxes_xyxy", "ignore"))
        inner = ~ignore & (boxes > 0.5).all(1) & (boxes < 63.5).all(1)  # not cut off
        found[keep] = np.sqrt((boxes[inner, 2] - boxes[inner, 0]) * (boxes[inner, 3] - boxes[inner, 1]))
    assert found[False].min() < 0.8 * low and len(found[True]) > 10
    assert found[True].min() > low - 0.1 and found[True].max() < high + 0.1
    assert np.ptp(found[True]) > (high - low) / 2


def test_images_too_many_for_memory_are_read_anew_and_come_out_the_same(squares, monkeypatch):
    first = collect(batches_of(squares, LIVELY, seed=7), 1)
    monkeypatch.setattr("mirada.learning.dataset._CACHE_SHARE", 0.0)
    source = batches_of(squares, LIVELY, seed=7)
    collect(source, 0)
    for a, b in zip(first, collect(source, 1), strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])


def test_grey_images_have_one_channel_and_the_scaling_of_the_card(tmp_path):
    dataset = write_dataset(tmp_path / "d", task="classification", channels=1)
    batches = collect(batches_of(dataset, scale=1.0, offset=0.0), 0)
    pixels = {decode(example.image, 1).tobytes() for example in dataset.examples("train")}
    images = [image for batch in batches for image in batch["image"]]
    assert images[0].shape == (64, 64, 1)
    assert {image.astype(np.uint8).tobytes() for image in images} == pixels


CROPS = AugmentConfig(scale_min=0.15, scale_max=1.0, brightness=0, contrast=0, saturation=0, hue=0)


def test_a_class_is_kept_whatever_is_cropped_away(tmp_path):
    dataset = write_dataset(tmp_path / "d", task="classification", train=16)
    batches = collect(batches_of(dataset, CROPS), 0)
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert labels.shape == (16, 1) and sorted(labels[:, 0]) == [0] * 8 + [1] * 8
    for batch in batches:
        assert (batch["boxes_xyxy"] == [0, 0, 64, 64]).all() and not batch["ignore"].any()


@pytest.mark.parametrize("task", ["localization", "detection"])
def test_an_object_that_was_cropped_away_has_no_label(tmp_path, task):
    dataset = write_dataset(tmp_path / "d", task=task, train=40)
    batches = collect(batches_of(dataset, CROPS, 8), 0)
    labels, boxes, ignore = (
        np.concatenate([b[key][:, 0] for b in batches]) for key in ("labels", "boxes_xyxy", "ignore")
    )
    images = np.concatenate([batch["image"] for batch in batches])
    gone = labels < 0
    assert 5 < gone.sum() < 35 and ignore[gone].all() and (boxes[gone] == 0).all()
    coloured = (images.max(-1) - images.min(-1) > 0.5).any((1, 2))  # nothing but the squares is
    assert coloured[~gone].all()
    if task == "detection":  # a box of which anything is left keeps its label, and a sliver is ignored
        assert not coloured[gone].any() and ignore[~gone].any()
    else:
        assert not ignore[~gone].any()


def test_replicas_share_a_batch_out_in_order(squares):
    strategy = choose_devices(2).strategy
    batch = next(iter(batches_of(squares).epoch(0)))
    parts = strategy.experimental_local_results(share_out(batch, strategy)["id"])
    assert [part.numpy().tolist() for part in parts] == [
        batch["id"].numpy()[:2].tolist(),
        batch["id"].numpy()[2:].tolist(),
    ]


@pytest.mark.slow
def test_tf_data_reads_our_shards_as_they_are(tmp_path):
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    written = [
        Example(
            image_id=f"{number}.png",
            image=encode(pixels, "png"),
            boxes_xyxy=np.arange(4 * number, dtype=np.float32).reshape(-1, 4),
            labels=np.arange(number, dtype=np.int64),
            ignore=np.arange(number) > 0,
            source="s.png",
            placement=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        )
        for number in range(3)
    ]
    path = tmp_path / "train-00000-of-00001.tfrecord"
    path.write_bytes(b"".join(frame(serialize(example)) for example in written))
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in ("image_id", "image", "source")}
    features["placement"] = tf.io.FixedLenFeature([6], tf.float32)
    features["boxes_xyxy"] = tf.io.VarLenFeature(tf.float32)
    features |= {key: tf.io.VarLenFeature(tf.int64) for key in ("labels", "ignore")}
    found = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(str(path))]
    assert len(found) == 3
    for example, read in zip(written, found, strict=True):
        assert read["image_id"].numpy().decode() == example.image_id
        assert (tf.io.decode_image(read["image"]).numpy() == pixels).all()
        assert read["boxes_xyxy"].values.numpy().tolist() == example.boxes_xyxy.ravel().tolist()
        assert read["labels"].values.numpy().tolist() == example.labels.tolist()
        assert read["ignore"].values.numpy().tolist() == example.ignore.tolist()
        assert read["placement"].numpy().tolist() == list(example.placement)
