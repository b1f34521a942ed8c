"""A budget of accuracy: candidates for int8 are measured one after the other until one keeps within it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.engine import Engine, predict_photographs
from mirada.inference.litert import Model, measure_latencies
from mirada.tasks import get_task
from mirada.tasks.judging import judging_of

_RESAMPLINGS = 300
_RUNS, _WARMUP = 30, 5  # inferences that a latency is the median of, after untimed ones


@dataclass
class Candidate:
    """A `.tflite` that may keep within the budget.

    Attributes:
        rung: its name. kind: of `config.RUNGS`. what: how it was made, in a few words.
        content: the file's bytes.
        float_layers: the layers that stay float.
        seconds: that it took before it was asked for, where it is a variant too.
    """

    rung: str
    kind: str
    what: str
    content: bytes = field(repr=False)
    float_layers: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Rung:
    """A candidate's cost.

    Attributes:
        rung, kind, what, float_layers: as in `Candidate`.
        value: the task's main metric on the val split.
        drop, drop_low, drop_high: how far below float32's, positive being worse, and the 95 % interval's ends.
        size_bytes, latency_ms_p50: of the file; one thread.
        latency_ratio: to float32's, with which it took turns, so that other work on the machine counts for both.
        minutes: to make and to measure it.
    """

    rung: str
    kind: str
    what: str
    value: float
    drop: float
    drop_low: float
    drop_high: float
    size_bytes: int
    latency_ms_p50: float
    latency_ratio: float
    minutes: float
    float_layers: list[str]


@dataclass
class Ladder:
    """What was climbed.

    Attributes:
        metric: the task's main metric. max_drop: the budget. images: of the val split.
        reference: float32's value of the metric.
        rungs: in the order of climbing. skipped: what was left out, and why.
        best: the rung within the budget, else the one that drops least; met: whether it is within.
    """

    metric: str
    max_drop: float
    images: int
    reference: float
    rungs: list[Rung] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    best: str = ""
    met: bool = False

    def sentence(self) -> str:
        """The outcome, for people."""
        best = self.find(self.best)
        figure = (
            f"{self.metric} {best.value:.3f} on val against float32's {self.reference:.3f}, a drop of {best.drop:+.3f}"
        )
        if self.met:
            return f"{best.rung} keeps within {self.max_drop:g}: {figure}."
        return f"No rung keeps within {self.max_drop:g}; the best is {best.rung}: {figure}."

    def find(self, rung: str) -> Rung:
        """A rung by its name."""
        return next(entry for entry in self.rungs if entry.rung == rung)

    def fits(self, drop: float) -> bool:
        """Whether a drop is within the budget; a hair more passes, as the figures are shares of images."""
        return drop <= self.max_drop + 1e-9


class Validation:
    """Measures `.tflite` files on the photographs of the val split, looked at as they are used.

    Args:
        card: the model's card.
        dataset: the processed data.
        folder: where a candidate lies while it is measured.
        reference: the float32 file.
        seed: of the resampling.

    Raises:
        MiradaError: the val split has no image.
    """

    def __init__(self, card: Card, dataset: Dataset, folder: Path, reference: Path, seed: int) -> None:
        require_val(dataset)
        self.card, self.dataset, self.folder, self.seed = card, dataset, folder, seed
        self.task = get_task(card.task)
        self.photographs: list[Example] = list(dataset.whole_photographs("val"))
        self._image = decode(next(dataset.examples("val")).image, dataset.channels)
        self._float32 = Engine(reference, card)
        self._reference = self._evaluate(self._float32)
        self.reference = float(self._reference.figures[self.task.main_metric])

    def _evaluate(self, engine: Engine) -> Any:
        truths, predictions, answers = predict_photographs({"this": engine}, self.photographs)
        sizes = [(answer.width, answer.height) for answer in answers["this"]]
        judging = judging_of(self.card, sizes, predictions["this"])
        return self.task.evaluate(truths, predictions["this"], self.card.labels, judging)

    def open(self, content: bytes) -> Engine:
        """A candidate, ready for photographs."""
        path = self.folder / "candidate.part"
        path.write_bytes(content)
        try:
            return Engine(path, self.card)
        finally:
            path.unlink()

    def load(self, content: bytes) -> Model:
        """A candidate, ready for inputs of the network."""
        return self.open(content).model

    def drop(self, content: bytes) -> float:
        """How far a candidate's main metric lies below float32's."""
        return self.reference - float(self._evaluate(self.open(content)).figures[self.task.main_metric])

    def measure(self, candidate: Candidate) -> Rung:
        """All that a candidate costs; its minutes are those before it was asked for and of measuring it."""
        started = time.perf_counter()
        engine = self.open(candidate.content)
        result = self._evaluate(engine)
        times = measure_latencies({"float32": self._float32.model, "this": engine.model}, self._image, _RUNS, _WARMUP)
        latency, base = (float(np.median(times[name])) for name in ("this", "float32"))
        drop, low, high = self.task.drop(self._reference, result, _RESAMPLINGS, self.seed)
        return Rung(
            rung=candidate.rung,
            kind=candidate.kind,
            what=candidate.what,
            value=float(result.figures[self.task.main_metric]),
            drop=float(drop),
            drop_low=float(low),
            drop_high=float(high),
            size_bytes=len(candidate.content),
            latency_ms_p50=latency,
            latency_ratio=latency / base,
            minutes=(candidate.seconds + time.perf_counter() - started) / 60,
            float_layers=candidate.float_layers,
        )


def require_val(dataset: Dataset) -> None:
    """Refuse data without a val split.

    Raises:
        MiradaError: there is no image to measure on.
    """
    if dataset.splits["val"]["images"] == 0:
        raise MiradaError(
            f"max_drop is measured on val images, of which {dataset.folder} has none: preprocess with data.split.val "
            "above 0, or set max_drop=null."
        )


def climb(
    ladder: Ladder,
    candidates: Iterator[Candidate],
    measure: Callable[[Candidate], Rung],
    report: Callable[[Rung], None] = lambda rung: None,
) -> Candidate:
    """Measure candidates until one keeps within the budget.

    Args:
        ladder: its rungs, `best` and `met` are filled in; candidates may read what was climbed so far.
        candidates: asked for the next one only when all before it have dropped too far.
        measure: as `Validation.measure`.
        report: called after each.

    Returns:
        The first candidate within the budget, else the one with the smallest drop, of equal ones the first.
    """
    best: Candidate | None = None
    started = time.perf_counter()
    for candidate in candidates:
        made = time.perf_counter() - started
        rung = measure(candidate)
        rung.minutes += made / 60
        ladder.rungs.append(rung)
        if best is None or rung.drop < ladder.find(best.rung).drop:
            best = candidate
        ladder.met = ladder.fits(rung.drop)
        report(rung)
        if ladder.met:
            best = candidate
            break
        started = time.perf_counter()
    assert best is not None, "there is always a first candidate"
    ladder.best = best.rung
    return best


def write_ladder(ladder: Ladder, path: Path) -> None:
    """Write `ladder.json`: the attributes of `Ladder` and its sentence."""
    path.write_text(json.dumps(asdict(ladder) | {"sentence": ladder.sentence()}, indent=2, ensure_ascii=False) + "\n")


def ladder_figures(ladder: Ladder) -> dict[str, float]:
    """The figures for the tracking: `ladder/<rung>/<figure>`, and whether the budget is met."""
    figures = {"ladder/met": float(ladder.met), "ladder/float32": ladder.reference}
    for rung in ladder.rungs:
        found = {"value": rung.value, "drop": rung.drop, "size_bytes": rung.size_bytes}
        found |= {
            "latency_ms_p50": rung.latency_ms_p50,
            "minutes": rung.minutes,
            "float_layers": len(rung.float_layers),
        }
        figures |= {f"ladder/{rung.rung}/{key}": float(value) for key, value in found.items()}
    return figures
