"""What an inference costs with LiteRT, and what the engine adds to it.

    python benchmarks/inference.py --models models --data data/processed

Every variant at one and at two threads, in turns. Then the engine with int8: a photograph in tiles at one and at two threads
beside as many inferences of bare LiteRT, and a JPEG of 640x480 looked at as a whole beside the bare decoder. Uses the models
that `make run` has left, and a test photograph; where there are none, a network of the same size with weights of chance,
which takes as long, but finds a box in every cell: the worst case of what comes after. Takes about a minute and a half on
two cores, a minute more without models.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from figures import (
    Figure,
    Panel,
    Spread,
    figure,
    machine,
    make_parser,
    positive,
    ratio,
    report,
    spread,
    start,
    take_turns,
)
from photographs import draw, encode
from PIL import Image

VARIANTS = ("float32", "float16", "dynamic", "int8", "qat")
PHOTOGRAPH = (1000, 750)  # at most, in tiles
JPEG = (640, 480)  # as a whole
REPEATS = 30  # photographs looked at as a whole in a round
Timings = Mapping[str, float]  # milliseconds by what took them
PROJECT = Path(__file__).resolve().parents[1]


@dataclass
class Subject:
    """What is measured.

    Attributes:
        card: of the model.
        variants: name -> file.
        images: pixels as the network takes them.
        photograph: what is looked at in tiles, and made the JPEG of.
        trained: whether the weights are trained ones.
    """

    card: Any
    variants: dict[str, Path]
    images: list[np.ndarray]
    photograph: Image.Image
    trained: bool


def find_subject(models: Path, data_dir: Path, folder: Path, images: int, input_size: int) -> Subject:
    """The models and test images of a run, or stand-ins in `folder`."""
    from mirada.data.images import decode, open_image
    from mirada.data.records import load_dataset
    from mirada.inference.card import load_card

    variants = {name: models / "quantize" / f"{name}.tflite" for name in VARIANTS}
    variants = {name: path for name, path in variants.items() if path.is_file()}
    photograph = Image.fromarray(np.clip(draw(*PHOTOGRAPH, 0), 0, 255).astype(np.uint8))
    if {"float32", "int8"} <= variants.keys() and (models / "train/model.json").is_file():
        card = load_card(models / "train")
        if (data_dir / "dataset.json").is_file():
            dataset = load_dataset(data_dir)
            pixels = [decode(example.image, card.channels) for example in islice(dataset.examples("test"), images)]
            if "test" in dataset.photographs:
                photograph = open_image(next(iter(dataset.whole_photographs("test"))).image, True)
                photograph = photograph.crop((0, 0, *np.minimum(photograph.size, PHOTOGRAPH).tolist()))
            return Subject(card, variants, pixels, photograph, True)
        return Subject(card, variants, draw_images(images, card.input_size), photograph, True)
    pixels = draw_images(images, input_size)
    return Subject(*make_untrained(folder, pixels, input_size), pixels, photograph, False)


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


def engine_ways(subject: Subject) -> dict[str, Callable[[int], Timings]]:
    """The engine with int8 and what it is measured by; of a round the milliseconds by what took them."""
    from simplejpeg import decode_jpeg

    from mirada.inference.engine import Engine
    from mirada.inference.tiling import Viewing

    card, path = subject.card, subject.variants["int8"]
    jpeg = encode(subject.photograph.resize(JPEG))
    whole = Engine(path, card, Viewing("whole"))
    half = {"min_width": card.input_size, "min_height": card.input_size * JPEG[1] // JPEG[0], "min_factor": 2}

    def look_at_whole(number: int) -> Timings:
        rows = [whole.predict(jpeg).timings_ms for _ in range(REPEATS)]
        return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}

    def decode_alone(number: int) -> Timings:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            decode_jpeg(jpeg, **half)
            times.append(1000 * (time.perf_counter() - start))
        return {"total": float(np.median(times))}

    ways: dict[str, Callable[[int], Timings]] = {"JPEG, whole": look_at_whole, "JPEG, decoder alone": decode_alone}
    if card.task != "detection":
        return ways
    viewing = Viewing("tiles", tile=card.tile_size or card.input_size // 2)
    one, two = Engine(path, card, viewing, threads=1), Engine(path, card, viewing, threads=2)
    tiles = one.predict(subject.photograph).tiles
    return {
        "tiles, 1 thread": lambda number: one.predict(subject.photograph).timings_ms,
        "tiles, LiteRT alone": lambda number: {"total": float(one.model.time_inference(tiles).sum())},
        "tiles, 2 threads": lambda number: two.predict(subject.photograph).timings_ms,
        **ways,
    }


def judge(engine: dict[str, list[Timings]], one: dict[str, list[float]], two: dict[str, list[float]]) -> list[Figure]:
    """The figures."""

    def totals(way: str) -> list[float]:
        return [row["total"] for row in engine[way]]

    def around(way: str) -> Spread:
        """All that is not inference, in percent of it."""
        return spread([100 * (row["total"] / row["inference"] - 1) for row in engine[way]])

    figures = []
    if "tiles, 1 thread" in engine:
        single, alone = totals("tiles, 1 thread"), totals("tiles, LiteRT alone")
        figures = [
            figure("the engine, 1 thread, to tiles x LiteRT", ratio(single, alone), "x", goal=1.15, lower=True,
                   limit=1.0, limit_is="nothing but inference"),
            figure("the engine, 2 threads to 1", ratio(single, totals("tiles, 2 threads")), "x", goal=1.7, limit=2.0,
                   limit_is="as many threads"),
            figure("in tiles: before and after inference, to it", around("tiles, 1 thread"), "%", goal=15.0, lower=True,
                   limit=0.0, limit_is="nothing around it"),
        ]  # fmt: skip
    whole, decoder = engine["JPEG, whole"], totals("JPEG, decoder alone")
    floor = spread([100 * d / row["inference"] for row, d in zip(whole, decoder, strict=True)])
    ours = [100 * (row["total"] - d) / row["inference"] - 100 for row, d in zip(whole, decoder, strict=True)]
    after = spread([100 * row["merge"] / row["inference"] for row in whole])
    name = f"a JPEG of {JPEG[0]}x{JPEG[1]} as a whole"
    figures += [
        figure(f"{name}: before and after inference, to it", around("JPEG, whole"), "%", goal=15.0, lower=True,
               limit=floor.median, limit_is="libjpeg-turbo alone, at half size"),
        figure(f"{name}: the same without the bare decoder", spread(ours), "%", goal=15.0, lower=True),
        figure(f"{name}: outputs to detections, to inference", after, "%", lower=True),
    ]  # fmt: skip
    for name, times in one.items():
        figures.append(figure(f"{name}, 1 thread, to float32", median_ratio(one["float32"], times), "x"))
    for name, times in two.items():
        figures.append(
            figure(
                f"{name}, 2 threads to 1", median_ratio(one[name], times), "x", limit=2.0, limit_is="as many threads"
            )
        )
    return figures


def parts(engine: dict[str, list[Timings]]) -> dict[str, list[float]]:
    """Way and part -> milliseconds of each round."""
    names = {
        "total": "",
        "prepare": ": cut and scale",
        "decode": ": decode",
        "inference": ": inference",
        "merge": ": after",
    }
    return {
        f"{way}{name}": values
        for way, rows in engine.items()
        for part, name in names.items()
        if any(values := [row.get(part, 0.0) for row in rows])
    }


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
        engine = take_turns(engine_ways(subject), arguments.rounds, warmup=1)
        one, two = latencies(subject, arguments.runs, 1), latencies(subject, arguments.runs, 2)
    panels = [
        Panel("an inference at 1 thread", "ms", one),
        Panel("an inference at 2 threads", "ms", two),
        Panel("the engine with int8", "ms", parts(engine)),
    ]
    report("inference", judge(engine, one, two), panels, shown(arguments, subject), computer, started)


def shown(arguments: argparse.Namespace, subject: Subject) -> argparse.Namespace:
    """The settings, with whether the weights are trained."""
    return argparse.Namespace(**vars(arguments), trained=subject.trained)


if __name__ == "__main__":
    start(main)
