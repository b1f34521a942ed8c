"""A network for a task: its heads on the chosen backbone, pretrained where there are weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

import tf_keras as keras

from mirada.config import ModelConfig
from mirada.errors import MiradaError
from mirada.learning.backbones import load_imagenet, moving_statistics
from mirada.learning.pretrained import load_efficientnet_lite0
from mirada.learning.tasks import learning_task


def build_model(
    config: ModelConfig, task: str, input_size: int, channels: int, classes: int, *, pretrained: bool = True
) -> keras.Model:
    """The network of a task: flat, functional, without anything that int8 can't do.

    Args:
        config: the network's settings; `weights: imagenet` loads the backbone's.
        task: 'detection', 'localization' or 'classification'.
        input_size: side of the square input in pixels, a multiple of 32.
        channels: 3 (RGB) or 1 (grey).
        classes: number of classes.
        pretrained: false: without loading weights, whatever the settings say.

    Returns:
        A model from (batch, side, side, channels), scaled as `input_scaling` says, to a dictionary of the task's outputs.
    """
    image = keras.Input((input_size, input_size, channels), name="image")
    outputs = learning_task(task).build_outputs(config, image, classes)
    model = keras.Model(image, outputs, name=config.name)
    if pretrained and config.weights == "imagenet":
        load_imagenet(model, load_efficientnet_lite0())
    if config.batch_norm == "frozen":
        for layer in moving_statistics(model):
            layer.trainable = False
    if config.frozen_blocks:
        frozen = ("backbone_stem", *(f"backbone_{number}_" for number in range(config.frozen_blocks)))
        for layer in model.layers:
            layer.trainable = layer.trainable and not layer.name.startswith(frozen)
    return model


def input_scaling(config: ModelConfig) -> tuple[float, float]:
    """Scale and offset from pixels 0..255 to the network's input (the card's input_scale and input_offset)."""
    return (1.0, 0.0) if config.backbone == "study1" else (1 / 127.5, -1.0)


def backbone_variables(model: keras.Model) -> tuple[list, list]:
    """The trainable variables of the pretrained layers, and those of the new ones."""
    old = [v for layer in model.layers if layer.name.startswith("backbone_") for v in layer.trainable_variables]
    known = {v.ref() for v in old}
    return old, [v for v in model.trainable_variables if v.ref() not in known]


def backbone_depths(model: keras.Model) -> list[int]:
    """How many blocks lie behind that of each pretrained variable, in the order of `backbone_variables`."""
    blocks = [
        layer.name.split("_")[1]
        for layer in model.layers
        if layer.name.startswith("backbone_")
        for _ in layer.trainable_variables
    ]
    order = list(dict.fromkeys(blocks))
    return [len(order) - 1 - order.index(block) for block in blocks]


def load_model(path: Path) -> keras.Model:
    """Read a `model.keras` that the train stage wrote.

    Raises:
        MiradaError: the file is damaged.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise MiradaError(
            f"{path} is corrupt ({str(error).splitlines()[0]}): run the train stage again (`dvc repro train`)."
        ) from error
