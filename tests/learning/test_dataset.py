import numpy as np
import pytest

from mirada.config import AugmentConfig
from mirada.images import decode
from mirada.learning.dataset import TrainingInput

from .conftest import write_dataset


def collect(source, epoch):
    return [{key: value.numpy() for key, value in batch.items()} for batch in source.epoch(epoch)]


def test_every_image_comes_once_and_some_again_to_fill_the_last_batch(tmp_path):
    dataset = write_dataset(tmp_path / "d", train=10)
    source = TrainingInput(dataset, None, batch_size=4, seed=0, workers=0)
    batches = collect(source, 0)
    assert source.steps == len(batches) == 3
    ids = np.concatenate([batch["id"] for batch in batches])
    assert len(ids) == 12 and len(set(ids[:10].tolist())) == 10


def test_without_augmentation_images_and_boxes_are_what_the_shards_hold(squares):
    batches = collect(TrainingInput(squares, None, 4, 0, 1), 0)
    pixels = {e.image_id: (decode(e.image) / 127.5 - 1, e.boxes_xyxy, e.labels) for e in squares.examples("train")}
    for batch in batches:
        for image, boxes, labels in zip(batch["image"], batch["boxes_xyxy"], batch["labels"], strict=True):
            match = [v for v in pixels.values() if np.abs(v[0] - image).max() < 1e-5]
            assert len(match) == 1
            np.testing.assert_array_equal(match[0][1], boxes)
            np.testing.assert_array_equal(match[0][2], labels)


def test_an_epoch_is_a_function_of_seed_and_number_whatever_the_workers(squares):
    first = collect(TrainingInput(squares, AugmentConfig(), 4, 7, 1), 3)
    source = TrainingInput(squares, AugmentConfig(), 4, 7, 4)
    collect(source, 0)
    again = collect(source, 3)
    for a, b in zip(first, again, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize(("seed", "epoch"), [(7, 4), (8, 3)])
def test_another_epoch_or_seed_gives_another_order_and_other_changes(squares, seed, epoch):
    first = collect(TrainingInput(squares, AugmentConfig(), 4, 7, 0), 3)
    other = collect(TrainingInput(squares, AugmentConfig(), 4, seed, 0), epoch)
    assert any((a["id"] != b["id"]).any() for a, b in zip(first, other, strict=True))
    assert sorted(np.concatenate([b["id"] for b in first])) == sorted(np.concatenate([b["id"] for b in other]))
