"""The trained network as a SavedModel, for TensorFlow's own tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from mirada.learning.models import load_model
from mirada.quiet import quiet_libraries


def write_saved_model(path: Path, folder: Path) -> None:
    """Write `model.keras` as a SavedModel: floats in, (N, S, S, C) under 'image', the card's outputs out.

    Args:
        path: the file of the train stage.
        folder: to be made; its variables are those of the file, without an optimizer.

    Raises:
        MiradaError: the file is damaged.
    """
    model = load_model(path)

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(image, training=False)

    module = tf.Module()
    module.variables_, module.serve = model.variables, serve
    with quiet_libraries():
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # a number drawn at random, which nothing needs


def run_saved_model(folder: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Output name -> (N, ...) of float images (N, S, S, C)."""
    with quiet_libraries():
        serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
        return {name: value.numpy() for name, value in serve(image=tf.constant(images)).items()}
