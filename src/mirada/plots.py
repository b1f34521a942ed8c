"""Figures as PNGs: what the report's plots have in common."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mirada.fonts import families_of, readable
from mirada.palette import DARK, LIGHT, LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STROKES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def plot_curves(
    x: np.ndarray, lines: Mapping[str, np.ndarray], x_label: str, y_label: str, *, dark: bool = False
) -> bytes:
    """One line a variant, as a PNG.

    Args:
        x: (P,) common to all lines, 0..1.
        lines: variant -> (P,), 0..1.
        x_label, y_label: of the axes.
        dark: for a dark page.
    """
    figure, axes = new_figure(dark, 6.4, 4.2)
    for i, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, color=line_colour(i), label=name, linewidth=1.8, linestyle=_STROKES[i % len(_STROKES)])
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, labelcolor=ink_colour(dark))
    return to_png(figure)


def line_colour(index: int) -> str:
    """The colour of a variant's line or mark, by its place."""
    return LINES[index % len(LINES)]


def ink_colour(dark: bool) -> str:
    """The colour of text and axes."""
    return (DARK if dark else LIGHT).ink


def new_figure(dark: bool, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure that belongs to no window and no global state, on a transparent ground when dark."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # it announces its cache
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ground = "none" if dark else LIGHT.ground
    figure = Figure((width, height), dpi=120, layout="constrained", facecolor=ground)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=ground)
    style_axes(axes, dark)
    return figure, axes


def style_axes(axes: Axes, dark: bool) -> None:
    """Thin axes without a box, in the page's ink."""
    ink = ink_colour(dark)
    axes.tick_params(colors=ink)
    axes.xaxis.label.set_color(ink)
    axes.yaxis.label.set_color(ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    axes.grid(color=ink, alpha=0.15)


def to_png(figure: Figure) -> bytes:
    """The figure as the bytes of a file, its texts in fonts that have their letters."""
    _make_readable(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _make_readable(figure: Figure) -> None:
    from matplotlib.text import Text

    def mend(text: str) -> str:
        return text if text.isascii() else "\n".join(readable(line) for line in text.split("\n"))

    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if any(
            mend(label) != label for label in labels
        ):  # whoever made them would write them again when they are drawn
            axis.set_ticks(axis.get_majorticklocs(), [mend(label) for label in labels])
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and not artist.get_text().isascii()):
        assert isinstance(text, Text)
        text.set_text(mend(text.get_text()))
        text.set_fontfamily(families_of([text.get_text()]))
