"""Who lives when: the tensors of an inference over its operators, and where they take the most memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirada.boards.network import Network

_ALIGNMENT = 16  # TensorFlow Lite Micro's, of every tensor


@dataclass(frozen=True)
class Life:
    """A tensor's.

    Attributes:
        name: as the file has it. size_bytes: aligned.
        first, last: operators between which, both included, its memory is its own.
    """

    name: str
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Memory:
    """The plan.

    Attributes:
        kinds: of the operators, in the order of computation.
        lives: of the tensors, in the order of their birth.
        used_bytes: (O,) that live while each operator works.
    """

    kinds: tuple[str, ...]
    lives: tuple[Life, ...]
    used_bytes: np.ndarray

    @property
    def peak_bytes(self) -> int:
        """The most that lives at once, below which no arena can be."""
        return int(self.used_bytes.max(initial=0))

    @property
    def peak(self) -> tuple[int, int]:
        """The first operator at the peak, and the last of those that follow it there without a gap."""
        first = int(self.used_bytes.argmax()) if len(self.used_bytes) else 0
        last = first
        while last + 1 < len(self.used_bytes) and self.used_bytes[last + 1] == self.peak_bytes:
            last += 1
        return first, last

    def record(self) -> dict[str, Any]:
        """All of it for JSON; `read_memory` reads it."""
        lives = [[life.name, life.size_bytes, life.first, life.last] for life in self.lives]
        return {"kinds": list(self.kinds), "lives": lives}

    def living(self, operator: int) -> list[Life]:
        """What lives while an operator works, the largest first."""
        found = [life for life in self.lives if life.first <= operator <= life.last]
        return sorted(found, key=lambda life: -life.size_bytes)


def read_memory(content: Mapping[str, Any]) -> Memory:
    """What `Memory.record` gave.

    Raises:
        KeyError, TypeError, ValueError: it is not that.
    """
    kinds = tuple(str(kind) for kind in content["kinds"])
    lives = tuple(Life(str(name), int(size), int(first), int(last)) for name, size, first, last in content["lives"])
    return Memory(kinds, lives, _used(lives, len(kinds)))


def plan_memory(network: Network) -> Memory:
    """From the file's own tables: a tensor lives from the operator that makes it to the last that reads it.

    Inputs live from the first operator on, outputs to the last, as in TensorFlow Lite Micro.
    """
    end = len(network.operators) - 1
    first = dict.fromkeys(network.inputs, 0)
    last = dict.fromkeys(network.inputs, 0)
    for place, operator in enumerate(network.operators):
        for index in operator.outputs:
            first.setdefault(index, place)
        for index in (*operator.inputs, *operator.outputs):
            last[index] = place
    last |= {index: end for index in network.outputs if index in last}
    lives = [
        Life(tensor.name, -(-tensor.size_bytes // _ALIGNMENT) * _ALIGNMENT, first[index], last[index])
        for index, tensor in network.tensors.items()
        if index in first
    ]
    lives.sort(key=lambda life: (life.first, -life.size_bytes))
    kinds = tuple(operator.kind for operator in network.operators)
    return Memory(kinds, tuple(lives), _used(lives, len(kinds)))


def _used(lives: Sequence[Life], operators: int) -> np.ndarray:
    used = np.zeros(operators, np.int64)
    for life in lives:
        used[life.first : life.last + 1] += life.size_bytes
    return used
