"""Small data and settings for everything that trains."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import mirada.learning  # noqa: F401 - sets Keras 2 up before a test module imports TensorFlow

import tensorflow as tf  # isort: skip
from mirada.config import AugmentConfig, ModelConfig, TrackingConfig, TrainConfig
from mirada.data.images import encode
from mirada.data.records import Dataset, Example, load_dataset
from mirada.learning.devices import choose_devices
from mirada.stages import train
from tests.datasets import SIDE, store_examples

if not tf.config.list_physical_devices("GPU"):  # tests marked gpu choose for themselves: there may be only one
    choose_devices(2)  # logical devices are made once in a process, before anything runs on one
COLOURS = ((220, 30, 30), (30, 30, 220))


def make_example(number: int, classes: int, task: str = "detection", channels: int = 3) -> Example:
    """A grey picture with one coloured square; the colour is the class. For classification the box is the picture's."""
    rng = np.random.default_rng(number)
    image = rng.integers(90, 140, (SIDE, SIDE, 3)).astype(np.uint8)
    label, side = number % classes, int(rng.integers(16, 32))
    x, y = rng.integers(0, SIDE - side, 2)
    image[y : y + side, x : x + side] = COLOURS[label]
    box = np.array([[x, y, x + side, y + side]], np.float32)
    if task == "classification":
        box = np.array([[0, 0, SIDE, SIDE]], np.float32)
    image = image if channels == 3 else image[..., :1]
    return Example(f"square {number}.png", encode(image, "png", 95), box, np.array([label]), np.array([False]), "s.png")


def write_dataset(
    folder: Path, classes: int = 2, train: int = 12, val: int = 4, task: str = "detection", channels: int = 3
) -> Dataset:
    """A processed data set of squares, two shards a split."""
    examples, start = {}, 0
    for split, images in (("train", train), ("val", val), ("test", 4)):
        examples[split] = [make_example(number, classes, task, channels) for number in range(start, start + images)]
        start += images
    names = ["red", "blue"][:classes]
    return store_examples(folder, examples, name="squares", task=task, classes=names, channels=channels, shards=2)


@pytest.fixture(autouse=True)
def global_seed() -> None:
    """The seed that a test before this one left in TensorFlow would change the order of images."""
    import tensorflow as tf

    tf.random.set_seed(0)


@pytest.fixture
def squares(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "processed")


def small_training(data: Dataset, output_dir: Path) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1),
        augment=AugmentConfig(),
        tracking=TrackingConfig(enabled=False),
        data_dir=str(data.folder),
        output_dir=str(output_dir),
        epochs=2,
        batch_size=4,
        learning_rate=1e-3,
        deterministic=True,
    )


@pytest.fixture
def train_config(tmp_path: Path, squares: Dataset) -> TrainConfig:
    return small_training(squares, tmp_path / "train")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """What `train_config` leaves, trained once for all: the settings, with their data and model. To be read, not written."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "trained"  # one for all workers
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            making = folder.with_name("training")
            shutil.rmtree(making, ignore_errors=True)  # of a worker that failed
            train.run(small_training(write_dataset(making / "processed"), making / "train"))
            making.rename(folder)
    return small_training(load_dataset(folder / "processed"), folder / "train")
