"""What an inference costs with LiteRT, and what comes before and after it.

    python benchmarks/inference.py --models models --data data/processed

Every variant at one and at two threads, in turns. Around int8 at one thread: decoding a photograph's JPEG; scaling the
decoded pixels and handing them over (before); reading and decoding the outputs with non-maximum suppression (after). Uses
the models that `make run` has left, and the test images; where there are none, a network of the same size with weights of
chance, which takes as long, but finds a box in every cell: the worst case of what comes after. Takes about a minute on two
cores, a minute more without models.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Panel, Spread, figure, machine, make_parser, positive, report, spread, start, take_turns
from photographs import draw, encode
from PIL import Image

VARIANTS = ("float32", "float16", "dynamic", "int8", "qat")
PHOTOGRAPH = (2000, 1500)
PROJECT = Path(__file__).resolve().parents[1]


@dataclass
class Subject:
    """What is measured.

    Attributes:
        card: of the model.
        variants: name -> file.
        images: pixels as the network takes them.
        trained: whether the weights are trained ones.
    """

    card: Any
    variants: dict[str, Path]
    images: list[np.ndarray]
    trained: bool


def find_subject(models: Path, data_dir: Path, folder: Path, images: int, input_size: int) -> Subject:
    """The models and test images of a run, or stand-ins in `folder`."""
    from mirada.data.images import decode
    from mirada.data.records import load_dataset
    from mirada.inference.card import load_card

    variants = {name: models / "quantize" / f"{name}.tflite" for name in VARIANTS}
    variants = {name: path for name, path in variants.items() if path.is_file()}
    if {"float32", "int8"} <= variants.keys() and (models / "train/model.json").is_file():
        card = load_card(models / "train")
        if (data_dir / "dataset.json").is_file():
            examples = list(load_dataset(data_dir).examples("test"))[:images]
            return Subject(card, variants, [decode(example.image, card.channels) for example in examples], True)
        return Subject(card, variants, draw_images(images, card.input_size), True)
    pixels = draw_images(images, input_size)
    return Subject(*make_untrained(folder, pixels, input_size), pixels, False)


def draw_images(count: int, side: int) -> list[np.ndarray]:
    """Noise like a photograph's, (side, side, 3) uint8."""
    return [np.clip(draw(side, side, number), 0, 255).astype(np.uint8) for number in range(count)]


def make_untrained(folder: Path, images: Sequence[np.ndarray], input_size: int) -> tuple[Any, dict[str, Path]]:
    """A detector of the default size with weights of chance, in every variant."""
    from mirada.config import ModelConfig
    from mirada.inference.card import Card
    from mirada.learning.models import build_model
    from mirada.learning.quantization.conversion import convert
    from mirada.learning.quantization.qat import build_qat, calibrate, to_convertible
    from mirada.learning.tasks import learning_task

    config, learning, labels = ModelConfig(name="lite0", weights=None), learning_task("detection"), ["object"]
    card = Card(
        task="detection", labels=labels, input_size=input_size, channels=3, fit="letterbox",
        strides=learning.strides(config), outputs=learning.output_names(config, len(labels)), dataset="drawn",
        data_digest="0", model={"name": "untrained"},
    )  # fmt: skip
    model = build_model(config, "detection", input_size, 3, len(labels))
    network = build_qat(model, card)
    inputs = np.stack(images[:8]).astype(np.float32) * card.input_scale + card.input_offset
    calibrate(network, model, [inputs])
    paths = {}
    for name in VARIANTS:
        paths[name] = folder / f"{name}.tflite"
        source = to_convertible(network) if name == "qat" else model
        paths[name].write_bytes(convert(source, name, lambda: images[:8]))
    return card, paths


def latencies(subject: Subject, runs: int, threads: int) -> dict[str, list[float]]:
    """Milliseconds of each inference alone, of all variants in turns."""
    from mirada.inference.litert import Model, measure_latencies

    models = {name: Model(path, subject.card, threads) for name, path in subject.variants.items()}
    found = measure_latencies(models, subject.images[0], runs, warmup=10)
    return {name: times.tolist() for name, times in found.items()}


def surroundings(subject: Subject) -> dict[str, Callable[[int], float]]:
    """What happens around an inference of int8; each way gives milliseconds an image."""
    from simplejpeg import decode_jpeg

    from mirada.data.images import encode as encode_input
    from mirada.data.images import fit_image, load_input, open_image
    from mirada.inference.litert import Model
    from mirada.tasks import get_task

    card, task = subject.card, get_task(subject.card.task)
    model = Model(subject.variants["int8"], card)
    photograph = encode(Image.fromarray(np.clip(draw(*PHOTOGRAPH, 0), 0, 255).astype(np.uint8)))
    decoded = open_image(photograph, channels=card.channels, reduce_to=card.input_size)
    square = encode_input(subject.images[0], "jpeg")
    outputs = [model.predict(image) for image in subject.images]

    def each(work: Callable[[Any], object], items: Sequence[Any]) -> Callable[[int], float]:
        def way(number: int) -> float:
            start = time.perf_counter()
            for item in items:
                work(item)
            return 1000 * (time.perf_counter() - start) / len(items)

        return way

    def prepare(image: Image.Image) -> None:
        pixels, _ = fit_image(image, card.input_size, card.fit, enhance=card.enhance, full_size=PHOTOGRAPH)
        model.set_image(pixels)

    size, options = card.input_size, {"channels": card.channels, "enhance": card.enhance}
    times = len(outputs)
    return {
        "inference": each(lambda image: (model.set_image(image), model.time_inference(1)), subject.images),
        "before: scale and hand over": each(prepare, [decoded] * times),
        "before, where the image has the input's size": each(model.set_image, subject.images),
        "after: read the outputs": each(lambda _: model.read(), subject.images),
        "after: decode them": each(lambda found: task.decode(found, card), outputs),
        "JPEG of the input's size": each(lambda data: Image.open(io.BytesIO(data)).load(), [square] * times),
        f"JPEG of {PHOTOGRAPH[0]}x{PHOTOGRAPH[1]}, as the service reads it": each(
            lambda data: load_input(data, size, card.fit, **options), [photograph] * 8
        ),
        f"JPEG of {PHOTOGRAPH[0]}x{PHOTOGRAPH[1]}, decoded by simplejpeg": each(decode_jpeg, [photograph] * 8),
    }


def judge(around: dict[str, list[float]], one: dict[str, list[float]], two: dict[str, list[float]]) -> list[Figure]:
    """The figures."""
    inference, before, handed, read, decode, *_ = around.values()
    share = spread([100 * (b + r + d) / i for i, b, r, d in zip(inference, before, read, decode, strict=True)])
    least = spread([100 * (b + r + d) / i for i, b, r, d in zip(inference, handed, read, decode, strict=True)])
    after = spread([100 * (r + d) / i for i, r, d in zip(inference, read, decode, strict=True)])
    none: dict[str, Any] = {"lower": True, "limit": 0.0, "limit_is": "nothing around it"}
    figures = [
        figure("int8: before and after an inference, to it", share, "%", goal=15.0, **none),
        figure("the same, image of the input's size", least, "%", goal=15.0, **none),
        figure("int8: after an inference, to it", after, "%", **none),
    ]
    for name, times in one.items():
        figures.append(figure(f"{name}, 1 thread, to float32", median_ratio(one["float32"], times), "x"))
    for name, times in two.items():
        figures.append(
            figure(
                f"{name}, 2 threads to 1", median_ratio(one[name], times), "x", limit=2.0, limit_is="as many threads"
            )
        )
    return figures


def median_ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of the medians; single inferences scatter too much to be paired."""
    value = spread(over).median / spread(under).median
    return Spread(value, value, value)


def main() -> None:
    parser = make_parser(__doc__ or "", rounds=10)
    parser.add_argument("--models", type=Path, default=PROJECT / "models", help="folder of train/ and quantize/")
    parser.add_argument("--data", type=Path, default=PROJECT / "data/processed", help="the processed data set of these")
    parser.add_argument("--runs", type=positive, default=200, help="inferences of each variant")
    parser.add_argument("--images", type=positive, default=50)
    parser.add_argument("--input-size", type=positive, default=320, help="without models")
    arguments = parser.parse_args()
    started, computer = time.perf_counter(), machine()
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        subject = find_subject(arguments.models, arguments.data, Path(folder), arguments.images, arguments.input_size)
        print("trained models" if subject.trained else "no trained models: a network of chance, a box in every cell")
        around = take_turns(surroundings(subject), arguments.rounds, warmup=1)
        one, two = latencies(subject, arguments.runs, 1), latencies(subject, arguments.runs, 2)
    panels = [
        Panel("an inference at 1 thread", "ms", one),
        Panel("an inference at 2 threads", "ms", two),
        Panel("around an inference of int8 at 1 thread", "ms", around),
    ]
    report("inference", judge(around, one, two), panels, shown(arguments, subject), computer, started)


def shown(arguments: argparse.Namespace, subject: Subject) -> argparse.Namespace:
    """The settings, with whether the weights are trained."""
    return argparse.Namespace(**vars(arguments), trained=subject.trained)


if __name__ == "__main__":
    start(main)
