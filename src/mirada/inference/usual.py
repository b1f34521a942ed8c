"""What images usually show and what is usually found in them: counted on those of validation, compared with those of use.

A trait is one number of an image: its best score, its brightness. Each is counted in parts of equal share on validation, so
that the population stability index, sum((now - then) * ln(now / then)) over the parts' shares, can tell how far those of
use have moved. By chance alone it is about (parts - 1) * (1 / images then + 1 / images now).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from mirada.data.records import Example
from mirada.inference.engine import Answer, Engine
from mirada.inference.prediction import Detections

_PARTS = 10  # at most
_IMAGES_PER_PART = 20  # at least: fewer would call chance a drift
_MOST_IMAGES, _MOST_TILES = 200, 1000  # of validation that are looked at


@dataclass(frozen=True)
class Histogram:
    """Images by parts of a trait's range.

    Attributes:
        edges: upper ends of all parts but the last, ascending.
        counts: of images, one a part.
    """

    edges: list[float]
    counts: list[int]

    def part(self, value: float) -> int:
        """Which part a value falls in; an edge belongs to the part below it."""
        return bisect_left(self.edges, value)


def traits_of(answer: Answer, least: float) -> dict[str, float]:
    """Best score, 0 where none reaches `least`, and brightness, 0 to 255, of an image."""
    found = answer.prediction
    if isinstance(found, Detections):
        best = float(found.scores[0]) if len(found) else 0.0
        score = best if best >= least else 0.0
    else:
        score = found.probability
    return {"score": score, "brightness": answer.brightness}


def measure_usual(engine: Engine, photographs: Iterable[Example]) -> dict[str, Any]:
    """Trait -> its histogram as JSON takes it, over the first photographs, as many as there is time for."""
    seen: dict[str, list[float]] = {}
    tiles = 0
    for photograph in islice(photographs, _MOST_IMAGES):
        answer = engine.predict(photograph.image)
        for trait, value in traits_of(answer, engine.card.min_score).items():
            seen.setdefault(trait, []).append(value)
        tiles += answer.tiles
        if tiles >= _MOST_TILES:
            break
    return {trait: asdict(count_parts(values)) for trait, values in seen.items()}


def count_parts(values: Sequence[float]) -> Histogram:
    """The histogram whose parts hold equally many of the values, as far as equal values allow."""
    parts = min(_PARTS, len(values) // _IMAGES_PER_PART)
    inner: np.ndarray = (
        np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf") if parts > 1 else np.zeros(0)
    )
    edges = sorted({float(edge) for edge in inner} - {max(values)})
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect_left(edges, value)] += 1
    return Histogram(edges, counts)


def stability_index(then: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index of counts in the same parts; half an image is added to each, so that none is empty."""
    before, after = (np.asarray(counts, np.float64) + 0.5 for counts in (then, now))
    before, after = before / before.sum(), after / after.sum()
    return float(((after - before) * np.log(after / before)).sum())
