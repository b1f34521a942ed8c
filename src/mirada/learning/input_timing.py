"""The same training with two kinds of input: what each epoch took, and where its steps waited.

The epochs with the naive input are trained first, from the seeds of the training proper, and nothing is kept of them but
their times; those of the training proper are its own first epochs.
"""

from __future__ import annotations

import csv
import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import tf_keras as keras

from mirada.config import InputConfig, TrainConfig
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.learning.devices import Devices
from mirada.learning.timeline import StepTimes, draw_timeline
from mirada.learning.training import Trainer

NAIVE = InputConfig(name="naive", interleave=1, parallel=False, cache=False, vectorize=False, prefetch=False)
COLUMNS = (
    "input", "epoch", "seconds", "images_per_s", "wait_share", "cpu_percent", "peak_memory_mb", "gpu_percent",
    "gpu_memory_mb",
)  # fmt: skip


@dataclass
class InputTiming:
    """What epochs with one kind of input took.

    Attributes:
        name: of the input.
        rows: the figures of each epoch, from the first one.
        timelines: the times of each epoch's steps.
    """

    name: str
    rows: list[Mapping[str, float]] = field(default_factory=list)
    timelines: list[list[StepTimes]] = field(default_factory=list)


def time_input(
    config: TrainConfig,
    dataset: Dataset,
    devices: Devices,
    card: Card,
    epochs: int,
    settings: InputConfig = NAIVE,
    done: Callable[[Mapping[str, float]], None] = lambda figures: None,
) -> InputTiming:
    """Train some epochs from the start, keeping their times alone.

    Args:
        config: the training's settings; its own input is set aside.
        dataset: the processed data.
        devices: where to train.
        card: how pixels become inputs.
        epochs: how many.
        settings: the input to use.
        done: called after each epoch with its figures.
    """
    trainer, timing = (
        Trainer(replace(config, input=settings, compare_epochs=0), dataset, devices, card),
        InputTiming(settings.name),
    )
    for epoch in range(epochs):
        timing.rows.append(trainer.train_epoch(epoch))
        timing.timelines.append(trainer.timeline)
        done(timing.rows[-1])
    del trainer
    keras.backend.clear_session()
    gc.collect()  # a network and its optimizer's state are in reference cycles
    return timing


def own_timing(trainer: Trainer) -> InputTiming:
    """The first `compare_epochs` epochs of a training that ran from its start."""
    epochs = trainer.config.compare_epochs
    return InputTiming(trainer.config.input.name, list(trainer.state.history[:epochs]), trainer.timelines)


def write_timings(timings: Sequence[InputTiming], folder: Path) -> None:
    """Write `input_timing.csv`, a row an epoch, and `input_timeline.png`, the steps of each input's last epoch."""
    with (folder / "input_timing.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for timing in timings:
            for number, row in enumerate(timing.rows, 1):
                writer.writerow({**row, "input": timing.name, "epoch": number})
    picture = draw_timeline({timing.name: timing.timelines[-1] for timing in timings if timing.timelines})
    (folder / "input_timeline.png").write_bytes(picture)
