"""The layers that int8 hurts most, and why, as a plot."""

from __future__ import annotations

from collections.abc import Sequence

from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.quantization.evidence import LEVELS, SATURATED, WIDE, LayerEvidence, worst_layers

LABELLED = 10  # layers with a bar and a name of their own
_COLOURS = {WIDE: 0, SATURATED: 1, LEVELS: 2}


def plot_layers(rows: Sequence[LayerEvidence], *, dark: bool = False) -> bytes:
    """A bar a layer, worst first, with its cause and the time it takes in words; one part a variant.

    Args:
        rows: of one or several variants.
        dark: for a dark page.

    Returns:
        A PNG.
    """
    variants = list(dict.fromkeys(row.variant for row in rows))
    bars: list[tuple[str, float, str, int | None]] = []  # name, error in %, text, colour
    for variant in variants:
        mine = [row for row in rows if row.variant == variant]
        worst = worst_layers(mine, LABELLED)
        bars.append((variant, 0.0, f"the {len(worst)} worst of {len(mine)} operators", None))
        for row in worst:
            error, took = 100 * row.hurt, "" if row.time_ms is None else f", {row.time_ms:.2f} ms"
            text = f"{error:.1f} %  {row.why}{took}"
            bars.append((f"{row.layer} {row.op.lower()}", error, text, _COLOURS.get(row.why)))
        rest = sorted(100 * row.hurt for row in mine)[: len(mine) - len(worst)]
        if rest:
            bars.append((f"the other {len(rest)}", rest[-1], f"at most {rest[-1]:.1f} %", None))
    figure, axes = new_figure(dark, 9, 0.8 + 0.3 * max(len(bars), 1))
    ink = ink_colour(dark)
    places = range(len(bars))
    colours = [ink if colour is None else line_colour(colour) for _, _, _, colour in bars]
    axes.barh(places, [error for _, error, _, _ in bars], color=colours, height=0.7)
    for place, (_, error, text, _) in enumerate(bars):
        axes.annotate(text, (error, place), (5, 0), textcoords="offset points", va="center", color=ink, fontsize=9)
    axes.set_yticks(places, [name for name, _, _, _ in bars])
    for tick, (name, _, _, _) in zip(axes.get_yticklabels(), bars, strict=True):
        tick.set_fontweight("bold" if name in variants else "normal")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1.65 * max((error for _, error, _, _ in bars), default=1.0) or 1.0)
    axes.set_xlabel("error that the layer adds, % of its output")
    axes.grid(False, axis="y")
    return to_png(figure)
