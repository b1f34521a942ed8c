"""The cells of a detector: where they are, which boxes are of their level, and what its maps say at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mirada.learning.backbones import STRIDES

SIZE_RANGES = ((0.0, 80.0), (48.0, 176.0), (112.0, 1e8))  # longer side in pixels, a level; overlapping on purpose
ANY_SIZE = (0.0, 1e8)


def size_ranges(levels: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """The shortest and longest side of the boxes of each level; one that is alone takes boxes of every size."""
    return SIZE_RANGES if len(levels) > 1 else (ANY_SIZE,)


def cell_centres(input_size: int, levels: Sequence[int] = STRIDES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (P, 2) in pixels, strides (P,) and size ranges (P, 2) of all cells, level by level, row by row.

    Args:
        input_size: side of the input in pixels.
        levels: strides.
    """
    points, strides, ranges = [], [], []
    for stride, size_range in zip(levels, size_ranges(levels), strict=True):
        side = input_size // stride
        y, x = np.mgrid[:side, :side]
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(side * side, stride))
        ranges.append(np.tile(size_range, (side * side, 1)))
    return tuple(np.concatenate(part).astype(np.float32) for part in (points, strides, ranges))  # type: ignore[return-value]


def flatten_outputs(outputs: Mapping[str, tf.Tensor], part: str, levels: Sequence[int]) -> tf.Tensor:
    """One part of a detector's outputs, all levels, as (B, P, channels) in the order of `cell_centres`."""
    maps = [outputs[f"{part}_{stride}"] for stride in levels]
    return tf.concat([tf.reshape(m, (tf.shape(m)[0], -1, m.shape[-1])) for m in maps], 1)


def read_cells(
    outputs: Mapping[str, tf.Tensor], points: tf.Tensor, strides: tf.Tensor, levels: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """What each cell says, in the order of `cell_centres`: objectness logits (B, P) and boxes (B, P, 4) in pixels."""
    distances = tf.nn.softplus(flatten_outputs(outputs, "distances", levels)) * strides[None, :, None]
    boxes = tf.concat([points - distances[..., :2], points + distances[..., 2:]], -1)
    return flatten_outputs(outputs, "objectness", levels)[..., 0], boxes
