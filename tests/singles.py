"""Drawn data with one object an image, and networks with weights set by hand, for localization and classification.

A square of 24 pixels lies centred on a cell of stride 16. The localizer finds it by a matched filter; every fourth truth
is spoilt, so that what it scores is known. The classifier tells dim from bright grey squares by a logit of
20 * (brightness - 0.5), and takes those of 170 for bright, which they are not.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mirada.data.images import encode
from mirada.data.records import Dataset, Example
from mirada.inference.card import Card, save_card
from tests.datasets import SIDE, store_examples
from tests.squares import COLOURS, SQUARE

LABELS = {"localization": ["red", "blue"], "classification": ["dim", "bright"]}
CHANNELS = {"localization": 3, "classification": 1}
BRIGHTNESS = (40, 250, 80, 170)


def draw_single(task: str, number: int) -> Example:
    """One square an image; what is wrong with the truth of every fourth depends on the task."""
    rng = np.random.default_rng(number)
    image = np.zeros((SIDE, SIDE, CHANNELS[task]), np.uint8)
    left, top = (int(16 * rng.integers(1, 3) + 8 - SQUARE // 2) for _ in range(2))
    area = (slice(top, top + SQUARE), slice(left, left + SQUARE))
    box: tuple[float, ...]
    if task == "classification":
        image[area] = BRIGHTNESS[number % 4]
        label, box = int(BRIGHTNESS[number % 4] == 250), (0, 0, SIDE, SIDE)
    else:
        colour = int(rng.integers(2))
        image[area] = COLOURS[colour]
        # of four images the fourth has the wrong label, and of eight the third a box at half the width: IoU 0.5 - a bit
        label = 1 - colour if number % 4 == 3 else colour
        box = (left, top, left + SQUARE * (0.4 if number % 8 == 2 else 1), top + SQUARE)
    name = f"{task} {number}.png"
    return Example(
        image_id=name,
        image=encode(image, "png"),
        boxes_xyxy=np.array([box], np.float32),
        labels=np.array([label]),
        ignore=np.array([False]),
        source=name,
    )


def write_singles(folder: Path, task: str, images: int = 8) -> Dataset:
    """The processed data set: train, val and test of `images` images each."""
    numbers = {split: range(k * images, (k + 1) * images) for k, split in enumerate(("train", "val", "test"))}
    examples = {split: [draw_single(task, number) for number in numbers[split]] for split in numbers}
    settings = {"name": f"drawn {task}", "task": task, "classes": LABELS[task], "channels": CHANNELS[task]}
    return store_examples(folder, examples, fit="stretch", **settings)


MAPS = ("classes", "scores", "distances")


def make_card(dataset: Dataset) -> Card:
    """The card of `hand_made`."""
    maps = dataset.task == "localization"
    return Card(
        task=dataset.task,
        labels=dataset.classes,
        input_size=SIDE,
        channels=dataset.channels,
        fit=dataset.fit,
        strides=[16] if maps else [],
        outputs={part: [f"{part}_16"] for part in MAPS} if maps else {"classes": ["classes"]},
        dataset=dataset.name,
        data_digest=dataset.digest,
        model={"name": "hand-made"},
    )


def hand_made(task: str) -> Any:
    """The network of a task."""
    import tf_keras as keras

    import mirada.learning  # noqa: F401 - sets Keras 2 up

    image, layers, colours = keras.Input((SIDE, SIDE, CHANNELS[task]), name="image"), keras.layers, 3 - CHANNELS[task]
    colours = 2 if task == "localization" else 1
    # each colour averaged over the window and shifted from -1..1 to 0..1
    kernel = np.zeros((SQUARE, SQUARE, CHANNELS[task], colours), np.float32)
    for k, channel in enumerate((0, 2)[:colours]):
        kernel[:, :, channel, k] = 0.5 / SQUARE**2
    window = layers.ZeroPadding2D(4)(image)
    response = layers.Conv2D(colours, SQUARE, 16, weights=[kernel, np.full(colours, 0.5, np.float32)])(window)
    strongest = layers.GlobalMaxPooling2D()(response)

    def weights(values: Any, bias: Any) -> list[np.ndarray]:
        return [np.array(values, np.float32), np.array(bias, np.float32)]

    if task == "classification":
        logits = layers.Dense(2, weights=weights([[0, 20]], [0, -10]), name="classes")(strongest)
        return keras.Model(image, {"classes": logits})
    reach = np.log(np.expm1(SQUARE / 2 / 16))
    scores = layers.Conv2D(1, 1, weights=weights([[[[60], [60]]]], [-20]), name="scores_16")(response)
    distances = layers.Conv2D(
        4, 1, weights=weights(np.full((1, 1, 2, 4), 0.001), np.full(4, reach)), name="distances_16"
    )(response)
    logits = layers.Conv2D(2, 1, weights=weights([[[[8, 0], [0, 8]]]], [0, 0]), name="classes_16")(response)
    return keras.Model(image, {"classes_16": logits, "scores_16": scores, "distances_16": distances})


def write_variants(folder: Path, dataset: Dataset) -> None:
    """Card, float32, int8 and a qat that is int8 under another name, and what the train stage leaves, in one folder."""
    from mirada.data.images import decode
    from mirada.learning.quantization.conversion import convert

    folder.mkdir(parents=True, exist_ok=True)
    images = [decode(example.image, dataset.channels) for example in dataset.examples("train")]
    model = hand_made(dataset.task)
    contents = {name: convert(model, name, lambda: images) for name in ("float32", "int8")}
    contents["qat"] = contents["int8"]
    variants = []
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
        variants.append({"name": name, "file": f"{name}.tflite", "sha256": hashlib.sha256(content).hexdigest()})
    (folder / "variants.json").write_text(json.dumps({"variants": variants}))
    save_card(make_card(dataset), folder / "model.json")
    (folder / "history.csv").write_text("epoch,seconds,train_accuracy\n1,30,0.5\n2,20,0.75\n3,22,0.875\n")
