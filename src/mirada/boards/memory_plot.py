"""The picture of memory: what lives over the operators of an inference, the peak marked, and the same in words."""

from __future__ import annotations

import csv
import io

import numpy as np

from mirada.boards.changes import nearest_step, with_stride
from mirada.boards.memory import Memory, plan_memory
from mirada.boards.network import Network
from mirada.palette import DARK, LIGHT, LINES
from mirada.plots import line_colour, new_figure, to_png

_NAMED = len(LINES)  # of what lives at the peak, the largest: as many as there are colours
_KB = 1024


def describe_memory(
    network: Network, memory: Memory, arena_bytes: int | None = None, fixed_bytes: int = 0
) -> list[str]:
    """Who the peak is, what TensorFlow Lite Micro makes of it, and what would lower it, in sentences.

    Args:
        network: of the file. memory: its plan.
        arena_bytes, fixed_bytes: of TensorFlow Lite Micro, where it was asked.
    """
    first, last = memory.peak
    place = f"at operator {first + 1}" if first == last else f"between operators {first + 1} and {last + 1}"
    held = " and ".join(f"{_kb(life.size_bytes)} of {short_name(life.name)}" for life in memory.living(first)[:2])
    said = [
        f"The peak is {place} of {len(memory.kinds)} ({memory.kinds[first]}): {_kb(memory.peak_bytes)}, among them {held}."
    ]
    if arena_bytes is not None:
        said.append(
            f"TensorFlow Lite Micro's arena is {arena_bytes:,} bytes ({_kb(arena_bytes)}): "
            f"{_kb(arena_bytes - fixed_bytes)} of values, {_kb(fixed_bytes)} of tables that stay."
        )
    lowered = []
    if (strided := with_stride(network)) is not None:
        lowered.append(("twice the stride in the first convolution", strided))
    if (smaller := nearest_step(network)) is not None:
        lowered.append((smaller.sentence, smaller.network))
    if lowered:
        told = [f"with {change} the peak would be {_lower(other, memory)}" for change, other in lowered]
        said.append(f"W{'; '.join(told)[1:]}.")
    return said


def memory_table(memory: Memory) -> str:
    """The plan as CSV: a line a tensor, operators counted from 1."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["tensor", "bytes", "first_operator", "last_operator"])
    rows.writerows([life.name, life.size_bytes, life.first + 1, life.last + 1] for life in memory.lives)
    return table.getvalue()


def _lower(network: Network, memory: Memory) -> str:
    peak = plan_memory(network).peak_bytes
    return f"{_kb(peak)} ({peak / max(memory.peak_bytes, 1):.2f} of it)"


def _kb(size_bytes: float) -> str:
    return f"{size_bytes / _KB:,.0f} KB" if size_bytes >= _KB else f"{size_bytes:.0f} bytes"


def short_name(name: str) -> str:
    """A layer's name in a tensor's, as the network has it: 'stem' of 'model/stem/Relu6;model/stem/Conv2D'."""
    first = name.split(";")[0]
    parts = [part for part in first.split("/") if part]
    return "/".join(parts[1:-1]) or first or "a tensor"


def plot_memory(
    memory: Memory, *, limit_bytes: int | None = None, arena_bytes: int | None = None, dark: bool = False
) -> bytes:
    """Area by tensor over the operators, as a PNG.

    Args:
        memory: the plan.
        limit_bytes: a line that should not be crossed; None: none.
        arena_bytes: TensorFlow Lite Micro's, another line; None: not known.
        dark: for a dark page.
    """
    figure, axes = new_figure(dark, 9, 4.2)
    scheme = DARK if dark else LIGHT
    ink, soft, ground = scheme.ink, scheme.edge, scheme.ground
    count, (peak, last) = len(memory.kinds), memory.peak
    named = memory.living(peak)[:_NAMED]
    rest = [life for life in memory.lives if life not in named]
    edges, floor = np.arange(count + 1), np.zeros(count)
    for life in [*named, *rest]:
        own = slice(life.first, life.last + 1)
        low, high = floor[own], floor[own] + life.size_bytes / _KB
        number = named.index(life) if life in named else None
        colour = soft if number is None else line_colour(number)
        label = None if number is None else f"{short_name(life.name)}, {_kb(life.size_bytes)}"
        span = edges[life.first : life.last + 2]
        axes.fill_between(
            span, _step(low), _step(high), step="post", facecolor=colour, label=label, linewidth=0.5, edgecolor=ground
        )
        floor[own] = high
    axes.step(edges, _step(floor), where="post", color=ink, linewidth=0.8)
    middle, highest = (peak + last + 1) / 2, memory.peak_bytes / _KB
    axes.annotate(
        f"peak {_kb(memory.peak_bytes)}, operator {peak + 1}: {memory.kinds[peak] if count else ''}",
        (middle, highest), (24, 10), textcoords="offset points", color=ink, fontsize=9, va="bottom",
        arrowprops={"arrowstyle": "-", "color": ink, "linewidth": 0.8},
    )  # fmt: skip
    lines = {"limit": (limit_bytes, "--"), "arena with its tables": (arena_bytes, ":")}
    for label, (value, stroke) in lines.items():
        if value is not None:
            axes.axhline(value / _KB, color=ink, linestyle=stroke, linewidth=1, label=f"{label}, {_kb(value)}")
    axes.set(xlabel="operator", ylabel="KB that live", xlim=(0, max(count, 1)))
    axes.set_ylim(0, 1.15 * max(highest, *((value or 0) / _KB for value, _ in lines.values()), 1))
    axes.legend(frameon=False, labelcolor=ink, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3)
    return to_png(figure)


def _step(values: np.ndarray) -> np.ndarray:
    """With the last once more, where its operator ends."""
    return np.append(values, values[-1:])
