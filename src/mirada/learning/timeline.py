"""The steps of a training, and a picture of when each waited for its input and when it computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirada.palette import LINES
from mirada.plots import to_png

COMPUTING, WAITING = LINES[:2]
_STEPS = 40  # shown of each


@dataclass(frozen=True)
class StepTimes:
    """One step, in seconds since its epoch began: it waits for its batch from `start` to `ready`, then works to `end`."""

    start: float
    ready: float
    end: float

    @property
    def waited(self) -> float:
        """Seconds of waiting."""
        return self.ready - self.start


def steady_steps(steps: Sequence[StepTimes], most: int = _STEPS) -> list[StepTimes]:
    """Steps from the middle of an epoch, at most `most`, in seconds since the first of them.

    An epoch's first step, which waits for the pipeline to start, is left out where there are others.
    """
    later = steps[1:] or steps
    first = max(0, (len(later) - most) // 2)
    chosen = later[first : first + most]
    zero = chosen[0].start if chosen else 0.0
    return [StepTimes(step.start - zero, step.ready - zero, step.end - zero) for step in chosen]


def draw_timeline(timelines: Mapping[str, Sequence[StepTimes]]) -> bytes:
    """A PNG with a row for each kind of input: the steps in the middle of an epoch, on one axis of time.

    Args:
        timelines: kind of input -> the steps of one epoch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(11, 1.4 + 0.9 * len(timelines)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = []
    for row, (name, steps) in enumerate(timelines.items()):
        shown = steady_steps(steps)
        waits = [(1000 * step.start, 1000 * step.waited) for step in shown]
        works = [(1000 * step.ready, 1000 * (step.end - step.ready)) for step in shown]
        axes.broken_barh(waits, (row - 0.35, 0.7), facecolors=WAITING, linewidth=0)
        axes.broken_barh(works, (row - 0.35, 0.7), facecolors=COMPUTING, edgecolors="white", linewidth=0.6)
        total = shown[-1].end if shown else 0.0
        share = sum(step.waited for step in shown) / total if total else 0.0
        labels.append(f"{name}\n{len(shown)} steps in {total:.2f} s\n{share:.0%} waiting")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("time in ms, from the middle of an epoch")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    legend = [Patch(color=WAITING, label="waiting for input"), Patch(color=COMPUTING, label="computing the step")]
    figure.legend(handles=legend, loc="outside upper right", ncols=2, frameon=False)
    return to_png(figure)
