"""What each part of the input pipeline is worth, e.g. `python benchmarks/input.py --images 400 --rounds 5`.

Every round runs all ways, one after the other, on the same shards, so that a busy machine slows all of them alike; the
tables give medians and ratios to the naive input. There are three: batches alone, without a network; a network of a few
thousand weights, where input dominates; and the first study's, which takes its time. Ways are the naive input, the
pipelined one, and the pipelined one with one knob set as in the naive. The first epoch of each, which fills its cache and
builds its graph, does not count. Takes some four minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from mirada.config import (  # noqa: E402
    AugmentConfig,
    DataConfig,
    InputConfig,
    ModelConfig,
    PreprocessConfig,
    SourceConfig,
    SplitConfig,
    TrackingConfig,
    TrainConfig,
)

RESULTS = Path(__file__).parent / "results"
NAIVE: dict[str, Any] = {"interleave": 1, "parallel": False, "cache": False, "vectorize": False, "prefetch": False}
WAYS = {"naive": InputConfig(name="naive", **NAIVE), "pipelined": InputConfig(name="pipelined")} | {
    f"... {key}={str(value).lower()}": InputConfig(name=key, **{key: value}) for key, value in NAIVE.items()
}
Way = Callable[[int], tuple[float, float]]  # number of the epoch -> images a second, share of time spent waiting


def prepare(folder: Path, images: int, input_size: int) -> Path:
    """Draw shapes and preprocess them, one object an image; gives the folder of the shards."""
    from mirada.shapes import draw_shapes, write_voc
    from mirada.stages import preprocess

    raw_dir = folder / "raw"
    raw_dir.mkdir()
    for index in range(images):
        image, boxes = draw_shapes(index, 3, 1, 2 * input_size, seed=0)
        path = raw_dir / f"{index:06d}.jpg"
        image.save(path, quality=92)
        write_voc(path, 2 * input_size, 2 * input_size, boxes)
    config = PreprocessConfig(
        data=DataConfig(
            name="benchmark", task="localization", several="largest",
            source=SourceConfig(kind="generated"), split=SplitConfig(kind="ratio", val=0.0, test=0.1),
        ),
        raw_dir=str(raw_dir), output_dir=str(folder / "processed"), input_size=input_size, shard_images=64,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        preprocess.run(config)
    return folder / "processed"


def batches_alone(data_dir: Path, batch_size: int, settings: InputConfig) -> Way:
    """Batches without a network."""
    from mirada.learning.dataset import TrainingInput
    from mirada.records import load_dataset

    source = TrainingInput(load_dataset(data_dir), AugmentConfig(), batch_size, 0, 0, settings)

    def run(epoch: int) -> tuple[float, float]:
        start = time.perf_counter()
        for _ in source.epoch(epoch):
            pass
        return source.steps * batch_size / (time.perf_counter() - start), 1.0

    return run


def training(data_dir: Path, batch_size: int, settings: InputConfig, model: ModelConfig, rounds: int) -> Way:
    """Batches and training steps."""
    from mirada.learning.devices import choose_devices
    from mirada.learning.training import Trainer
    from mirada.records import load_dataset
    from mirada.stages.train import _card

    config = TrainConfig(
        model=model, augment=AugmentConfig(), input=settings, tracking=TrackingConfig(enabled=False),
        data_dir=str(data_dir), output_dir=str(data_dir), epochs=rounds + 1, batch_size=batch_size,
    )  # fmt: skip
    dataset = load_dataset(data_dir)
    trainer = Trainer(config, dataset, choose_devices(1), _card(config, dataset))

    def run(epoch: int) -> tuple[float, float]:
        figures = trainer.train_epoch(epoch)
        return figures["images_per_s"], figures["wait_share"]

    return run


def measure(ways: dict[str, Way], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Every way in every round; the order is turned round each time, and the first round does not count."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            figures = ways[name](number)
            if number:
                found[name].append(figures)
    return found


def report(title: str, found: dict[str, list[tuple[float, float]]]) -> list[dict[str, object]]:
    """Print a table; gives its rows."""
    from rich.console import Console
    from rich.table import Table

    base = statistics.median(speed for speed, _ in found["naive"])
    table = Table(title=title)
    for column in ("input", "images/s", "lowest", "highest", "waiting", "to naive"):
        table.add_column(column, justify="left" if column == "input" else "right")
    rows: list[dict[str, object]] = []
    for name, figures in found.items():
        speeds, waits = [speed for speed, _ in figures], [wait for _, wait in figures]
        median, wait = statistics.median(speeds), statistics.median(waits)
        rows.append({"input": name, "images_per_s": median, "all": speeds, "wait_share": wait, "ratio": median / base})
        table.add_row(
            name, f"{median:.0f}", f"{min(speeds):.0f}", f"{max(speeds):.0f}", f"{wait:.0%}", f"{median / base:.2f}"
        )
    Console().print(table)
    return rows


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a processed data set for localization; default: drawn shapes")
    parser.add_argument("--images", type=int, default=320, help="how many images to draw")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    light = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)
    published = ModelConfig(name="study1", backbone="study1", weights=None, pool_after=[1, 2, 3, 4, 5])
    batch, rounds = arguments.batch_size, arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        data_dir = arguments.data or prepare(Path(folder), arguments.images, arguments.input_size)
        two = ("naive", "pipelined")
        tables = {
            "batches alone": {name: batches_alone(data_dir, batch, way) for name, way in WAYS.items()},
            "light network": {name: training(data_dir, batch, way, light, rounds) for name, way in WAYS.items()},
            "published network": {name: training(data_dir, batch, WAYS[name], published, rounds) for name in two},
        }
        content = {
            name: report(f"{name}, {os.cpu_count()} cores", measure(ways, rounds)) for name, ways in tables.items()
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in vars(arguments).items() if key != "data"}
    result = {**settings, "cores": os.cpu_count(), "load": os.getloadavg(), "tables": content}
    (RESULTS / "input.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
