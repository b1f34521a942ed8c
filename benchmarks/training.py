"""A training epoch of ours against the plainest Keras `fit`, same network, same data.

    python benchmarks/training.py --rounds 5

`fit` gets arrays that lie in memory, decoded and scaled, Adam, and nothing else. Ours reads shards, shuffles, augments,
clips gradients, keeps a moving average of the weights, looks at each loss and meters memory and processor. The last way
computes gradients on one batch and drops them: no training is faster than that. Takes about two minutes on two cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from figures import Panel, figure, machine, make_parser, positive, ratio, report, seconds_of, start, take_turns
from input import make_trainer, prepare

from mirada.config import ModelConfig


def load_arrays(data_dir: Path, scale: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """The training split: (N, S, S, 3) float32, scaled, and (N,) labels."""
    from mirada.data.images import decode
    from mirada.data.records import load_dataset

    examples = list(load_dataset(data_dir).examples("train"))
    pixels = np.stack([decode(example.image) for example in examples]).astype(np.float32) * scale + offset
    return pixels, np.array([example.labels[0] for example in examples], np.int32)


def plain_fit(trainer: Any, model: ModelConfig, arrays: tuple[np.ndarray, np.ndarray], xla: bool) -> Callable[[], None]:
    """An epoch of `fit`, with Keras' default for its optimizer (`xla`) or as ours is set."""
    import tf_keras as keras

    from mirada.learning.models import build_model

    data = trainer.dataset
    network = build_model(model, data.task, data.input_size, data.channels, len(data.classes))
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=keras.optimizers.Adam(1e-4, jit_compile=xla), loss={"classes": entropy})
    pixels, labels = arrays
    batch_size = trainer.config.batch_size
    return lambda: network.fit(pixels, {"classes": labels}, batch_size=batch_size, verbose=0) and None


def gradients_alone(trainer: Any, arrays: tuple[np.ndarray, np.ndarray]) -> Callable[[], None]:
    """As many gradients as an epoch has, of one batch."""
    import tensorflow as tf

    batch_size, network = trainer.config.batch_size, trainer.model
    pixels, labels = (tf.constant(array[:batch_size]) for array in arrays)

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = network(pixels, training=True)["classes"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, network.trainable_variables)
        return [tf.reduce_sum(gradient) for gradient in gradients]  # each is needed, so none is optimized away

    def run() -> None:
        for _ in range(trainer.input.steps):
            step()[0].numpy()

    return run


def main() -> None:
    parser = make_parser(__doc__ or "", rounds=4)
    parser.add_argument("--images", type=positive, default=160, help="how many images an epoch has")
    parser.add_argument("--input-size", type=positive, default=224)
    parser.add_argument("--batch-size", type=positive, default=16)
    parser.add_argument("--model", choices=("lite0", "tiny"), default="lite0")
    arguments = parser.parse_args()
    started, computer = time.perf_counter(), machine()
    backbone = {"lite0": "efficientnet_lite0", "tiny": "tiny"}[arguments.model]
    model = ModelConfig(name=arguments.model, backbone=backbone, weights=None)
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        data_dir = prepare(Path(folder), arguments.images, arguments.input_size, "classification")
        trainer = make_trainer(data_dir, model, arguments.batch_size)
        arrays = load_arrays(data_dir, trainer.card.input_scale, trainer.card.input_offset)
        images = trainer.input.steps * arguments.batch_size
        ways: dict[str, Callable[[int], float]] = {
            "mirada": lambda number: images / trainer.train_epoch(number)["seconds"],
            "fit on arrays": lambda number: len(arrays[0]) / plain(number),
            "fit, optimizer without XLA": lambda number: len(arrays[0]) / tuned(number),
            "gradients alone": lambda number: images / bare(number),
        }
        plain, tuned = (seconds_of(plain_fit(trainer, model, arrays, xla)) for xla in (True, False))
        bare = seconds_of(gradients_alone(trainer, arrays))
        speeds = take_turns(ways, arguments.rounds, warmup=1)
    limit = ratio(speeds["gradients alone"], speeds["fit on arrays"]).median
    figures = [
        figure("mirada to fit", ratio(speeds["mirada"], speeds["fit on arrays"]), "x", goal=1.0, limit=limit,
               limit_is="gradients alone"),
        figure("mirada to fit with an optimizer without XLA", ratio(speeds["mirada"], speeds["fit, optimizer without XLA"]),
               "x"),
        figure("mirada to gradients alone", ratio(speeds["mirada"], speeds["gradients alone"]), "x", limit=1.0,
               limit_is="nothing but gradients"),
    ]  # fmt: skip
    title = f"training, {arguments.model}, {arguments.input_size} pixels, batches of {arguments.batch_size}"
    report("training", figures, [Panel(title, "images/s", speeds)], arguments, computer, started)


if __name__ == "__main__":
    start(main)
