"""One box an object, where many tiles found it: suppression that takes time and memory in step with the number of boxes."""

from __future__ import annotations

import numpy as np

from mirada.inference.boxes import box_areas, intersections

_CELL_BOXES = 256  # that a cell of the plane should hold at most
_NONE = np.zeros(0, np.int64)


def suppress_wide(boxes_xyxy: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_iou: float) -> np.ndarray:
    """Greedy class-aware suppression over a whole photograph; the boxes that `boxes.suppress` keeps without a limit.

    Args:
        boxes_xyxy: (N, 4) corners in pixels.
        scores: (N,).
        labels: (N,); a box suppresses only boxes of its own label.
        max_iou: a box that overlaps a better one by more than this goes.

    Returns:
        Indices of the boxes kept, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    better, worse = _rivals(boxes_xyxy[order], labels[order], max_iou)
    alive = np.ones(len(order), bool)
    starts = np.flatnonzero(np.diff(better, prepend=-1))
    for start, end in zip(starts, np.append(starts, len(better))[1:], strict=True):
        if alive[better[start]]:
            alive[worse[start:end]] = False
    return order[alive]


def _rivals(boxes: np.ndarray, labels: np.ndarray, max_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices i < j of all boxes of one label that overlap too much, sorted by i.

    The plane is cut into cells at least as large as the largest box, so a box meets those of its own and the next cells
    only.
    """
    if len(boxes) < 2:
        return _NONE, _NONE
    corner, sides = boxes[:, :2].min(axis=0), boxes[:, 2:] - boxes[:, :2]
    spread = float((boxes[:, :2] - corner).max())
    side = max(float(sides.max()), spread / np.sqrt(max(1.0, len(boxes) / _CELL_BOXES)), 1e-6)
    places = np.floor((boxes[:, :2] - corner) / side).astype(np.int64)
    columns = int(places[:, 0].max()) + 2  # the last one stays empty, so that no row runs into the next
    keys = places[:, 1] * columns + places[:, 0]
    order = np.argsort(keys, kind="stable")
    cells, starts = np.unique(keys[order], return_index=True)
    members = dict(zip(cells.tolist(), np.split(order, starts[1:]), strict=True))
    pairs = []
    for cell, own in members.items():
        # Its own boxes, and those to the right and below: each two cells meet once.
        near = [members.get(cell + step, _NONE) for step in (1, columns - 1, columns, columns + 1)]
        pairs.append(_pairs(own, np.concatenate([own, *near]), boxes, labels, max_iou))
    found = np.unique(np.concatenate(pairs), axis=0)
    return found[:, 0], found[:, 1]


def _pairs(a: np.ndarray, b: np.ndarray, boxes: np.ndarray, labels: np.ndarray, max_iou: float) -> np.ndarray:
    """(P, 2) indices of those of `a` and `b` that overlap too much, the smaller first."""
    first, second = boxes[a], boxes[b]
    shared = intersections(first, second)
    union = box_areas(first)[:, None] + box_areas(second)[None, :] - shared
    rows, columns = np.nonzero((shared > max_iou * union) & (labels[a][:, None] == labels[b]))
    pairs = np.sort(np.stack([a[rows], b[columns]], axis=1), axis=1)
    return pairs[pairs[:, 0] < pairs[:, 1]]
