"""From other shapes to the boxes around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

Corners = tuple[float, float, float, float]


def enclose(points: Sequence[tuple[float, float]]) -> Corners | None:
    """x1, y1, x2, y2 of the box around points; None for fewer than two or one that is no number."""
    if len(points) < 2 or not all(map(math.isfinite, (value for point in points for value in point))):
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def enclose_rotated(cx: float, cy: float, width: float, height: float, angle: float) -> Corners:
    """The box around a rectangle turned about its centre.

    Args:
        cx, cy: its centre.
        width, height: its sides.
        angle: in radians.
    """
    half_x = (abs(width * math.cos(angle)) + abs(height * math.sin(angle))) / 2
    half_y = (abs(width * math.sin(angle)) + abs(height * math.cos(angle))) / 2
    return cx - half_x, cy - half_y, cx + half_x, cy + half_y


def enclose_runs(counts: Sequence[int], height: int, width: int) -> Corners | None:
    """The box around a mask given as COCO's runs, column by column, the first of background.

    Returns:
        Corners in pixels, x2 and y2 exclusive; None for runs that don't fill the image, or an empty mask.
    """
    if height < 1 or width < 1 or any(run < 0 for run in counts) or sum(counts) != height * width:
        return None
    x1, y1, x2, y2, at = width, height, 0, 0, 0
    for number, run in enumerate(counts):
        if number % 2 and run:
            last = at + run - 1
            x1, x2 = min(x1, at // height), max(x2, last // height + 1)
            whole = at // height != last // height  # it reaches into the next column: from top to bottom
            y1 = 0 if whole else min(y1, at % height)
            y2 = height if whole else max(y2, last % height + 1)
        at += run
    return (float(x1), float(y1), float(x2), float(y2)) if x2 else None


def decode_runs(text: str) -> list[int]:
    """COCO's compressed runs as numbers: five bits a character, each run from the third on less the one before last.

    Raises:
        ValueError: the text is none.
    """
    counts: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(char)
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value |= -1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("cut short")
    return counts
