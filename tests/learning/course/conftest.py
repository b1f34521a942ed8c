"""Networks that a moment trains: what a pretrained backbone would do is written into them by hand."""

from dataclasses import replace

import numpy as np
import pytest
import tf_keras as keras

from mirada.config import InputConfig, TrainConfig
from mirada.data.records import load_dataset
from mirada.learning.devices import choose_devices
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from tests.learning.conftest import write_dataset

BLOCKS = 8


def knowing_network() -> keras.Model:
    """A classifier of red and blue squares whose backbone already tells colours; batch statistics and dropout besides."""
    image = keras.Input((64, 64, 3), name="image")
    x = image
    for block in range(BLOCKS):
        x = keras.layers.Conv2D(6, 1, activation="relu", name=f"backbone_{block}_conv")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = keras.layers.Dropout(0.1, name="dropout")(x)
    network = keras.Model(image, {"classes": keras.layers.Dense(2, name="classes")(x)})
    colours = np.concatenate([np.eye(3), -np.eye(3)], axis=1)  # each channel, and how little there is of it
    network.get_layer("backbone_0_conv").set_weights([colours[None, None], np.zeros(6)])
    for block in range(1, BLOCKS):
        network.get_layer(f"backbone_{block}_conv").set_weights([np.eye(6)[None, None], np.zeros(6)])
    return network


@pytest.fixture
def config(train_config, tmp_path) -> TrainConfig:
    """Two epochs with the backbone frozen, then it is let go."""
    dataset = write_dataset(tmp_path / "classes", task="classification", train=16, val=8)
    frozen = replace(
        train_config, data_dir=str(dataset.folder), input=InputConfig(), epochs=8, freeze_epochs=2, batch_size=4,
        learning_rate=0.05, schedule="constant", ema_decay=0.0, warmup_epochs=0.0,
    )  # fmt: skip
    frozen.augment = replace(frozen.augment, hue=0.0, scale_min=0.9, scale_max=1.1)
    return frozen


def make_trainer(config: TrainConfig, build=knowing_network) -> Trainer:
    dataset = load_dataset(config.data_dir)
    return Trainer(config, dataset, choose_devices(config.gpus), make_card(config, dataset), build)
