"""What other runtimes than the one that is measured make of a variant, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirada.evaluation.pictures import Picture
from mirada.tables import Table


@dataclass
class Runtimes:
    """The table, and the images that are answered most differently.

    Attributes:
        variant: that was shown to them.
        images: inputs of the network that each was shown.
        seconds: that it took.
        table: a row a runtime.
        sentences: on those that were not tried, or are beyond their bound.
        figures: name of a runtime -> the main figure, of those that were asked; empty where there is nothing to find.
        equal: name of a runtime -> inputs of which it gives the reference kernels' bytes.
        absent: name of a runtime -> why it was not asked.
        pictures: what the reference kernels find and what XNNPACK does, side by side, the most different first.
    """

    variant: str
    images: int
    seconds: float
    table: Table
    sentences: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    equal: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
