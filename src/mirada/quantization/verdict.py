"""Three answers to a budget of accuracy: within, beyond, or cannot tell; and which candidate is best by them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

WITHIN, BEYOND, CANNOT_TELL = "within", "beyond", "cannot_tell"
PREFERENCES = ("size", "speed")
_HAIR = 1e-9  # figures are shares of images: what is computed a hair above the budget is at it
_MOST = 10**15  # images: more are never asked for
_SAME = 0.01  # files or times that differ by less are as small, or as fast, as each other


class Judged(Protocol):
    """What a choice looks at: `budget.Rung` has all of it."""

    rung: str
    answer: str
    drop_high: float
    size_bytes: int
    latency_ratio: float


R = TypeVar("R", bound=Judged)


def answer_of(low: float, high: float, max_drop: float) -> str:
    """What an interval says of a budget.

    Args:
        low, high: the ends of the 95 % interval of a drop, positive being worse.
        max_drop: the budget.

    Returns:
        `within` where all of the interval is at most the budget, `beyond` where all of it is above, else `cannot_tell`.
    """
    if high <= max_drop + _HAIR:
        return WITHIN
    return BEYOND if low > max_drop + _HAIR else CANNOT_TELL


def more_images(
    drop: float,
    low: float,
    high: float,
    max_drop: float,
    images: int,
    unseen_in: Callable[[float], float] = lambda half: 0.0,
) -> int | None:
    """How many images beside those measured would move the budget out of the interval.

    The interval's half on the budget's side is taken to shrink with the root of the number of images, as a mean's does, but
    for the part of it that stands for what no image has shown, which shrinks with the number itself; and the drop to stay
    where it is.

    Args:
        drop, low, high: the drop and the ends of its interval.
        max_drop: the budget, inside the interval.
        images: that were measured.
        unseen_in: as of `Outcomes`, the part of a half that stands for what no image has shown.

    Returns:
        At least 1; None where the drop is at the budget itself, which no number of images decides.
    """
    distance = abs(max_drop - drop)
    half = high - drop if drop <= max_drop else drop - low
    if distance <= _HAIR:
        return None
    unseen = unseen_in(half)
    rest = math.sqrt(max(0.0, half**2 - unseen**2))

    def tells(total: int) -> bool:
        share = images / total
        return math.hypot(1 - (1 - unseen) ** share, rest * math.sqrt(share)) <= distance + _HAIR

    return max(1, bisect_left(range(_MOST), True, lo=images, key=tells) - images)


def choose(rungs: Sequence[R], prefer: str) -> R:
    """The best of what was measured.

    Args:
        rungs: at least one.
        prefer: `size` or `speed`.

    Returns:
        Of those proven within the budget the smallest or fastest, of equal ones (within 1 %) that with the lowest upper
        end of the drop's interval; where none is proven, that with the lowest upper end. Of equal ones the first.
    """
    proven = [rung for rung in rungs if rung.answer == WITHIN]
    if not proven:
        return min(rungs, key=lambda rung: rung.drop_high)
    costs = [float(rung.size_bytes) if prefer == "size" else rung.latency_ratio for rung in proven]
    bound = min(costs) * (1 + _SAME)
    return min(
        (rung for rung, cost in zip(proven, costs, strict=True) if cost <= bound), key=lambda rung: rung.drop_high
    )
