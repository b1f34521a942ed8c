"""A `.tflite` as a graph: tensors, operators, what they hold. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

FLOATS = ("FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16", "FLOAT8_E4M3FN", "FLOAT8_E5M2")
# Types that hold quantized values, with the ends of their range.
QUANTIZED = {
    "INT2": (-2, 1), "INT4": (-8, 7), "UINT4": (0, 15), "INT8": (-128, 127), "UINT8": (0, 255),
    "INT16": (-32768, 32767), "INT32": (-(2**31), 2**31 - 1), "INT64": (-(2**63), 2**63 - 1),
}  # fmt: skip
ACTIVATIONS = ("INT8", "UINT8", "INT16")  # what a quantized network computes in
# Operators that only move or choose values: what comes out is on the grid of what went in.
MOVES = frozenset(
    ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "PAD", "SPLIT", "SPLIT_V", "UNPACK",
     "PACK", "GATHER", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "DEQUANTIZE",
     "QUANTIZE", "CAST")
)  # fmt: skip

UNPACKS = ("DEQUANTIZE", "DENSIFY")  # constants that are stored as float16, or without their zeros


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        index: its place in its graph. name: as the file has it, perhaps empty.
        dtype: 'INT8' and the like. shape: at rest; signature: with -1 where a side may change, else the shape.
        scales, zero_points: (C,) one a channel of `axis`, (1,) for the whole, (0,) for a tensor that is not quantized.
        data: the bytes of a constant, (N,) uint8; empty for what is computed.
        buffer: number of the piece of the file that holds them; several tensors may share one.
        variable: whether its value stays from one inference to the next.
        sparse: whether only the values that are not 0 are stored.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    data: np.ndarray
    buffer: int
    variable: bool = False
    sparse: bool = False

    @property
    def is_float(self) -> bool:
        """Whether its values are floating-point numbers."""
        return self.dtype in FLOATS

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its values."""
        return len(self.data) > 0

    @property
    def is_quantized(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.dtype in QUANTIZED and len(self.scales) > 0

    @property
    def label(self) -> str:
        """Its name for people, cut where it is long."""
        name = self.name.split(";")[0] or f"tensor {self.index}"
        return name if len(name) <= 60 else f"{name[:28]}…{name[-31:]}"

    def values(self) -> np.ndarray | None:
        """A constant's values in its shape; None where they are no plain array (sparse, 4 bits, text)."""
        kind = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "FLOAT32": np.float32}
        if self.sparse or self.dtype not in kind:
            return None
        dtype = np.dtype(kind[self.dtype])
        if len(self.data) != dtype.itemsize * int(np.prod(self.shape)):
            return None
        return np.frombuffer(self.data.tobytes(), dtype).reshape(self.shape)


@dataclass(frozen=True)
class Step:
    """An operator.

    Attributes:
        place: in the order of computation. kind: 'CONV_2D' and the like. custom: the name of a custom operator, else ''.
        inputs: indices of tensors, -1 for one that is left out. outputs: likewise.
    """

    place: int
    kind: str
    custom: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its kind for people."""
        return f"CUSTOM {self.custom}" if self.custom else self.kind


@dataclass(frozen=True)
class Graph:
    """One graph of the file; the first is the network, others are bodies of its conditions and loops."""

    tensors: list[Tensor]
    steps: list[Step]
    inputs: list[int]
    outputs: list[int]

    @cached_property
    def maker(self) -> dict[int, Step]:
        """Tensor -> the operator that computes it."""
        return {index: step for step in self.steps for index in step.outputs}

    @cached_property
    def readers(self) -> dict[int, list[Step]]:
        """Tensor -> the operators that read it."""
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            for index in dict.fromkeys(step.inputs):
                found.setdefault(index, []).append(step)
        return found

    def given(self, step: Step) -> list[Tensor]:
        """The operator's inputs that are there."""
        return [self.tensors[index] for index in step.inputs if index >= 0]

    def made(self, step: Step) -> list[Tensor]:
        """The operator's outputs."""
        return [self.tensors[index] for index in step.outputs if index >= 0]

    @cached_property
    def stored(self) -> set[int]:
        """The tensors that no input changes: constants, and what is merely unpacked from them (float16, sparse)."""
        found = {tensor.index for tensor in self.tensors if tensor.is_constant}
        for step in self.steps:
            if step.kind in UNPACKS and all(index in found for index in step.inputs if index >= 0):
                found.update(index for index in step.outputs if index >= 0)
        return found

    def computed(self, step: Step) -> list[Tensor]:
        """What flows through the operator: inputs and outputs that are not stored."""
        ends = (*self.given(step), *self.made(step))
        return [tensor for tensor in ends if tensor.index not in self.stored]

    def packed(self, step: Step) -> list[Tensor]:
        """The constants that the operator reads, as they are stored, also where they are unpacked for it."""
        found, todo, seen = [], [index for index in step.inputs if index in self.stored], set()
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            if self.tensors[index].is_constant:
                found.append(self.tensors[index])
            elif index in self.maker:
                todo += [i for i in self.maker[index].inputs if i >= 0]
        return found

    def origins(self, index: int) -> Iterator[Step]:
        """The operators that a tensor's values come from, past those that only move values."""
        todo, seen = [index], set()
        while todo:
            step = self.maker.get(todo.pop())
            if step is None or step.place in seen:
                continue
            seen.add(step.place)
            if step.kind in MOVES:
                todo += [i for i in step.inputs if i >= 0]
            else:
                yield step


@dataclass(frozen=True)
class Described:
    """What a file's metadata says: its name, the files in it ('labels.txt'), (mean, standard deviation) of pixels."""

    name: str = ""
    files: dict[str, list[str]] = field(default_factory=dict)
    normalisation: tuple[list[float], list[float]] | None = None

    @property
    def labels(self) -> list[str]:
        """Of the first file of labels."""
        return next(iter(self.files.values()), [])


@dataclass(frozen=True)
class Network:
    """A file that was read.

    Attributes:
        path: the file. size_bytes: of all of it.
        description: what its maker wrote ('MLIR Converted.').
        graphs: at least one. signatures: their names.
        runtime: the oldest runtime that its converter thought enough, or ''.
        metadata: None where there is none.
    """

    path: Path
    size_bytes: int
    description: str
    graphs: list[Graph]
    signatures: list[str]
    runtime: str
    metadata: Described | None

    @property
    def main(self) -> Graph:
        """The network itself."""
        return self.graphs[0]
