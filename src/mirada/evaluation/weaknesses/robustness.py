"""How far accuracy drops on corrupted images, and whether the small variant drops further than float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np

from mirada.data.records import Dataset, Example
from mirada.evaluation.weaknesses.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from mirada.evaluation.weaknesses.scenes import Scene
from mirada.inference.litert import Model
from mirada.inference.prediction import Decoding, Prediction
from mirada.inference.variants import REFERENCE
from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.tables import Table, signed_text
from mirada.tasks import Task
from mirada.workers.crew import share_out

CONDITIONS = tuple((kind, strength) for kind in CORRUPTIONS for strength in range(len(STRENGTHS)))
SAMPLES = 400  # resamplings at most: each weighs 2 × 16 results
_DETECTIONS = 40  # of an image; its least certain ones change nothing and cost time
Condition = tuple[str, int]  # kind, strength
Interval = tuple[float, float, float]  # value, low and high end of its 95 % interval


@dataclass(frozen=True)
class Robustness:
    """What corruption costs.

    Attributes:
        images: how many inputs of the network were corrupted.
        clean: variant -> its main metric on them as they are.
        metrics: (kind, strength) -> variant -> its main metric.
        beside: the variant beside float32; None: float32 alone.
        extra: (kind, strength) -> how much further `beside` drops than float32, each against itself clean.
        mean_drop: variant -> its drop, mean over all conditions.
        mean_extra: the same of `extra`; None without `beside`.
    """

    images: int
    clean: dict[str, float]
    metrics: dict[tuple[str, int], dict[str, float]]
    beside: str | None
    extra: dict[tuple[str, int], Interval]
    mean_drop: dict[str, float]
    mean_extra: Interval | None

    def sentence(self, metric_name: str) -> str:
        """The answer in words."""
        lost = ", ".join(f"{name} {drop:.3f}" for name, drop in self.mean_drop.items())
        start = (
            f"Over {len(self.metrics)} kinds of corruption, {self.images} images each, {metric_name} drops by: {lost}."
        )
        if self.mean_extra is None:
            return start
        value, low, high = self.mean_extra
        text = f"{signed_text(value)}, with a 95 % interval from {signed_text(low)} to {signed_text(high)}"
        if low > 0:
            verdict = f"{self.beside} suffers more than {REFERENCE}, by {text}"
        elif high < 0:
            verdict = f"{self.beside} suffers less than {REFERENCE}: {text}"
        else:
            verdict = f"Whether {self.beside} suffers more than {REFERENCE} these images can’t tell: {text}"
        return f"{start} {verdict}."


def pick_examples(dataset: Dataset, split: str, most: int) -> list[Example]:
    """At most so many inputs of a split, spread evenly over it."""
    total = dataset.splits[split]["images"]
    chosen = set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist())
    return [example for number, example in enumerate(dataset.examples(split)) if number in chosen]


def measure_robustness(
    crew: Sequence[Mapping[str, Model]],
    examples: Sequence[Example],
    scenes: Sequence[Scene],
    task: Task,
    decoding: Decoding,
    samples: int,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Robustness | None:
    """Show every example to every model, as it is and in each condition; None where there is nothing to find.

    Args:
        crew: of each thread float32 and at most one beside it.
        examples: inputs of the network.
        scenes: theirs, in the same order, which are corrupted.
        task: of the models' card.
        decoding: of detections.
        samples: resamplings of the images, `SAMPLES` at most; with 0 an interval is its value.
        seed: of noise and resampling.
        advance: called after each image in each condition.
    """
    if not any((~example.ignore).any() for example in examples):
        return None
    within = replace(decoding, max_detections=_DETECTIONS)
    card = next(iter(crew[0].values())).card
    truths = [replace(example, image=b"") for example in examples]

    def look(models: Mapping[str, Model], job: tuple[Condition | None, int]) -> dict[str, Prediction]:
        condition, number = job
        spoil = partial(corrupt, kind=condition[0], strength=condition[1], seed=seed + number) if condition else None
        shown = scenes[number].shown(spoil)
        return {name: model.find(shown, within) for name, model in models.items()}

    conditions = (None, *CONDITIONS)
    looks = share_out(crew, look, product(conditions, range(len(scenes))))
    results: dict[Any, dict[str, Any]] = {}
    for condition in conditions:
        found: dict[str, list[Any]] = {name: [] for name in crew[0]}
        for predictions in islice(looks, len(scenes)):
            for name, prediction in predictions.items():
                found[name].append(prediction)
            advance()
        results[condition] = {name: task.evaluate(truths, row, card.labels) for name, row in found.items()}
    return _sum_up(results, task, len(examples), min(samples, SAMPLES), seed)


def _sum_up(results: dict[Any, dict[str, Any]], task: Task, images: int, samples: int, seed: int) -> Robustness:
    """All intervals from the same resamplings, so that what is hard for both variants cancels."""
    clean = {name: task.outcomes(result) for name, result in results.pop(None).items()}
    units = clean[REFERENCE].units
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=samples)
    weights = np.concatenate([np.ones((1, units), np.int64), drawn])  # the first: all once
    plain = {name: outcomes.resampled(weights) for name, outcomes in clean.items()}
    values = {
        condition: {name: task.outcomes(result).resampled(weights) for name, result in row.items()}
        for condition, row in results.items()
    }
    beside = next((name for name in clean if name != REFERENCE), None)
    extra: dict[tuple[str, int], np.ndarray] = {}
    if beside:
        for condition, row in values.items():
            extra[condition] = (plain[beside] - row[beside]) - (plain[REFERENCE] - row[REFERENCE])
    metrics = {condition: {name: float(row[name][0]) for name in clean} for condition, row in values.items()}
    first = {name: float(row[0]) for name, row in plain.items()}
    return Robustness(
        images=images,
        clean=first,
        metrics=metrics,
        beside=beside,
        extra={condition: _interval(row) for condition, row in extra.items()},
        mean_drop={name: first[name] - float(np.mean([row[name] for row in metrics.values()])) for name in clean},
        mean_extra=_interval(np.mean(list(extra.values()), axis=0)) if extra else None,
    )


def _interval(values: np.ndarray) -> Interval:
    """Of the value itself and of its resamplings behind it."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (values[0], values[0])
    return float(values[0]), float(low), float(high)


def robustness_table(found: Robustness) -> Table:
    """A row a condition: each variant's figure and drop, and how much further the small one drops."""
    names = list(found.clean)
    heads = [text for name in names for text in (name, "drop")]
    rows = [["none", *(cell for name in names for cell in (f"{found.clean[name]:.3f}", "–"))]]
    rows[0] += ["–"] if found.beside else []
    for kind, strength in found.metrics:
        row = found.metrics[kind, strength]
        cells = [f"{kind}, {STRENGTHS[strength]}"]
        for name in names:
            cells += [f"{row[name]:.3f}", signed_text(found.clean[name] - row[name])]
        if found.beside:
            cells.append("{} [{}, {}]".format(*map(signed_text, found.extra[kind, strength])))
        rows.append(cells)
    further = [f"{found.beside} drops further by [95 %]"] if found.beside else []
    return Table(["corruption", *heads, *further], rows)


def plot_robustness(found: Robustness, metric_name: str, *, dark: bool = False) -> bytes:
    """The main metric over the strength, a part of the axis a kind and a line a variant, as a PNG."""
    figure, axes = new_figure(dark, 9.6, 3.8)
    steps, places, names = len(STRENGTHS) + 1, [], []
    for place, kind in enumerate(CORRUPTIONS):
        x = place * (steps + 0.6) + np.arange(steps)
        for number, name in enumerate(found.clean):
            y = [found.clean[name], *(found.metrics[kind, strength][name] for strength in range(len(STRENGTHS)))]
            label = name if place == 0 else None
            axes.plot(x, y, ("o-", "s--")[number % 2], color=line_colour(number), label=label, markersize=4)
        places += x.tolist()
        names += ["clean", *STRENGTHS]
        axes.text(x.mean(), 1.02, kind, transform=axes.get_xaxis_transform(), ha="center", color=ink_colour(dark))
    axes.set_xticks(places, names, fontsize=8, rotation=40, ha="right")
    axes.set(ylabel=metric_name)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=ink_colour(dark))
    return to_png(figure)
