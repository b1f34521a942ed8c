"""The networks of two published student studies, to the letter, so that their figures can be compared with others.

They stay as they were published; what Mirada would build instead is `model=lite0`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras as keras

_STUDY3_SLOPE = 0.5  # of the leaky ReLU, for negative inputs
_STUDY3_DROPPED = 0.25  # the study says: keep 0.75


def study1_features(image: keras.KerasTensor, pool_after: Sequence[int]) -> keras.KerasTensor:
    """The first study's trunk: five convolutions of 32 filters, batch normalisation after the first four blocks.

    Args:
        image: (batch, side, side, channels), pixels 0..255; they are scaled to 0..1 inside.
        pool_after: the convolutions, from 1, that a max-pooling follows: 1 to 5 in the study's report, without 2 in its
            code.

    Returns:
        (batch, features).
    """
    x = keras.layers.Rescaling(1 / 255, name="rescale")(image)
    for number in range(1, 6):
        x = keras.layers.Conv2D(32, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
        if number in pool_after:
            x = keras.layers.MaxPooling2D(name=f"pool_{number}")(x)
        if number < 5:
            x = keras.layers.BatchNormalization(name=f"bn_{number}")(x)
    return keras.layers.Flatten(name="flatten")(x)


def study1_class_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """128 units, then logits (batch, classes)."""
    x = keras.layers.Dense(128, activation="relu", name="class_1")(x)
    return keras.layers.Dense(classes, name="classes")(x)


def study1_box_head(x: keras.KerasTensor) -> keras.KerasTensor:
    """128, 64 and 32 units, then x1, y1, x2, y2 (batch, 4), linear, in pixels of the input."""
    for number, units in enumerate((128, 64, 32), start=1):
        x = keras.layers.Dense(units, activation="relu", name=f"box_{number}")(x)
    return keras.layers.Dense(4, name="box")(x)


def study3(image: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The third study's classifier: four convolutions, two dense layers, leaky ReLU, dropout.

    Args:
        image: (batch, side, side, channels) in -1..1; 256 pixels and one channel in the study.
        classes: number of classes.

    Returns:
        Logits (batch, classes).
    """
    x = image
    for number, filters in enumerate((16, 32, 64, 128), start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(x)
        x = keras.layers.LeakyReLU(_STUDY3_SLOPE, name=f"conv_{number}_leaky")(x)
        if number > 1:
            x = keras.layers.MaxPooling2D(name=f"pool_{number}")(x)
            x = keras.layers.Dropout(_STUDY3_DROPPED, name=f"dropout_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, units in enumerate((512, 1024), start=1):
        x = keras.layers.Dense(units, name=f"dense_{number}")(x)
        x = keras.layers.LeakyReLU(_STUDY3_SLOPE, name=f"dense_{number}_leaky")(x)
        x = keras.layers.Dropout(_STUDY3_DROPPED, name=f"dense_{number}_dropout")(x)
    return keras.layers.Dense(classes, name="classes")(x)
