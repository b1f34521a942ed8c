"""A drawn data set and a detector with weights set by hand that finds its squares, for tests of what is measured.

Squares of 24 pixels, red or blue, lie centred on cells of stride 8. The network's first layer is a matched filter: a
cell's objectness is highest where a square lies centred on it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mirada.data.images import encode
from mirada.data.records import Dataset, Example
from mirada.inference.card import Card, save_card
from tests.datasets import SIDE, store_examples

SQUARE = 24
COLOURS = ((250, 10, 10), (10, 10, 250))
LABELS = ["red", "blue"]


def draw_example(number: int) -> Example:
    """Up to three squares on black; the third of every fourth image is to be ignored."""
    rng = np.random.default_rng(number)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    places = [(x, y) for x in (1, 5) for y in (1, 5)]  # cells; the squares of two never touch
    chosen = [places[i] for i in rng.permutation(4)[: number % 4]]
    boxes, labels = [], []
    for x, y in chosen:
        label, left, top = int(rng.integers(2)), 8 * x + 4 - SQUARE // 2, 8 * y + 4 - SQUARE // 2
        image[top : top + SQUARE, left : left + SQUARE] = COLOURS[label]
        boxes.append((left, top, left + SQUARE, top + SQUARE))
        labels.append(label)
    return Example(
        image_id=f"square {number}.png",
        image=encode(image, "png"),
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        ignore=np.array([i == 2 for i in range(len(boxes))], bool),
        source=f"square {number}.png",
    )


def write_squares(folder: Path, images: int = 12) -> Dataset:
    """The processed data set: train, val and test of `images` images each."""
    numbers = {split: range(k * images, (k + 1) * images) for k, split in enumerate(("train", "val", "test"))}
    examples = {split: [draw_example(number) for number in numbers[split]] for split in numbers}
    return store_examples(folder, examples, name="squares", task="detection", classes=LABELS)


def make_card(dataset: Dataset) -> Card:
    """The card of `matched_filter`."""
    return Card(
        task="detection",
        labels=LABELS,
        input_size=SIDE,
        channels=3,
        fit="letterbox",
        strides=[8],
        outputs={part: [f"{part}_8"] for part in ("objectness", "classes", "distances")},
        dataset=dataset.name,
        data_digest=dataset.digest,
        model={"name": "matched filter"},
    )


def matched_filter() -> Any:
    """The network: objectness 24 * (share of the cell's window that is coloured) - 20, and classes by colour."""
    import tf_keras as keras

    import mirada.learning  # noqa: F401 - sets Keras 2 up

    image = keras.Input((SIDE, SIDE, 3), name="image")
    # red and blue, averaged over the window and shifted from -1..1 to 0..1
    kernel = np.zeros((SQUARE, SQUARE, 3, 2), np.float32)
    kernel[:, :, 0, 0] = kernel[:, :, 2, 1] = 0.5 / SQUARE**2
    padded = keras.layers.ZeroPadding2D(8)(image)  # a value of 0 is grey, which matters at the border only
    colour = keras.layers.Conv2D(2, SQUARE, 8, weights=[kernel, np.full(2, 0.5, np.float32)], activation="relu")(padded)

    def pointwise(channels: int, weights: Any, bias: Any, name: str) -> Any:
        kernel = np.array(weights, np.float32).reshape(1, 1, 2, channels)
        return keras.layers.Conv2D(channels, 1, weights=[kernel, np.array(bias, np.float32)], name=name)(colour)

    outputs = {
        "objectness_8": pointwise(1, [[24], [24]], [-20], "objectness_8"),
        "classes_8": pointwise(2, [[8, 0], [0, 8]], [0, 0], "classes_8"),
        "distances_8": pointwise(4, np.full((2, 4), 0.01), np.full(4, np.log(np.expm1(1.5))), "distances_8"),
    }
    return keras.Model(image, outputs)


def write_variants(folder: Path, dataset: Dataset, names: tuple[str, ...] = ("float32", "int8")) -> None:
    """Card, `.tflite` files and `variants.json`, as the stages train and quantize leave them, in one folder."""
    from mirada.data.images import decode
    from mirada.learning.quantization.conversion import convert

    folder.mkdir(parents=True, exist_ok=True)
    model, variants = matched_filter(), []
    for name in names:
        content = convert(model, name, lambda: (decode(example.image) for example in dataset.examples("train")))
        (folder / f"{name}.tflite").write_bytes(content)
        variants.append(
            {
                "name": name,
                "file": f"{name}.tflite",
                "size_bytes": len(content),
                "size_gzip_bytes": len(gzip.compress(content)),
                "conversion_s": 0.5,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    (folder / "variants.json").write_text(json.dumps({"variants": variants}))
    save_card(make_card(dataset), folder / "model.json")
