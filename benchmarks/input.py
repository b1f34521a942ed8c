"""What the input pipeline costs a training, and what each part of it is worth.

    python benchmarks/input.py --rounds 5 --knobs

Every round runs all ways on the same shards. Three questions:

- How much of a training step's time does the real pipeline take, against the same step on one batch that lies in memory?
  With the network that is trained by default, at its batch size.
- How fast are batches without a network: pipelined, and naive (one image after the other, nothing kept, nothing ahead)?
  With `--knobs` also pipelined with one knob set as in the naive one.
- How many records a second, unshuffled: read, read and decoded, and decoded by Pillow in the loop that evaluation uses?

An epoch is long enough for the start of its pipeline to weigh what it weighs in a real one. Takes about four minutes on two
cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import (
    Figure,
    Panel,
    figure,
    machine,
    make_parser,
    positive,
    ratio,
    report,
    seconds_of,
    spread,
    start,
    take_turns,
)

from mirada.config import (
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

NAIVE: dict[str, Any] = {"interleave": 1, "parallel": False, "cache": False, "vectorize": False, "prefetch": False}
WAYS = {"naive": InputConfig(name="naive", **NAIVE), "pipelined": InputConfig(name="pipelined")}
KNOBS = {f"... {key}={str(value).lower()}": InputConfig(name=key, **{key: value}) for key, value in NAIVE.items()}


def prepare(folder: Path, images: int, input_size: int, task: str = "detection") -> Path:
    """Draw shapes and preprocess them; gives the folder of the shards.

    Args:
        folder: an empty one.
        images: of the training split.
        input_size: of the network.
        task: 'detection', or 'classification' with one object an image.
    """
    from mirada.data.shapes import draw_shapes, write_voc
    from mirada.stages import preprocess

    raw_dir = folder / "raw"
    raw_dir.mkdir()
    for index in range(images + max(2, images // 8)):
        image, boxes = draw_shapes(index, 3, 4 if task == "detection" else 1, 2 * input_size, seed=0)
        path = raw_dir / f"{index:06d}.jpg"
        image.save(path, quality=92)
        write_voc(path, 2 * input_size, 2 * input_size, boxes)
    config = PreprocessConfig(
        data=DataConfig(
            name="benchmark", task=task, source=SourceConfig(kind="generated"),
            split=SplitConfig(kind="ratio", val=0.0, test=0.1),
        ),
        raw_dir=str(raw_dir), output_dir=str(folder / "processed"), input_size=input_size, shard_images=64,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        preprocess.run(config)
    return folder / "processed"


@dataclass
class Held:
    """One batch in memory in the place of a training's input."""

    batch: Any
    steps: int

    def epoch(self, number: int) -> Iterator[Any]:
        """The batch, again and again."""
        for _ in range(self.steps):
            yield self.batch


def make_trainer(data_dir: Path, model: ModelConfig, batch_size: int, gpus: int = 1, **settings: Any) -> Any:
    """The trainer of the train stage, as its defaults are but for `settings`; no layer of the network stands still."""
    from mirada.data.records import load_dataset
    from mirada.learning.devices import choose_devices
    from mirada.learning.training import Trainer
    from mirada.learning.training_card import make_card

    config = TrainConfig(
        model=model, augment=AugmentConfig(), input=InputConfig(name="pipelined"), gpus=gpus, batch_size=batch_size,
        tracking=TrackingConfig(enabled=False), data_dir=str(data_dir), output_dir=str(data_dir), epochs=100, **settings,
    )  # fmt: skip
    dataset = load_dataset(data_dir)
    return Trainer(config, dataset, choose_devices(gpus), make_card(config, dataset))


def steps_of(trainer: Any) -> dict[str, Callable[[int], float]]:
    """An epoch with the pipeline and one on a held batch; each gives seconds a step.

    The mean of the steps between the quartiles, since single steps scatter by more than input takes of them, and the wait
    for the first batch, shared out among all steps.
    """
    real = trainer.input
    held = Held(next(iter(real.epoch(0))), real.steps)

    def run(source: Any, number: int) -> float:
        trainer.input = source
        trainer.train_epoch(number)
        first, *steps = trainer.timeline
        times = sorted(step.end - step.start for step in steps)
        middle = times[len(times) // 4 : len(times) - len(times) // 4]
        return statistics.mean(middle) + first.waited / real.steps

    return {"pipelined": lambda number: run(real, number), "one batch in memory": lambda number: run(held, number)}


def batches_alone(data_dir: Path, batch_size: int, settings: InputConfig) -> Callable[[int], float]:
    """Batches without a network, in images a second."""
    from mirada.data.records import load_dataset
    from mirada.learning.dataset import BatchSettings, TrainingInput

    batches = BatchSettings(batch_size=batch_size, seed=0, augmentation=AugmentConfig())
    source = TrainingInput(load_dataset(data_dir), batches, config=settings)

    def run(epoch: int) -> float:
        start = time.perf_counter()
        for _ in source.epoch(epoch):
            pass
        return source.steps * batch_size / (time.perf_counter() - start)

    return run


def records_alone(data_dir: Path) -> dict[str, Callable[[int], float]]:
    """Records without batches, in records a second; the files are in the page cache."""
    import tensorflow as tf

    from mirada.data.images import decode
    from mirada.data.records import load_dataset
    from mirada.learning.dataset import _options, parse, read_records

    dataset = load_dataset(data_dir)
    count, size = dataset.splits["train"]["images"], dataset.input_size
    shards = dataset.shards("train")
    read = read_records(shards, 4).with_options(_options())
    decoded = read_records(shards, 4).map(lambda record: parse(record, size), tf.data.AUTOTUNE).with_options(_options())

    def drain(source: Any) -> None:
        for _ in source:
            pass

    works: dict[str, Callable[[], None]] = {
        "read": lambda: drain(read),
        "read and decoded": lambda: drain(decoded),
        "read by Python, decoded by Pillow": lambda: drain(decode(one.image) for one in dataset.examples("train")),
    }
    timed = {name: seconds_of(work) for name, work in works.items()}
    return {name: lambda number, way=way: count / way(number) for name, way in timed.items()}  # type: ignore[misc]


def main() -> None:
    parser = make_parser(__doc__ or "", rounds=4)
    parser.add_argument("--data", type=Path, help="a processed data set for detection; default: drawn shapes")
    parser.add_argument(
        "--images",
        type=positive,
        default=320,
        help="how many images an epoch has, by default as many as with data=trees",
    )
    parser.add_argument("--input-size", type=positive, default=320)
    parser.add_argument("--batch-size", type=positive, default=8)
    parser.add_argument("--model", choices=("lite0", "tiny"), default="lite0")
    parser.add_argument("--knobs", action="store_true", help="also measure each knob of the pipeline alone")
    arguments = parser.parse_args()
    started, computer = time.perf_counter(), machine()
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        data_dir = arguments.data or prepare(Path(folder), arguments.images, arguments.input_size)
        ways = WAYS | (KNOBS if arguments.knobs else {})
        batches = take_turns(
            {name: batches_alone(data_dir, arguments.batch_size, way) for name, way in ways.items()},
            arguments.rounds,
            warmup=1,  # fills the cache of decoded images
        )
        records = take_turns(records_alone(data_dir), arguments.rounds, warmup=1)
        trainer = make_trainer(data_dir, model_config(arguments), arguments.batch_size)
        steps = take_turns(steps_of(trainer), arguments.rounds, warmup=1)
    report(
        "input",
        judge(steps, batches, records),
        panels_of(arguments, steps, batches, records),
        arguments,
        computer,
        started,
    )


def model_config(arguments: argparse.Namespace) -> ModelConfig:
    """The default network, with weights of chance."""
    if arguments.model == "tiny":
        return ModelConfig(name="tiny", backbone="tiny", weights=None, width=16, head_depth=1)
    return ModelConfig(name="lite0", weights=None)


def panels_of(arguments: argparse.Namespace, steps: Any, batches: Any, records: Any) -> list[Panel]:
    """The ways behind the figures."""
    milliseconds = {name: [1000 * value for value in values] for name, values in steps.items()}
    return [
        Panel(f"a training step, {arguments.model}, batch of {arguments.batch_size}", "ms", milliseconds),
        Panel("batches without a network", "images/s", batches),
        Panel("records without batches", "records/s", records),
    ]


def judge(steps: Any, batches: Any, records: Any) -> list[Figure]:
    """The figures."""
    lost = spread([100 * (a / b - 1) for a, b in zip(steps["pipelined"], steps["one batch in memory"], strict=True)])
    read = spread(records["read"]).median
    return [
        figure("training step, lost to the input", lost, "%", goal=3.0, lower=True, limit=0.0,
               limit_is="a batch in memory"),
        figure("pipelined to naive, without a network", ratio(batches["pipelined"], batches["naive"]), "x"),
        figure("pipelined, without a network", spread(batches["pipelined"]), "images/s", limit=read,
               limit_is="reading alone"),
        figure("records read and decoded", spread(records["read and decoded"]), "records/s", limit=read,
               limit_is="reading alone"),
    ]  # fmt: skip


if __name__ == "__main__":
    start(main)
