"""Tiles of big images: where they lie, and which boxes they hold.

Tiles for training overlap. Tiles of val and test don't: the region is cut into equal cells, so each of its pixels, and
each object away from a cell's border, is judged exactly once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mirada.data.records import Box

_Corners = tuple[float, float, float, float]
_SAID = {None: -1, False: 0, True: 1}  # as `Example.hidden` has a flag of a box


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of an image in pixels, x2 and y2 exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        """In pixels."""
        return self.y2 - self.y1


def grid(region: Region, size: int, overlap: float | None) -> list[Region]:
    """Cover a region with tiles, row by row; none leaves it.

    Args:
        region: what to cover.
        size: side of a tile in pixels; along a side of the region shorter than that, tiles are as long as the region.
        overlap: share of `size` by which neighbours overlap; the last tile is shifted back to end at the border.
            None: equal cells of at most `size`, which don't overlap at all.
    """
    spans = _cells if overlap is None else lambda start, end, size: _strides(start, end, size, overlap)
    columns = spans(region.x1, region.x2, size)
    rows = spans(region.y1, region.y2, size)
    return [Region(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]


def _strides(start: int, end: int, size: int, overlap: float) -> list[tuple[int, int]]:
    if end - start <= size:
        return [(start, end)]
    step = max(1, round(size * (1 - overlap)))
    starts = [*range(start, end - size, step), end - size]
    return [(at, at + size) for at in starts]


def _cells(start: int, end: int, size: int) -> list[tuple[int, int]]:
    count = max(1, math.ceil((end - start) / size))
    borders = [start + (end - start) * number // count for number in range(count + 1)]
    return list(zip(borders[:-1], borders[1:], strict=True))


def _clipped(region: Region, box: Box) -> _Corners | None:
    """The part of a box that a region shows; None where it shows nothing of it."""
    x1, y1 = max(box.x1, region.x1), max(box.y1, region.y1)
    x2, y2 = min(box.x2, region.x2), min(box.y2, region.y2)
    return None if x1 >= x2 or y1 >= y2 else (x1, y1, x2, y2)


def hidden_in(region: Region, boxes: Sequence[Box], names: Iterable[str]) -> dict[str, np.ndarray]:
    """`Example.hidden` of the boxes that a region shows, in the order of `boxes_in`.

    It is what the annotation says of the whole object; that the region cuts one off does not count.
    """
    shown = [box for box in boxes if _clipped(region, box)]
    return {name: np.array([_SAID[getattr(box, name)] for box in shown], np.int8) for name in names}


def boxes_in(region: Region, boxes: Sequence[Box], min_visible: float) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The boxes of an image that a region shows, clipped to it.

    Args:
        region: the part of the image.
        boxes: of the whole image.
        min_visible: a box of which a smaller share of its area is inside is to be ignored.

    Returns:
        (N, 4) float32 corners in pixels of the whole image, N labels, and (N,) bool: boxes to ignore, which are the
        difficult ones and those too little visible.
    """
    kept: list[_Corners] = []
    labels: list[str] = []
    ignore: list[bool] = []
    for box in boxes:
        inside = _clipped(region, box)
        if inside is None:
            continue
        x1, y1, x2, y2 = inside
        visible = (x2 - x1) * (y2 - y1) / ((box.x2 - box.x1) * (box.y2 - box.y1))
        kept.append(inside)
        labels.append(box.label)
        ignore.append(box.difficult or visible < min_visible)
    return np.array(kept, np.float32).reshape(-1, 4), labels, np.array(ignore, bool)
