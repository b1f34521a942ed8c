"""How fast pretrained layers may learn: some rates are tried from the same weights, and the highest harmless one is taken.

Near ImageNet a high rate destroys within a few steps what is known already; far from it the same rate is what helps in the
end. A few steps can't tell which rate will be the best: the lowest loss after so short a time favours rates that are too low
(arXiv:1803.02021). But they show harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.learning.course.stretch import Stretch

SCALES = (0.3, 0.1, 0.03, 0.01)  # the pretrained layers' rate, relative to the new ones'
HARM = 0.08  # so much higher than with the pretrained layers standing still, relatively, may the loss be
LEAST_STEPS, MOST_STEPS, SHARE = 8, 32, 0.05  # a try takes this share of the training's steps, within these bounds
_WARMUP = 5  # steps
_HOPELESS = 1.15  # times the loss of all steps so far without: a try ends early


@dataclass(frozen=True)
class Tried:
    """One scale, and the mean loss of the second half of its steps; 0 is without the pretrained layers."""

    scale: float
    loss: float


def steps_of_a_try(steps: int) -> int:
    """How many steps show harm, in a training that has so many left."""
    return max(LEAST_STEPS, min(MOST_STEPS, int(SHARE * steps)))


def try_scales(
    stretch: Stretch, rate: float, steps: int, scales: Sequence[float] = SCALES
) -> tuple[float, list[Tried]]:
    """Try scales from the highest down, each a few steps from the same weights, until one does no harm.

    Args:
        stretch: of the training as it stands.
        rate: of the new layers.
        steps: that the training has left; a try takes few of them.
        scales: to try, falling.

    Returns:
        The scale, the lowest where all do harm, and what was tried, the pretrained layers standing still first.
    """
    steps = steps_of_a_try(steps)
    still = _losses(stretch, rate, 0.0, steps)
    tried = [Tried(0.0, float(np.mean(still[steps // 2 :])))]
    for scale in scales:
        found = _losses(stretch, rate, scale, steps, still)
        late = slice(min(steps, len(found)) // 2, None)  # of a try that ended early the part that led to it
        rise = float(np.mean(found[late]) / np.mean(still[: len(found)][late]))
        tried.append(Tried(scale, rise * tried[0].loss))
        if len(found) == steps and rise <= 1 + HARM:
            break
    return tried[-1].scale, tried


def _losses(
    stretch: Stretch, rate: float, scale: float, steps: int, still: Sequence[float] | None = None
) -> list[float]:
    """The losses of a try; with those of `still` it ends where it has become hopeless."""
    found: list[float] = []

    def set_rates(step: int) -> None:
        stretch.step.set_rates(rate * scale * min(1.0, (step + 1) / _WARMUP), rate)

    with stretch.undone():
        for loss in stretch.losses(steps, scale == 0, set_rates):
            found.append(loss if np.isfinite(loss) else np.inf)
            if still and len(found) > _WARMUP and sum(found) > _HOPELESS * sum(still[: len(found)]):
                break
    return found


def describe(scale: float, tried: Sequence[Tried]) -> str:
    """What was chosen and why, for the user."""
    losses = ", ".join(f"{one.loss:.3f} at {one.scale:g}" for one in tried[1:])
    return f"backbone_lr_scale={scale:g}: when tried, the loss was {losses}, and {tried[0].loss:.3f} with a frozen backbone"
