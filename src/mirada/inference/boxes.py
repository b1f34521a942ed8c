"""Boxes as arrays: formats, overlap, clipping and non-maximum suppression.

A box is (x1, y1, x2, y2) in pixels, x2 and y2 exclusive, so its width is x2 - x1.
"""

from __future__ import annotations

import numpy as np

_HEAD = 64  # boxes of which suppression settles at a time who stays, before these beat all others
_NO_AREA = 1e-30  # square pixels, in the place of 0: two boxes without area are not to be divided by nothing


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
        max_iou: a box that overlaps a better one by more than this goes; at least 0.
        max_boxes: how many to keep.

    Returns:
        Indices of the boxes kept, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    columns, labels, places = overlap_columns(boxes_xyxy[order]), labels[order], np.arange(len(order))
    several = bool(len(labels)) and bool((labels != labels[0]).any())
    kept: list[int] = []

    def rivals(better: list[int] | slice, worse: slice) -> np.ndarray:
        overlap = overlap_more(columns[:, better, None], columns[:, None, worse], max_iou)
        return overlap & (labels[better, None] == labels[worse]) if several else overlap

    head, tail = slice(_HEAD), slice(_HEAD, None)
    while len(places) and len(kept) < max_boxes:
        best = _greedy(rivals(head, head))
        kept += places[best].tolist()
        if len(kept) >= max_boxes or len(places) <= _HEAD:
            break
        free = _HEAD + np.flatnonzero(~rivals(best, tail).any(axis=0))
        columns, labels, places = columns.take(free, axis=1), labels[free], places[free]
    return order[kept[:max_boxes]]


def _greedy(rivals: np.ndarray) -> list[int]:
    """Of N boxes, best first, those that no better one of them beats; row i of (N, N) bool: whom box i would beat.

    The rows become numbers of N bits, so that a box beats all others in one operation: there are many short rows.
    """
    rows = np.packbits(rivals, axis=1, bitorder="little")
    content, width = rows.tobytes(), rows.shape[1]
    alive, kept = (1 << len(rivals)) - 1, []
    while alive:
        lowest = alive & -alive
        best = lowest.bit_length() - 1
        kept.append(best)
        alive &= ~(lowest | int.from_bytes(content[best * width : (best + 1) * width], "little"))
    return kept


def overlap_columns(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(5, N) floats, what `overlap_more` takes: x1, y1, x2, y2 and the area."""
    columns = np.empty((5, len(boxes_xyxy)), np.result_type(boxes_xyxy, np.float32))
    columns[:4] = boxes_xyxy.T
    sides = np.maximum(columns[2:4] - columns[:2], 0)
    np.multiply(sides[0], sides[1], out=columns[4])
    np.maximum(columns[4], _NO_AREA, out=columns[4])
    return columns


def overlap_more(better: np.ndarray, worse: np.ndarray, max_iou: float) -> np.ndarray:
    """Whether the intersection over union of boxes, as `iou_matrix` has it, exceeds `max_iou`.

    Each step in place: most of a detection's decoding is spent here.

    Args:
        better: (5, ...) as `overlap_columns` gives them, of any shape that broadcasts with `worse`.
        worse: (5, ...), likewise.
        max_iou: at least 0.
    """
    shared = np.minimum(better[2], worse[2])
    spare = np.maximum(better[0], worse[0])
    shared -= spare
    np.maximum(shared, 0, out=shared)
    height = np.minimum(better[3], worse[3])
    np.maximum(better[1], worse[1], out=spare)
    height -= spare
    shared *= height  # below 0 where they are apart from top to bottom: that exceeds nothing
    np.add(better[4], worse[4], out=spare)
    spare -= shared
    shared /= spare
    return shared > max_iou
