"""What a GPU makes of a training: the day on which one is at hand, prepared as one command of at most ten minutes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --gpus 1 2 4 --batch-size 64

Five questions, in this order:

- Do the tests marked `gpu` pass? (`--no-tests` leaves them out.)
- Does the GPU compute what the CPU computes? The same steps from the same weights on the same batches; the largest
  relative difference of their losses, with each precision, with XLA, and of two replicas with common batch statistics.
- How many images a second does a step make, on a batch that lies in memory: fp32, bf16 and fp16, each with and without XLA?
- What do more GPUs bring (`--gpus`), each with as many images as one has alone, against so many times the speed of one?
- How much of a step goes into waiting for the input pipeline, at the fastest precision?

What has not begun after four fifths of `--minutes` is left out and named. The network is the default detector. Without a GPU
the same runs with a tiny classifier on logical devices, in a minute, as a rehearsal: that the command works and that
results are equal is then shown, speeds say nothing. Its results are called gpu_rehearsal, so that they never take the place
of real ones.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Panel, figure, machine, make_parser, positive, ratio, report, spread, start, take_turns
from input import Held, make_trainer, prepare, steps_of

from mirada.config import ModelConfig
from mirada.errors import MiradaError

PROJECT = Path(__file__).resolve().parents[1]
PLAIN = "fp32"
COMPARED = 4  # steps whose losses are compared
STARTED_UNTIL = 0.8  # share of the minutes after which nothing new begins
# By how much the losses of a few steps may differ from the CPU's. Newer GPUs compute fp32 with the 10 bits of TF32.
# In fp16 the first steps may be left out, until the loss's factor fits.
BOUNDS = {"fp32": 0.01, "bf16": 0.05, "fp16": 0.05}
WHOLE = {"images": 384, "input_size": 320, "batch_size": 32, "steps": 20}
REHEARSAL = {"images": 16, "input_size": 64, "batch_size": 4, "steps": 4}


@dataclass
class Day:
    """What the measurements share, and what they found.

    Attributes:
        arguments: of the command line, sizes filled in.
        gpus: names of the GPUs that are there.
        data_dir: the shards.
        began: `time.perf_counter()` at the start.
        figures, panels: found so far.
        notes: what was left out, and why.
        differences: way -> the largest relative difference of its losses from the CPU's.
        batches, weights, losses: what is compared: the batches, the weights before them, and the CPU's losses.
    """

    arguments: argparse.Namespace
    gpus: list[str]
    data_dir: Path
    began: float
    figures: list[Figure] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)
    batches: list[Any] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def rehearses(self) -> bool:
        return not self.gpus

    def leaves_out(self, what: str) -> bool:
        """Whether it is too late to begin with something, which is then noted."""
        late = time.perf_counter() - self.began > STARTED_UNTIL * 60 * self.arguments.minutes
        if late:
            self.note(f"left out for want of time: {what}")
        return late

    def note(self, text: str) -> None:
        print(text, flush=True)
        self.notes.append(text)

    def trainer(self, **settings: Any) -> Any:
        batch_size = settings.pop("batch_size", self.arguments.batch_size)
        return make_trainer(self.data_dir, model_config(self.rehearses), batch_size, **settings)

    def train_on_cpu(self) -> None:
        """Fill in what all others are compared with."""
        trainer = self.trainer(gpus=0)
        self.batches = list(itertools.islice(trainer.input.epoch(0), COMPARED))
        self.weights = trainer.model.get_weights()
        self.losses = first_losses(trainer, self.batches)

    def compare(self, name: str, times: int = 1, **settings: Any) -> Any:
        """A trainer whose first losses were compared; it sees each batch so many times one after the other."""
        began = time.perf_counter()
        trainer = self.trainer(**settings, batch_size=times * self.arguments.batch_size)
        trainer.model.set_weights(self.weights)
        losses = first_losses(trainer, [repeated(batch, times) for batch in self.batches])
        self.differences[name] = float(np.max(np.abs(losses / self.losses - 1)))
        seconds = time.perf_counter() - began
        print(f"{name}: made and compiled in {seconds:.0f} s, losses {self.differences[name]:.2%} apart", flush=True)
        return trainer


def model_config(rehearses: bool) -> ModelConfig:
    """The default network, or a tiny one, with weights of chance."""
    if rehearses:
        return ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)
    return ModelConfig(name="lite0", weights=None)


def find_gpus() -> list[str]:
    """Names of the GPUs that TensorFlow sees; nothing is taken of their memory yet."""
    import mirada.learning  # noqa: F401 - sets Keras 2 up

    import tensorflow as tf  # isort: skip

    found = tf.config.list_physical_devices("GPU")
    return [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in found]


def run_tests(limit_s: float) -> dict[str, int]:
    """The tests marked `gpu`, in a process of their own: how many passed, failed, were skipped."""
    files = [path for path in sorted((PROJECT / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in path.read_text()]
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        result = Path(folder) / "result.xml"
        words = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junit-xml={result}", *map(str, files)]
        try:
            done = subprocess.run(
                [sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, timeout=limit_s,
                env=os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise MiradaError(f"The tests marked gpu took more than {limit_s:.0f} s: give more --minutes.") from error
        if not result.exists():
            raise MiradaError(f"The tests marked gpu did not run: {(done.stderr or done.stdout).strip()[-300:]}")
        suite = ElementTree.parse(result).getroot().find("testsuite")
    assert suite is not None
    counts = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    if counts["failures"] + counts["errors"]:
        print(done.stdout[-3000:])
    failed = counts["failures"] + counts["errors"]
    return {"passed": counts["tests"] - failed - counts["skipped"], "failed": failed, "skipped": counts["skipped"]}


def first_losses(trainer: Any, batches: Sequence[Any]) -> np.ndarray:
    """(batches,) the loss of each step; whatever has to be compiled is compiled meanwhile."""
    from mirada.learning.dataset import share_out

    trainer.step.set_rates(1e-4, 1e-4)
    return np.array([trainer.step([share_out(batch, trainer.devices.strategy)], 0.9, False)[0] for batch in batches])


def held_speed(trainer: Any, batch: Any, steps: int) -> Callable[[int], float]:
    """Images a second on one batch that lies in memory."""

    def run(number: int) -> float:
        real, trainer.input = trainer.input, Held(batch, steps)
        try:
            return float(trainer.train_epoch(0)["images_per_s"])
        finally:
            trainer.input = real

    return run


def ways_of(gpus: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Name -> settings of each training, the most important first."""
    single = {
        f"{precision} with XLA" if xla else precision: {"precision": precision, "xla": xla}
        for xla, precision in itertools.product((False, True), ("fp32", "bf16", "fp16"))
    }
    several = {f"{count} replicas": {"gpus": count} for count in gpus if count > 1}
    return {**single, **several}


def compare_and_time(day: Day) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Losses beside the CPU's, then images a second of all that compute; gives these and the trainers."""
    ways: dict[str, Callable[[int], float]] = {}
    trainers: dict[str, Any] = {}
    for name, settings in ways_of(day.arguments.gpus).items():
        if day.leaves_out(name):
            continue
        # Each replica sees the very batch that one sees alone, so losses and gradients are the same.
        replicas = settings.get("gpus", 1)
        trainers[name] = day.compare(name, replicas, **settings)
        ways[name] = held_speed(trainers[name], repeated(day.batches[0], replicas), day.arguments.steps)
    name = "2 replicas, common statistics"
    if 2 in day.arguments.gpus and not day.leaves_out(name):
        day.compare(name, gpus=2, sync_batch_norm=True)  # they share a batch
    return take_turns(ways, day.arguments.rounds, warmup=1), trainers


def repeated(batch: Mapping[str, Any], times: int) -> dict[str, Any]:
    """A batch so many times one after the other."""
    import tensorflow as tf

    return {key: tf.concat([value] * times, axis=0) for key, value in batch.items()}


def judge_equality(day: Day) -> None:
    """A figure a way, with the bound of its precision."""
    for name, difference in day.differences.items():
        bound = next((limit for precision, limit in BOUNDS.items() if name.startswith(precision)), BOUNDS[PLAIN])
        day.figures.append(
            Figure(f"losses differ from the CPU's, {name}", 100 * difference, "%", 100 * bound, lower=True)
        )
    shown = {name: [100 * value] for name, value in day.differences.items()}
    day.panels.append(Panel(f"largest difference of {COMPARED} losses from the CPU's", "%", shown))


def judge_speeds(day: Day, speeds: Mapping[str, list[float]]) -> None:
    """Ratios to plain fp32, and of several GPUs to so many times one. Without a GPU they have no goal."""
    single = {name: values for name, values in speeds.items() if "replicas" not in name}
    day.panels.append(Panel("a batch in memory, one replica", "images/s", single))
    if PLAIN not in speeds:
        return
    day.figures.append(figure("fp32", spread(speeds[PLAIN]), "images/s"))
    day.figures += [
        figure(f"{name} to fp32", ratio(values, speeds[PLAIN]), "x") for name, values in single.items() if name != PLAIN
    ]
    bars = {"1 replica": list(speeds[PLAIN])}
    for count in (count for count in day.arguments.gpus if f"{count} replicas" in speeds):
        measured = speeds[f"{count} replicas"]
        ideal = [count * value for value in speeds[PLAIN]]
        bars |= {f"{count} replicas": measured, f"{count} replicas, ideal": ideal}
        aims: dict[str, Any] = (
            {} if day.rehearses else {"goal": 0.9 * count, "limit": float(count), "limit_is": "ideal"}
        )
        day.figures.append(figure(f"{count} replicas to one", ratio(measured, speeds[PLAIN]), "x", **aims))
    if len(bars) > 1:
        day.panels.append(Panel("replicas, each with a batch of its own", "images/s", bars))


def measure_input(day: Day, speeds: Mapping[str, list[float]], trainers: Mapping[str, Any]) -> None:
    """What a step loses to the pipeline, at the fastest of one replica's ways."""
    single = [name for name in speeds if "replicas" not in name]
    if not single or day.leaves_out("the input pipeline's share"):
        return
    fastest = max(single, key=lambda name: spread(speeds[name]).median)
    steps = take_turns(steps_of(trainers[fastest]), day.arguments.rounds, warmup=1)
    milliseconds = {name: [1000 * value for value in values] for name, values in steps.items()}
    day.panels.append(Panel(f"a training step, {fastest}", "ms", milliseconds))
    lost = [100 * (a / b - 1) for a, b in zip(steps["pipelined"], steps["one batch in memory"], strict=True)]
    aims: dict[str, Any] = {} if day.rehearses else {"goal": 3.0, "limit": 0.0, "limit_is": "a batch in memory"}
    day.figures.append(figure(f"training step, lost to the input, {fastest}", spread(lost), "%", lower=True, **aims))


def fill_in(arguments: argparse.Namespace, gpus: Sequence[str]) -> list[str]:
    """Set the sizes that were not given; gives what is to be noted."""
    for key, value in (WHOLE if gpus else REHEARSAL).items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)
    if arguments.images < COMPARED * arguments.batch_size:
        raise MiradaError(
            f"--images={arguments.images} is fewer than {COMPARED} batches of --batch-size={arguments.batch_size}: give "
            "more images or a smaller batch."
        )
    if not gpus:
        return [
            "no GPU found: a rehearsal on logical devices of the CPU, without the tests marked gpu; its speeds say nothing"
        ]
    beyond = [count for count in arguments.gpus if count > len(gpus)]
    arguments.gpus = [count for count in arguments.gpus if count <= len(gpus)]
    return [f"left out: {count} replicas, as there are {len(gpus)} GPUs" for count in beyond]


def measure(day: Day) -> None:
    """All that runs in this process."""
    import tensorflow as tf

    from mirada.learning.devices import choose_devices

    choose_devices(max(day.arguments.gpus, default=1))  # logical devices are made once, before anything runs
    try:
        day.train_on_cpu()
        speeds, trainers = compare_and_time(day)
        judge_equality(day)
        judge_speeds(day, speeds)
        measure_input(day, speeds, trainers)
    except tf.errors.ResourceExhaustedError as error:
        raise MiradaError(
            f"The GPU's memory is too small for --batch-size={day.arguments.batch_size}: halve it."
        ) from error


def read_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__ or "", rounds=3)
    parser.add_argument("--gpus", type=positive, nargs="+", default=[1, 2], help="numbers of GPUs to train on")
    parser.add_argument("--images", type=positive, help=f"of an epoch; {WHOLE['images']} with a GPU")
    parser.add_argument("--input-size", type=positive, help=f"{WHOLE['input_size']} with a GPU")
    parser.add_argument("--batch-size", type=positive, help=f"of each GPU; {WHOLE['batch_size']} with one")
    parser.add_argument("--steps", type=positive, help=f"of a round; {WHOLE['steps']} with a GPU")
    parser.add_argument("--minutes", type=positive, default=10, help="that it may take")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests marked gpu")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    began, computer = time.perf_counter(), machine()
    gpus = find_gpus()
    notes = fill_in(arguments, gpus)
    tests = None
    if gpus and not arguments.no_tests:
        try:
            tests = run_tests(15 * arguments.minutes)
        except MiradaError as error:  # what else there is to measure is measured
            notes.append(str(error))
    with tempfile.TemporaryDirectory(prefix="mirada-benchmark-") as folder:
        task = "detection" if gpus else "classification"
        data_dir = prepare(Path(folder), arguments.images, arguments.input_size, task)
        day = Day(arguments, gpus, data_dir, began)
        for text in notes:
            day.note(text)
        if tests is not None:
            day.note("tests marked gpu: " + ", ".join(f"{count} {what}" for what, count in tests.items()))
            day.figures.append(Figure("tests marked gpu that failed", tests["failed"], "tests", goal=0.0, lower=True))
        measure(day)
    computer |= {"gpus": gpus, "rehearsal": day.rehearses, "tests": tests, "notes": day.notes}
    report("gpu_rehearsal" if day.rehearses else "gpu", day.figures, day.panels, arguments, computer, began)


if __name__ == "__main__":
    start(main)
