"""A learning rate from the user's data: the learning-rate range test (Smith, arXiv:1506.01186).

The rate rises from step to step, and the loss falls, then no more, then explodes. A good peak lies well below the explosion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirada.errors import MiradaError
from mirada.learning.course.course import Course
from mirada.learning.course.stretch import Stretch
from mirada.plots import ink_colour, line_colour, new_figure, to_png

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 80
BELOW = 10.0  # times: the rate chosen is so much lower than the one at which the loss is lowest
_KEPT = 0.9  # of the running mean of the losses, a step
_EXPLODED = 2.0  # times the lowest running mean: the test ends


@dataclass(frozen=True)
class RangeTest:
    """What was measured.

    Attributes:
        rates: of each step, rising.
        losses: of each step, before it was taken.
        rate: that was chosen.
    """

    rates: list[float]
    losses: list[float]
    rate: float

    @property
    def sentence(self) -> str:
        """What was chosen and why, for the user."""
        return f"learning_rate={self.rate:.2g}: by a range test of {len(self.rates)} steps up to {self.rates[-1]:.2g}"


def find_rate(stretch: Stretch, course: Course, steps: int = STEPS) -> RangeTest:
    """Raise the rate from step to step, and choose from what the loss does; nothing of it remains.

    Args:
        stretch: of a training that has not begun.
        course: tells whether the pretrained layers take part, and how fast.
        steps: over which the rate rises from LOWEST to HIGHEST.

    Raises:
        MiradaError: the loss is not finite before anything has been learnt.
    """
    rates = [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, steps)]
    losses: list[float] = []
    scale, frozen = course.backbone_lr_scale, course.frozen(0)

    def set_rates(step: int) -> None:
        stretch.step.set_rates(rates[step] * scale, rates[step])

    with stretch.undone():
        for loss in stretch.losses(steps, frozen, set_rates):
            if not np.isfinite(loss):
                if not losses:
                    raise MiradaError(
                        f"The range test of learning_rate=auto can't begin, as the loss of its first batch is {loss}: set "
                        "learning_rate (of a tuned variant, qat.learning_rate) to a number, and the error will name the "
                        "images to look at."
                    )
                break
            losses.append(loss)
            mean = running_mean(losses)
            if mean[-1] > _EXPLODED * min(mean):
                break
    rates = rates[: len(losses)]
    return RangeTest(rates, losses, choose_rate(rates, losses))


def running_mean(losses: list[float]) -> list[float]:
    """The exponential moving average up to each loss, corrected for its start."""
    means, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = _KEPT * total + loss, _KEPT * weight + 1
        means.append(total / weight)
    return means


def choose_rate(rates: list[float], losses: list[float]) -> float:
    """A tenth of the rate at which the running mean of the losses is lowest, with two digits."""
    lowest = rates[int(np.argmin(running_mean(losses)))]
    return float(f"{lowest / BELOW:.1e}")


def draw_range_test(test: RangeTest) -> bytes:
    """The losses over the rates, and the rate that was chosen, as a PNG."""
    figure, axes = new_figure(False, 6.4, 4.2)
    axes.plot(test.rates, test.losses, color=line_colour(0), linewidth=0.8, alpha=0.5, label="loss of a step")
    axes.plot(test.rates, running_mean(test.losses), color=line_colour(0), linewidth=1.8, label="running mean")
    axes.axvline(test.rate, color=line_colour(1), linestyle="--", label=f"chosen: {test.rate:.2g}")
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log")
    axes.legend(frameon=False, labelcolor=ink_colour(False))
    return to_png(figure)
