"""What images usually show and what is usually found in them: counted on those of validation, compared with those of use.

A look is one input of the network: an image, or a tile of one. A trait is one number of it: best score, brightness. Each is
counted in parts of equal share on validation, so that the population stability index, sum((now - then) * ln(now / then))
over the parts' shares, can tell how far those of use have moved. By chance alone it is about (parts - 1) * (1 / looks then
+ 1 / looks now) for looks that have nothing to do with one another; tiles of one photograph are alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mirada.data.records import Example
from mirada.inference.engine import Answer, Engine

_PARTS = 10  # at most
_LOOKS_PER_PART = 20  # at least: fewer would call chance a drift
_MOST_LOOKS = 1000  # at validation's photographs


@dataclass(frozen=True)
class Histogram:
    """Looks by parts of a trait's range.

    Attributes:
        edges: upper ends of all parts but the last, ascending.
        counts: of looks, one a part.
    """

    edges: list[float]
    counts: list[int]

    def part(self, value: float) -> int:
        """Which part a value falls in; an edge belongs to the part below it."""
        return bisect_left(self.edges, value)


def traits_of(answer: Answer, least: float) -> list[dict[str, float]]:
    """Best score, 0 where none reaches `least`, and brightness, 0 to 255, of each look at a photograph."""
    return [{"score": score if score >= least else 0.0, "brightness": bright} for score, bright in answer.looks]


def measure_usual(engine: Engine, photographs: Iterable[Example]) -> dict[str, Any]:
    """Trait -> its histogram as JSON takes it, over the first photographs, as many as there is time for."""
    least = engine.card.min_score if engine.card.task == "detection" else 0.0
    seen: list[dict[str, float]] = []
    for photograph in photographs:
        seen += traits_of(engine.predict(photograph.image), least)
        if len(seen) >= _MOST_LOOKS:
            break
    return {trait: asdict(count_parts([look[trait] for look in seen])) for trait in seen[0]} if seen else {}


def count_parts(values: Sequence[float]) -> Histogram:
    """The histogram whose parts hold equally many of the values, as far as equal values allow."""
    parts = min(_PARTS, len(values) // _LOOKS_PER_PART)
    inner: np.ndarray = (
        np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf") if parts > 1 else np.zeros(0)
    )
    edges = sorted({float(edge) for edge in inner} - {max(values)})
    counted = Histogram(edges, [0] * (len(edges) + 1))
    for value in values:
        counted.counts[counted.part(value)] += 1
    return counted


def stability_index(then: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index of counts in the same parts; half a look is added to each, so that none is empty."""
    before, after = (np.asarray(counts, np.float64) + 0.5 for counts in (then, now))
    before, after = before / before.sum(), after / after.sum()
    return float(((after - before) * np.log(after / before)).sum())
