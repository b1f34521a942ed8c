"""What a network gives out: floats, or the codes of a quantized model, of which there are so few that tables do their sums.

An int8 map has 256 values. A function of all of them is computed once and then looked up, for the cells that matter; the
results are those of the function on the dequantized map, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


class Quantized(NamedTuple):
    """A quantized output: its values are (codes - zero_point) * scale.

    Attributes:
        codes: (1, ...) int8, or another integer.
        scale, zero_point: of the whole output.
    """

    codes: np.ndarray
    scale: float
    zero_point: int


Output = np.ndarray | Quantized
Outputs = Mapping[str, Output]


def to_floats(output: Output) -> np.ndarray:
    """An output's values, float32 where it is quantized."""
    if isinstance(output, np.ndarray):
        return output
    return (output.codes.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)


def flatten(outputs: Outputs, names: list[str]) -> np.ndarray:
    """The maps of all levels as (cells, channels), level by level, row by row."""
    maps = [to_floats(outputs[name]) for name in names]
    return np.concatenate([values.reshape(-1, values.shape[-1]) for values in maps])


def at_cells(outputs: Outputs, names: list[str], cells: np.ndarray, function: Function) -> np.ndarray:
    """(N, channels) a function of the values at some cells.

    Args:
        outputs: name -> (1, H, W, channels).
        names: of the maps, one a level.
        cells: (N,) indices, in the order of `flatten`.
        function: of each value by itself; one of a module, as its tables are kept.
    """
    levels = [outputs[name] for name in names]
    quantized = [level for level in levels if isinstance(level, Quantized) and level.codes.dtype == np.int8]
    if len(quantized) < len(levels):
        return function(flatten(outputs, names)[cells])
    codes = np.concatenate([level.codes.reshape(-1, level.codes.shape[-1]) for level in quantized])
    rows = _first_entries(tuple(level.codes.size // codes.shape[1] for level in quantized))
    table = _table(function, tuple((level.scale, level.zero_point) for level in quantized))
    return table.take(codes.take(cells, axis=0) + rows.take(cells)[:, None])


@lru_cache(maxsize=64)
def _table(function: Function, levels: tuple[tuple[float, int], ...]) -> np.ndarray:
    """The function's values at the codes -128 to 127 of each level, one after the other."""
    codes = np.arange(-128, 128).astype(np.int8)
    return np.concatenate([function(to_floats(Quantized(codes, *level))) for level in levels])


@lru_cache(maxsize=64)
def _first_entries(sizes: tuple[int, ...]) -> np.ndarray:
    """(cells,) where the code 0 of each cell's level stands in `_table`, by the number of the levels' cells."""
    return np.repeat(256 * np.arange(len(sizes)) + 128, sizes)
