"""Tables of text: their columns, and numbers as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A figure of the tables: its key in `metrics.json`, what people call it, and its decimals.

    Where `<key>_low` and `<key>_high` are among the figures too, they are shown as its interval.
    """

    key: str
    heading: str
    digits: int = 3


def ms_text(milliseconds: float | None) -> str:
    """A time for a table, with two digits that say something: 12.3, 4.5, 0.53, 0.028; a dash for none."""
    if milliseconds is None or math.isnan(milliseconds):
        return "–"
    return f"{milliseconds:.1f}" if milliseconds >= 0.95 else f"{milliseconds:.2g}"


def signed_text(value: float) -> str:
    """A difference for a table, with its sign: +0.012, −0.003; 0.000 has none."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


@dataclass
class Table:
    """Headings and rows of text, the first column naming the row."""

    head: list[str]
    rows: list[list[str]]

    def show(self, title: str) -> None:
        """Print it under its title."""
        from rich.box import SIMPLE  # whoever only writes tables needs no terminal
        from rich.console import Console
        from rich.table import Table as Grid

        shown = Grid(*self.head, title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
        for row in self.rows:
            shown.add_row(*row)
        Console().print(shown)


def number_text(value: float) -> str:
    """A figure for a sentence: four digits that say something, or a whole number."""
    return f"{value:,.0f}".replace(",", "") if abs(value) >= 1000 else f"{value:.4g}"
