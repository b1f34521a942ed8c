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


ROTATED = {"enclose": "rotated_box_enclosed", "upright": "rotated_box_upright"}
"""What is made of a rotated box (`data.rotated`) -> the code under which that is counted."""


def enclose_rotated(
    cx: float, cy: float, width: float, height: float, angle: float, rotated: str = "enclose"
) -> Corners:
    """The box for a rectangle turned about its centre.

    Args:
        cx, cy: its centre.
        width, height: its sides.
        angle: in radians.
        rotated: 'enclose' gives the box around it; 'upright' turns it about its centre to the nearest upright position.
    """
    if rotated == "upright":
        angle = round(angle / (math.pi / 2)) * (math.pi / 2)
    half_x = (abs(width * math.cos(angle)) + abs(height * math.sin(angle))) / 2
    half_y = (abs(width * math.sin(angle)) + abs(height * math.cos(angle))) / 2
    return cx - half_x, cy - half_y, cx + half_x, cy + half_y


def enclose_quad(points: Sequence[tuple[float, float]], rotated: str = "enclose") -> Corners | None:
    """The box for a rectangle given by its four corners in their order; None where one is no number.

    Args:
        points: the corners.
        rotated: as of `enclose_rotated`.
    """
    around = enclose(points)
    if around is None or rotated != "upright":
        return around
    (x0, y0), (x1, y1), (x2, y2) = points[:3]
    cx, cy = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    width, height = math.dist((x0, y0), (x1, y1)), math.dist((x1, y1), (x2, y2))
    return enclose_rotated(cx, cy, width, height, math.atan2(y1 - y0, x1 - x0), rotated)


def enclose_ellipse(cx: float, cy: float, rx: float, ry: float, angle: float) -> Corners:
    """The box around an ellipse of two radii, turned by an angle in radians."""
    half_x = math.hypot(rx * math.cos(angle), ry * math.sin(angle))
    half_y = math.hypot(rx * math.sin(angle), ry * math.cos(angle))
    return cx - half_x, cy - half_y, cx + half_x, cy + half_y


def in_shares(corners: Corners | None, size: tuple[int, int]) -> Corners | None:
    """Corners in pixels as shares of an image's width and height; None for none, or where one is no number."""
    if corners is None or not all(map(math.isfinite, corners)) or min(size) < 1:
        return None
    return corners[0] / size[0], corners[1] / size[1], corners[2] / size[0], corners[3] / size[1]


def enclose_runs(counts: Sequence[int], height: int, width: int, *, by_rows: bool = False) -> Corners | None:
    """The box around a mask given as runs, the first of background: column by column, as COCO's, or row by row.

    Returns:
        Corners in pixels, x2 and y2 exclusive; None for runs that don't fill the image, or an empty mask.
    """
    if by_rows:
        turned = enclose_runs(counts, width, height)
        return turned and (turned[1], turned[0], turned[3], turned[2])
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
