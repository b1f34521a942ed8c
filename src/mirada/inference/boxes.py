"""Boxes as arrays: formats, overlap, clipping and non-maximum suppression.

A box is (x1, y1, x2, y2) in pixels, x2 and y2 exclusive, so its width is x2 - x1.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 128  # boxes that NMS compares at a time
_WORSE = np.triu(np.ones((_BLOCK, _BLOCK), bool), 1)  # row i: the boxes after box i


def xyxy_to_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N, 4) corners as (x1, y1, width, height), the format of COCO."""
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes_xywh: np.ndarray) -> np.ndarray:
    """(N, 4) of (x1, y1, width, height) as corners."""
    boxes = np.asarray(boxes_xywh).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def box_areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N,) areas in square pixels; 0 for a box whose corners are swapped."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def clip_boxes(boxes_xyxy: np.ndarray, width: float, height: float) -> np.ndarray:
    """The boxes cut to an image of `width` by `height` pixels."""
    limits = np.array([width, height, width, height], boxes_xyxy.dtype)
    return np.clip(boxes_xyxy, 0, limits)


def intersections(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) shared areas in square pixels of each of N boxes with each of M."""
    width = np.minimum(a_xyxy[:, None, 2], b_xyxy[None, :, 2]) - np.maximum(a_xyxy[:, None, 0], b_xyxy[None, :, 0])
    height = np.minimum(a_xyxy[:, None, 3], b_xyxy[None, :, 3]) - np.maximum(a_xyxy[:, None, 1], b_xyxy[None, :, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union, 0..1; two boxes without area have 0."""
    shared = intersections(a_xyxy, b_xyxy)
    union = box_areas(a_xyxy)[:, None] + box_areas(b_xyxy)[None, :] - shared
    return shared / np.where(union > 0, union, 1)


def pair_ious(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of each of N boxes with its fellow of the other N."""
    sides = np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:]) - np.maximum(a_xyxy[:, :2], b_xyxy[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    shared = np.where(box_areas(a_xyxy) > 0, shared, 0)  # swapped corners hold nothing
    union = box_areas(a_xyxy) + box_areas(b_xyxy) - shared
    return shared / np.where(union > 0, union, 1)


def coverage_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) share of each of the N boxes that lies inside each of the M: COCO's overlap with an ignore region."""
    areas = box_areas(a_xyxy)[:, None]
    return intersections(a_xyxy, b_xyxy) / np.where(areas > 0, areas, 1)


def suppress(
    boxes_xyxy: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_iou: float, max_boxes: int
) -> np.ndarray:
    """Greedy class-aware non-maximum suppression.

    Args:
        boxes_xyxy: (N, 4) corners in pixels.
        scores: (N,).
        labels: (N,); a box suppresses only boxes of its own label.
        max_iou: a box that overlaps a better one by more than this goes.
        max_boxes: how many to keep.

    Returns:
        Indices of the boxes kept, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, labels = boxes_xyxy[order], labels[order]
    floating = boxes.astype(np.result_type(boxes, np.float32), copy=False)
    columns = np.ascontiguousarray(np.concatenate([floating, box_areas(floating)[:, None]], axis=1).T)
    several = bool(len(labels)) and bool((labels != labels[0]).any())
    kept = np.zeros(0, np.int64)

    def rivals(better: np.ndarray, worse: np.ndarray) -> np.ndarray:
        overlaps = _overlaps(columns[:, better, None], columns[:, worse], max_iou)
        return overlaps & (labels[better][:, None] == labels[worse]) if several else overlaps

    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        if len(kept):
            block = block[~rivals(kept, block).any(axis=0)]
        beaten = rivals(block, block) & _WORSE[: len(block), : len(block)]
        alive = np.ones(len(block), bool)
        for i in np.flatnonzero(beaten.any(axis=1)):
            if alive[i]:
                alive &= ~beaten[i]
        kept = np.concatenate([kept, block[alive]])
        if len(kept) >= max_boxes:
            break
    return order[kept[:max_boxes]]


def _overlaps(better: np.ndarray, worse: np.ndarray, max_iou: float) -> np.ndarray:
    """(N, M) whether `iou_matrix` exceeds `max_iou`, each step in place: most of a detection's decoding is spent here.

    Args:
        better: (5, N, 1) corners and area.
        worse: (5, M), likewise.
        max_iou: at least 0.
    """
    shared = np.minimum(better[2], worse[2])
    shared -= np.maximum(better[0], worse[0])
    np.maximum(shared, 0, out=shared)
    height = np.minimum(better[3], worse[3])
    height -= np.maximum(better[1], worse[1])
    np.maximum(height, 0, out=height)
    shared *= height
    union = better[4] + worse[4]
    union -= shared
    with np.errstate(invalid="ignore"):  # two boxes without area: 0 / 0, which exceeds nothing
        shared /= union
    return shared > max_iou
