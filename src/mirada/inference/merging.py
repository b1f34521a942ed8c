"""One box an object, where many tiles found it: suppression that takes time and memory in step with the number of boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mirada.inference.boxes import overlap_columns, overlap_more

_PAIRS = 2**14  # that are compared at a time: what they need stays in the processor's cache
_FINEST = 2**20  # cells across the plane at most


def suppress_wide(boxes_xyxy: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_iou: float) -> np.ndarray:
    """Greedy class-aware suppression over a whole photograph; the boxes that `boxes.suppress` keeps without a limit.

    Args:
        boxes_xyxy: (N, 4) corners in pixels.
        scores: (N,).
        labels: (N,); a box suppresses only boxes of its own label.
        max_iou: a box that overlaps a better one by more than this goes; at least 0.

    Returns:
        Indices of the boxes kept, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    better, worse = _rivals(boxes_xyxy[order], labels[order], max_iou)
    alive = np.ones(len(order), bool)
    starts = np.flatnonzero(np.diff(better, prepend=-1))
    ends = np.append(starts, len(better))[1:]
    for box, start, end in zip(better[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
        if alive[box]:
            alive[worse[start:end]] = False
    return order[alive]


def _rivals(boxes: np.ndarray, labels: np.ndarray, max_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices i < j of all boxes of one label that overlap too much, sorted by i."""
    order, pairs = _neighbours(boxes, max_iou)
    columns, labels = overlap_columns(boxes[order]), labels[order]
    several = bool(len(labels)) and bool((labels != labels[0]).any())
    found = [np.zeros((2, 0), np.int64)]
    for a, b in pairs:
        overlap = overlap_more(columns[:, a], columns[:, b], max_iou)
        if several:
            overlap &= labels[a] == labels[b]
        chosen = np.flatnonzero(overlap)
        found.append(order[np.stack([a[chosen], b[chosen]])])
    rivals = np.concatenate(found, axis=1)
    better, worse = rivals.min(axis=0), rivals.max(axis=0)
    sequence = np.argsort(better, kind="stable")
    return better[sequence], worse[sequence]


def _neighbours(boxes: np.ndarray, max_iou: float) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """An order of the boxes, and pairs of places in it: each two boxes that may overlap too much, once.

    An IoU above m needs centres that are less apart, across and down, than 1 - m of the larger side. The plane is cut into
    cells as large as that of the largest side, so a box meets those of its own and the next cells only. In the order of the
    cells, row by row, these are two stretches: the rest of its own and the next cell, and the three below.
    """
    centres = (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2
    if not len(boxes) or max_iou >= 1:
        return np.arange(len(boxes)), iter(())
    centres -= centres.min(axis=0)
    reach = 1.001 * (1 - max_iou) * float((boxes[:, 2:] - boxes[:, :2]).max())  # a bit more, for the rounding
    places = (centres / max(reach, float(centres.max()) / _FINEST, 1e-6)).astype(np.int64) + 1
    row = int(places[:, 0].max()) + 2  # its first and last cell stay empty, so that no row runs into the next
    cells = places[:, 1] * row + places[:, 0]
    order = np.argsort(cells, kind="stable")
    cells, own = cells[order], np.arange(len(order))
    starts = np.concatenate([own + 1, np.searchsorted(cells, cells + row - 1)])
    ends = np.searchsorted(cells, np.concatenate([cells + 1, cells + row + 1]), side="right")
    return order, _expand(np.concatenate([own, own]), starts, ends - starts)


def _expand(boxes: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each of `boxes` with the `counts` places from its own of `starts` on, some `_PAIRS` pairs at a time."""
    totals = np.cumsum(counts)
    cuts = np.searchsorted(totals, np.arange(_PAIRS, int(totals[-1]), _PAIRS)) + 1
    for part in np.split(np.arange(len(boxes)), np.unique(cuts)):
        times = counts[part]
        shift = starts[part] - (np.cumsum(times) - times)
        second = np.arange(int(times.sum())) + np.repeat(shift, times)
        yield np.repeat(boxes[part], times), second
