"""What detections cost by kind of error, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mirada.data.records import Example
from mirada.inference.card import Card
from mirada.inference.variants import REFERENCE
from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.tables import Table
from mirada.tasks.error_kinds import KINDS, ErrorKind, error_kinds

Errors = dict[str, dict[str, ErrorKind]]
"""Variant -> kind -> its count and cost; empty but for detection."""


def find_errors(
    card: Card, truths: Sequence[Example], predictions: Mapping[str, Sequence[Any]], shown: str | None
) -> Errors:
    """The errors of float32 and of the variant that the report is about, on the same photographs.

    Args:
        card: of the model.
        truths: the photographs' objects.
        predictions: variant -> what it found, in the same order.
        shown: that variant; None: float32 alone.
    """
    if card.task != "detection":
        return {}
    names = [REFERENCE, *([shown] if shown and shown != REFERENCE else [])]
    return {name: error_kinds(truths, predictions[name], len(card.labels)) for name in names}


def errors_table(errors: Errors) -> Table:
    """A row a kind: what it means, and each variant's cost in mAP50 with how often it occurs."""
    rows = []
    for kind, meaning in KINDS.items():
        cells = [f"{row[kind].cost:.3f} ({row[kind].count})" for row in errors.values()]
        rows.append([kind, *cells, meaning])
    return Table(["kind", *(f"{name}: cost (count)" for name in errors), "what it is"], rows)


def plot_errors(errors: Errors, *, dark: bool = False) -> bytes:
    """The cost of each kind as a PNG, a bar a variant."""
    figure, axes = new_figure(dark, 6.4, 3.6)
    places, height = np.arange(len(KINDS)), 0.8 / max(1, len(errors))
    for number, (name, row) in enumerate(errors.items()):
        shift = (number - (len(errors) - 1) / 2) * height
        costs = [row[kind].cost for kind in KINDS]
        axes.barh(places + shift, costs, height, color=line_colour(number), label=name)
    axes.set_yticks(places, list(KINDS))
    axes.invert_yaxis()
    axes.set(xlabel="mAP50 that is lost to it")
    axes.legend(frameon=False, labelcolor=ink_colour(dark))
    return to_png(figure)
