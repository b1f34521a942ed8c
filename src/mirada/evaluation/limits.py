"""Limits on the figures of a variant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mirada.errors import MiradaError
from mirada.tables import number_text


@dataclass(frozen=True)
class Breach:
    """A limit that a model does not keep: its key, the figure measured, the limit, and a sentence naming both."""

    limit: str
    measured: float
    allowed: float
    sentence: str


def check_limits(figures: Mapping[str, float], limits: Mapping[str, float], variant: str = "the model") -> list[Breach]:
    """Compare one variant's figures with limits.

    Args:
        figures: as in `metrics.json`.
        limits: 'max_<figure>' or 'min_<figure>' -> the number it may reach but not pass.
        variant: named in the sentences.

    Raises:
        MiradaError: a limit names no figure that was measured.
    """
    breaches = []
    for limit, allowed in limits.items():
        side, _, figure = limit.partition("_")
        if side not in ("max", "min") or figure not in figures:
            known = ", ".join(figures)
            raise MiradaError(f"limits.{limit} names no figure: write max_ or min_ before one of {known}.")
        measured = figures[figure]
        if measured > allowed if side == "max" else measured < allowed:
            word = "above the limit" if side == "max" else "below the limit"
            sentence = f"{variant}: {figure} is {number_text(measured)}, {word} {limit}={number_text(allowed)}."
            breaches.append(Breach(limit, measured, allowed, sentence))
        elif math.isnan(measured):
            breaches.append(
                Breach(limit, measured, allowed, f"{variant}: {figure} is not a number, the limit is {limit}.")
            )
    return breaches
