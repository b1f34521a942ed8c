"""A budget of accuracy: candidates for int8 are measured one after the other until one keeps within it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
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
from mirada.inference.variants import REFERENCE
from mirada.quantization.on_board import WORDS, board_figures, may_fit
from mirada.quantization.out_of_fold import ValOutcomes
from mirada.quantization.verdict import BEYOND, CANNOT_TELL, WITHIN, answer_of, choose, more_images
from mirada.tables import signed_text
from mirada.tasks import get_task
from mirada.tasks.judging import judging_of

AskBoard = Callable[[bytes], dict[str, Any]]
"""A `.tflite` -> what it takes of the device, as `boards.asking.BoardJudge.record` gives it."""
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
        answer: `within` the budget, `beyond` it or `cannot_tell`, by the interval. more_images: that would tell, estimated;
            None where it is told, or where no number would.
        board: what it takes of the device, as `BoardJudge.record` gives it; None where there is no device.
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
    answer: str
    more_images: int | None
    board: dict[str, Any] | None = None


@dataclass
class Ladder:
    """What was climbed.

    Attributes:
        metric: the task's main metric. max_drop: the budget. images: of the val split.
        reference: float32's value of the metric.
        rungs: in the order of climbing. skipped: what was left out, and why.
        best: the rung that `verdict.choose` takes of those that may fit the device, where one does.
    """

    metric: str
    max_drop: float
    images: int
    reference: float
    rungs: list[Rung] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    best: str = ""

    @property
    def answer(self) -> str:
        """What the best rung's interval says of the budget: `within`, `beyond` or `cannot_tell`."""
        return self.find(self.best).answer

    @property
    def fitting(self) -> list[Rung]:
        """The rungs that may fit the device; all where none does, or where there is none."""
        return [rung for rung in self.rungs if may_fit(rung.board)] or self.rungs

    def sentence(self) -> str:
        """The outcome, for people."""
        best = self.find(self.best)
        return self._budget_sentence(best) + (f" {WORDS[best.board['answer']]}" if best.board else "")

    def _budget_sentence(self, best: Rung) -> str:
        drop, low, high = map(signed_text, (best.drop, best.drop_low, best.drop_high))
        measured = f"{self.metric} {best.value:.3f} on val against float32's {self.reference:.3f}"
        figure = f"{measured}, a drop of {drop} [{low}, {high}]"
        if best.answer == WITHIN:
            return f"{best.rung} keeps within {self.max_drop:g}: {figure}."
        chosen = f"best is {best.rung}, with the lowest upper end of the interval" if len(self.rungs) > 1 else best.rung
        if best.answer == BEYOND:
            which = " that may fit the device" if len(self.fitting) < len(self.rungs) else ""
            return f"No rung{which} keeps within {self.max_drop:g}; {chosen}: {figure}."
        more = f"about {best.more_images} more would tell" if best.more_images else "it lies at the budget itself"
        return f"{self.images} val images cannot tell whether {self.max_drop:g} is kept, {more}; {chosen}: {figure}."

    def find(self, rung: str) -> Rung:
        """A rung by its name."""
        return next(entry for entry in self.rungs if entry.rung == rung)

    def fits(self, drop: float) -> bool:
        """Whether a drop itself, whatever its interval, is within the budget."""
        return answer_of(drop, drop, self.max_drop) == WITHIN


class Validation:
    """Measures `.tflite` files on the photographs of the val split, looked at as they are used.

    Args:
        card: the model's card.
        dataset: the processed data.
        folder: where a candidate lies while it is measured.
        reference: the float32 file.
        seed: of the resampling. max_drop: the budget.
        board: asked about each candidate; None: there is no device.

    Raises:
        MiradaError: the val split has no image.
    """

    def __init__(
        self,
        card: Card,
        dataset: Dataset,
        folder: Path,
        reference: Path,
        seed: int,
        max_drop: float,
        board: AskBoard | None = None,
    ) -> None:
        require_val(dataset)
        self._board = board
        self.card, self.dataset, self.folder, self.seed = card, dataset, folder, seed
        self.max_drop = max_drop
        self.task = get_task(card.task)
        self.photographs: list[Example] = list(dataset.whole_photographs("val"))
        self._image = decode(next(dataset.examples("val")).image, dataset.channels)
        self._float32 = Engine(reference, card)
        self._reference = self._evaluate(self._float32)
        self.reference = float(self._reference.figures[self.task.main_metric])
        self._outcomes = {REFERENCE: self.task.outcomes(self._reference)}

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
        self._outcomes[candidate.rung] = self.task.outcomes(result)
        times = measure_latencies({"float32": self._float32.model, "this": engine.model}, self._image, _RUNS, _WARMUP)
        latency, base = (float(np.median(times[name])) for name in ("this", "float32"))
        drop, low, high = (float(end) for end in self.task.drop(self._reference, result, _RESAMPLINGS, self.seed))
        answer = answer_of(low, high, self.max_drop)
        more = None
        if answer == CANNOT_TELL:
            seen, images = self._outcomes[REFERENCE], len(self.photographs)
            more = more_images(drop, low, high, self.max_drop, images, seen.unseen_in)
        return Rung(
            rung=candidate.rung,
            kind=candidate.kind,
            what=candidate.what,
            value=float(result.figures[self.task.main_metric]),
            drop=drop,
            drop_low=low,
            drop_high=high,
            size_bytes=len(candidate.content),
            latency_ms_p50=latency,
            latency_ratio=latency / base,
            minutes=(candidate.seconds + time.perf_counter() - started) / 60,
            float_layers=candidate.float_layers,
            answer=answer,
            more_images=more,
            board=self._board(candidate.content) if self._board else None,
        )

    def seen(self, best: str) -> ValOutcomes:
        """How float32 and each rung that was measured did on each photograph, `best` being the rung that was chosen."""
        images = [photograph.image_id for photograph in self.photographs]
        return ValOutcomes(self.task.main_metric, self.max_drop, best, self.card.labels, images, self._outcomes)


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
    ready: Sequence[Candidate],
    candidates: Iterator[Candidate],
    measure: Callable[[Candidate], Rung],
    prefer: str = "size",
    until: str = "estimate",
    report: Callable[[Rung], None] = lambda rung: None,
) -> Candidate:
    """Measure what is there already, then candidates until one keeps within the budget.

    Args:
        ladder: its rungs and `best` are filled in; candidates may read what was climbed so far.
        ready: made already, at least one: all are measured.
        candidates: asked for the next one only when nothing before it is good enough.
        measure: as `Validation.measure`.
        prefer: `size` or `speed`, of several within the budget.
        until: `proof`: until a rung's whole interval is within the budget; `estimate`: until its drop is.
        report: called after each.

    Returns:
        The one that `verdict.choose` takes of those that may fit the device.
    """
    found: dict[str, Candidate] = {}

    def judge(candidate: Candidate, seconds: float) -> None:
        rung = measure(candidate)
        rung.minutes += seconds / 60
        ladder.rungs.append(rung)
        found[rung.rung] = candidate
        report(rung)

    def enough() -> bool:
        if until == "proof":
            return any(rung.answer == WITHIN for rung in ladder.fitting)
        return any(ladder.fits(rung.drop) for rung in ladder.fitting)

    for candidate in ready:
        judge(candidate, 0.0)
    started = time.perf_counter()
    while not enough() and (following := next(candidates, None)) is not None:
        judge(following, time.perf_counter() - started)
        started = time.perf_counter()
    ladder.best = choose(ladder.fitting, prefer).rung
    return found[ladder.best]


def write_ladder(ladder: Ladder, path: Path) -> None:
    """Write `ladder.json`: the attributes of `Ladder`, its answer and its sentence; `board` only where there is a device."""
    content = asdict(ladder) | {"answer": ladder.answer, "sentence": ladder.sentence()}
    content["rungs"] = [
        {key: value for key, value in rung.items() if key != "board" or value} for rung in content["rungs"]
    ]
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def ladder_figures(ladder: Ladder) -> dict[str, float]:
    """The figures for the tracking: `ladder/<rung>/<figure>`, and whether the budget is proven to be kept (1 or 0)."""
    figures = {"ladder/within": float(ladder.answer == WITHIN), "ladder/float32": ladder.reference}
    for rung in ladder.rungs:
        found = {"value": rung.value, "drop": rung.drop, "drop_high": rung.drop_high, "size_bytes": rung.size_bytes}
        found |= {
            "latency_ms_p50": rung.latency_ms_p50,
            "minutes": rung.minutes,
            "float_layers": len(rung.float_layers),
        }
        figures |= {f"ladder/{rung.rung}/{key}": float(value) for key, value in found.items()}
    return figures | board_figures({f"ladder/{rung.rung}": rung.board for rung in ladder.rungs if rung.board})
