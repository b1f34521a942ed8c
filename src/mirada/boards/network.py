"""A `.tflite` as memory and work: which tensors its operators make and read, how large they are, what the weights take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mirada.inference.tflite_file import ITEM_BYTES, TYPES, list_operators

DENSE = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")  # a weight for each pair of an input's and an output's channel
DEPTHWISE = "DEPTHWISE_CONV_2D"


@dataclass(frozen=True)
class Tensor:
    """What an operator makes, or the network is given.

    Attributes:
        name: as the file has it. shape: with the batch. item_bytes: of a value.
    """

    name: str
    shape: tuple[int, ...]
    item_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of all values."""
        return self.item_bytes * int(np.prod(self.shape))

    @property
    def places(self) -> int:
        """Height by width of a map, else 1."""
        return self.shape[1] * self.shape[2] if len(self.shape) == 4 else 1

    @property
    def channels(self) -> int:
        """Of each place."""
        return self.shape[-1] if self.shape else 1


@dataclass(frozen=True)
class Operator:
    """A step of the computation.

    Attributes:
        kind: 'CONV_2D' and the like. inputs, outputs: indices of tensors that are computed or given, no constants.
        kernel: numbers in its kernel; 0 of an operator without one. weight_bytes: of all its constants.
        constants: their indices; operators with the same ones, as those of two strips of a map, share them.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: float
    weight_bytes: float
    constants: tuple[int, ...] = ()


@dataclass(frozen=True)
class Network:
    """What memory is planned for.

    Attributes:
        tensors: index -> those that are computed or given. operators: in the order of computation.
        inputs, outputs: indices.
    """

    tensors: dict[int, Tensor]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def input_size(self) -> int:
        """The side of the first input, 1 where it is no picture."""
        shape = self.tensors[self.inputs[0]].shape
        return shape[1] if len(shape) == 4 else 1

    def macs_of(self, operator: Operator) -> float:
        """Its multiplications."""
        return operator.kernel * self.tensors[operator.outputs[0]].places if operator.kernel else 0.0

    @property
    def macs(self) -> float:
        """Multiplications of an inference."""
        return sum(map(self.macs_of, self.operators))

    @property
    def weight_bytes(self) -> float:
        """Of all constants; what operators share is there once."""
        shared = {operator.constants: operator.weight_bytes for operator in self.operators if operator.constants}
        return sum(shared.values()) + sum(one.weight_bytes for one in self.operators if not one.constants)

    def with_tensors(self, tensors: dict[int, Tensor]) -> Network:
        """The same operators on tensors of other sizes, the kernels grown or shrunk by their channels."""
        return replace(self, tensors=tensors, operators=tuple(self._fit(entry, tensors) for entry in self.operators))

    def _fit(self, operator: Operator, tensors: dict[int, Tensor]) -> Operator:
        if not operator.kernel:
            return operator
        ends = (operator.inputs[0], operator.outputs[0])
        ratios = [tensors[index].channels / self.tensors[index].channels for index in ends]
        ratio = ratios[1] if operator.kind == DEPTHWISE else ratios[0] * ratios[1]
        return replace(operator, kernel=operator.kernel * ratio, weight_bytes=operator.weight_bytes * ratio)


def read_graph(model: Any) -> Network:
    """The network of a file's tables (`ModelT`): its first graph."""
    graph = model.subgraphs[0]
    stored = {i for i, tensor in enumerate(graph.tensors) if _is_stored(model, tensor)}
    kinds = list_operators(model)
    operators, used = [], {*map(int, graph.inputs), *map(int, graph.outputs)}
    for entry, kind in zip(graph.operators, kinds, strict=False):
        given = [int(i) for i in entry.inputs if i >= 0]
        made = tuple(int(i) for i in entry.outputs if i >= 0)
        inputs = tuple(i for i in given if i not in stored)
        held = tuple(i for i in given if i in stored)
        constants = [graph.tensors[i] for i in held]
        kernel = int(np.prod(constants[0].shape)) if constants and kind in (*DENSE, DEPTHWISE) and inputs else 0
        operators.append(Operator(kind, inputs, made, float(kernel), float(sum(map(_size, constants))), held))
        used |= {*inputs, *made}
    tensors = {i: _tensor(graph.tensors[i]) for i in sorted(used - stored)}
    inputs, outputs = (_kept(ends, tensors) for ends in (graph.inputs, graph.outputs))
    return Network(tensors, tuple(operators), inputs, outputs)


def _kept(indices: Sequence[int], tensors: dict[int, Tensor]) -> tuple[int, ...]:
    return tuple(int(i) for i in indices if int(i) in tensors)


def _is_stored(model: Any, tensor: Any) -> bool:
    buffer = model.buffers[tensor.buffer]
    return (buffer.data is not None and len(buffer.data) > 0) or int(buffer.offset or 0) > 1


def _tensor(tensor: Any) -> Tensor:
    name = (tensor.name or b"").decode("utf-8", "replace")
    return Tensor(name, tuple(map(int, _sides(tensor))), ITEM_BYTES.get(TYPES[tensor.type], 1))


def _sides(tensor: Any) -> Any:
    return tensor.shape if tensor.shape is not None else ()


def _size(tensor: Any) -> int:
    return ITEM_BYTES.get(TYPES[tensor.type], 1) * int(np.prod(_sides(tensor)))
