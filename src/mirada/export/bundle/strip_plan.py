"""Which layers of a network are computed in strips, and in how many: what leaves the least memory.

Between two places where a single map goes on, what lives at once hangs on the layers between them alone. So each run of
layers is tried in each number of strips once, and of all chains of runs the one is taken whose highest peak and whose
tables, of which every strip has its own, come to the fewest bytes; or to hardly more, where fewer strips do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from mirada.export.bundle.strips import MOST_STRIPS, Cut, Strips, find_cuts, rows_of, split_rows, split_tables
from mirada.inference.tflite_file import OPERATORS, code_of, read_tables

_TABLES = {"CONV_2D": 202, "DEPTHWISE_CONV_2D": 202, "SLICE": 89}
"""Bytes of TensorFlow Lite Micro's tables, on 64 bits, for one more operator and its tensor: fitted to 90 files, whole and
in strips, of which none takes 340 bytes more or less."""
_OTHERS = 146
_ALIGNMENT = 16  # of every tensor
_SLACK = 1.01  # so much more memory is taken for fewer strips, as each computes some rows again
_PER_CHANNEL = 8  # that a convolution gives
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def lower_peak(content: bytes, most_strips: int = MOST_STRIPS) -> bytes:
    """The file itself, or the same network with layers in strips where that takes less memory.

    Args:
        content: a `.tflite` whose input is int8.
        most_strips: more are not tried; each computes some rows again.
    """
    tables = read_tables(content)
    plan = _plan(tables, most_strips)
    return split_rows(content, plan) if plan else content


@dataclass(frozen=True)
class _Run:
    """A way to compute the operators between two of the cuts.

    Attributes:
        start, end: places of the cuts. peak: bytes that live at once. tables: bytes more than whole.
        strips: None where it is whole.
    """

    start: int
    end: int
    peak: int
    tables: int = 0
    strips: Strips | None = None


def _plan(tables: Any, most_strips: int) -> Sequence[Strips]:
    cuts = _narrow(tables, find_cuts(tables))
    runs = sorted(_runs(tables, cuts, most_strips), key=lambda run: run.end)
    if not runs:
        return []
    levels = _levels(tables)
    rest = int(levels[cuts[-1].operators :].max(initial=0))
    plans: dict[tuple[Strips, ...], int] = {(): 0}
    for bound in sorted({max(run.peak, rest) for run in runs if run.peak <= levels.max()}):
        chain = _cheapest(len(cuts), [run for run in runs if run.peak <= bound])
        if chain is not None and tuple(chain[1]) not in plans:
            plans[tuple(chain[1])] = chain[0]
    costs = {plan: planned_bytes(split := split_tables(tables, plan)) + _tables_size(split) for plan in plans}
    fewest = _SLACK * min(costs.values())
    return min((plan for plan, cost in costs.items() if cost <= fewest), key=lambda plan: plans[plan])


def _cheapest(cuts: int, runs: Sequence[_Run]) -> tuple[int, list[Strips]] | None:
    """The chain of runs from the first cut to the last with the fewest bytes of tables, and these; None: there is none."""
    best: list[tuple[int, list[Strips]] | None] = [(0, []), *[None] * (cuts - 1)]
    for run in runs:  # by their end: all that lead to a run's start were looked at
        before, known = best[run.start], best[run.end]
        if before is not None and (known is None or before[0] + run.tables < known[0]):
            best[run.end] = before[0] + run.tables, [*before[1], *([run.strips] if run.strips else [])]
    return best[-1]


def _runs(tables: Any, cuts: Sequence[Cut], most_strips: int) -> list[_Run]:
    levels, whole = _levels(tables), _tables_size(tables)
    places = pairwise(enumerate(cuts))
    runs = [_Run(a, b, int(levels[one.operators : two.operators].max())) for (a, one), (b, two) in places]
    for (a, one), (b, two) in combinations(enumerate(cuts), 2):
        for count in range(2, min(most_strips, rows_of(tables, two.tensor) // 2) + 1):
            strips = Strips(one, two, count)
            split = split_tables(tables, [strips])
            rest = len(tables.subgraphs[0].operators) - two.operators
            peak = int(_levels(split)[one.operators : len(split.subgraphs[0].operators) - rest].max())
            runs.append(_Run(a, b, peak, _tables_size(split) - whole, strips))
    return runs


def _narrow(tables: Any, cuts: Sequence[Cut]) -> list[Cut]:
    """Cuts whose map is no larger than those of the cuts beside it: strips that begin or end in a wide map gain little."""
    sizes = [_size(tables.subgraphs[0].tensors[cut.tensor]) for cut in cuts]
    before, after = [math.inf, *sizes[:-1]], [*sizes[1:], math.inf]
    return [cut for cut, a, size, b in zip(cuts, before, sizes, after, strict=True) if size <= min(a, b)]


def _size(tensor: Any) -> int:
    return math.prod(int(side) for side in tensor.shape)


@dataclass(frozen=True)
class _Life:
    """A tensor's size, aligned, and the first and last operator that it lives for."""

    size: int
    first: int
    last: int


def _lives(tables: Any) -> list[_Life]:
    graph = tables.subgraphs[0]
    made = {int(index): 0 for index in graph.inputs}
    made |= {int(index): number for number, one in enumerate(graph.operators) for index in one.outputs}
    last = {int(index): number for number, one in enumerate(graph.operators) for index in one.inputs}
    last |= dict.fromkeys(map(int, graph.outputs), len(graph.operators) - 1)
    sizes = {index: -(-_size(graph.tensors[index]) // _ALIGNMENT) * _ALIGNMENT for index in made}
    return [_Life(sizes[index], number, last.get(index, number)) for index, number in made.items()]


def _levels(tables: Any) -> np.ndarray:
    """The bytes that live during each operator."""
    steps = np.zeros(len(tables.subgraphs[0].operators) + 1, np.int64)
    for life in _lives(tables):
        steps[life.first] += life.size
        steps[life.last + 1] -= life.size
    return np.cumsum(steps[:-1])


def planned_bytes(tables: Any) -> int:
    """What TensorFlow Lite Micro's planner needs for all tensors: the largest first, each in the lowest gap that is free."""
    placed: list[tuple[int, _Life]] = []
    for life in sorted(_lives(tables), key=lambda life: -life.size):
        beside = [(at, at + one.size) for at, one in placed if one.first <= life.last and life.first <= one.last]
        offset = 0
        for start, end in sorted(beside):
            if start - offset >= life.size:
                break
            offset = max(offset, end)
        placed.append((offset, life))
    return max(offset + life.size for offset, life in placed)


def _tables_size(tables: Any) -> int:
    """Bytes of an interpreter's tables, more or less."""
    kinds = [OPERATORS.get(code_of(entry), "") for entry in tables.operatorCodes]
    graph, size = tables.subgraphs[0], 0
    for operator in graph.operators:
        kind = kinds[operator.opcodeIndex]
        size += _TABLES.get(kind, _OTHERS)
        if kind in _CONVOLUTIONS:
            size += _PER_CHANNEL * int(graph.tensors[int(operator.outputs[0])].shape[-1])
    return size
