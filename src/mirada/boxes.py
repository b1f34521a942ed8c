"""Boxes as arrays: formats, overlap, clipping and non-maximum suppression.

A box is (x1, y1, x2, y2) in pixels, x2 and y2 exclusive, so its width is x2 - x1.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 128  # boxes that NMS compares at a time


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
    kept: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        if kept:
            rivals = _rivals(boxes, labels, np.array(kept), block, max_iou)
            block = block[~rivals.any(axis=0)]
        rivals = _rivals(boxes, labels, block, block, max_iou)
        alive = np.ones(len(block), bool)
        for i in range(len(block)):
            if alive[i]:
                kept.append(int(block[i]))
                if len(kept) == max_boxes:
                    return order[kept]
                alive &= ~rivals[i]  # also clears i itself and boxes before it, which are settled
    return order[np.array(kept, np.int64)]


def _rivals(boxes: np.ndarray, labels: np.ndarray, better: np.ndarray, worse: np.ndarray, max_iou: float) -> np.ndarray:
    overlaps = iou_matrix(boxes[better], boxes[worse]) > max_iou
    return overlaps & (labels[better][:, None] == labels[worse][None, :])
