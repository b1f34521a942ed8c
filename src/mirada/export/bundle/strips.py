"""Layers of a network in strips of rows, one after the other: a smaller peak of memory, equal answers.

Early maps are the largest. Where they are computed for some rows at a time, only these rows of them exist at once; of the
map at which the strips end, all rows are put together. A row near a strip's border needs rows beyond it, so strips overlap
and some rows are computed twice (MCUNetV2, arXiv:2110.15352, does this by patches). Each value is the sum of the same
integers as before: answers are equal to the bit. `strip_plan` says which layers and how many strips.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.errors import MiradaError
from mirada.export.bundle.model_file import drop_unused
from mirada.inference.tflite_file import OPERATORS, code_of, read_tables, to_bytes

_ROWS = 1  # the axis
_WINDOWS = ("CONV_2D", "DEPTHWISE_CONV_2D")
MOST_STRIPS = 10  # TensorFlow Lite Micro joins no more


@dataclass(frozen=True)
class _Window:
    """Which rows of its inputs an operator's output rows are made of; an addition's are the rows themselves."""

    kernel: int = 1
    stride: int = 1
    above: int = 0  # rows of padding


@dataclass(frozen=True)
class Cut:
    """A place where strips may end or begin: one tensor is all that goes on from there.

    Attributes:
        operators: that come before.
        tensor: index of the tensor that they give.
        stride: rows of the input to a row of it.
    """

    operators: int
    tensor: int
    stride: int


@dataclass(frozen=True)
class Strips:
    """The operators between two cuts in so many strips."""

    start: Cut
    end: Cut
    count: int

    @property
    def stride(self) -> int:
        """Rows of the first map to a row of the last."""
        return self.end.stride // self.start.stride


def split_rows(content: bytes, plan: Sequence[Strips]) -> bytes:
    """Compute operators strip by strip.

    Args:
        content: a `.tflite` whose input is int8.
        plan: between which of `find_cuts`, and in how many; one behind the other.

    Returns:
        A `.tflite` with the same input, outputs and answers.

    Raises:
        MiradaError: there are fewer rows than strips, or it is not 2 to 10 of them.
    """
    model = split_tables(read_tables(content), plan)
    drop_unused(model, model.subgraphs[0])  # whole maps that strips stand for: an interpreter may make room for them
    return to_bytes(model)


def split_tables(tables: Any, plan: Sequence[Strips]) -> Any:
    """`split_rows` of tables, which stay as they are, with tensors left that nothing needs any more."""
    model, graph = copy.copy(tables), copy.copy(tables.subgraphs[0])
    graph.tensors = list(graph.tensors)
    model.subgraphs, model.buffers, model.operatorCodes = [graph], list(model.buffers), list(model.operatorCodes)
    for strips in sorted(plan, key=lambda strips: -strips.start.operators):  # what lies before keeps its place
        _split(model, strips)
    return model


def _split(model: Any, strips: Strips) -> None:
    graph, end = model.subgraphs[0], strips.end
    rows = rows_of(model, end.tensor)
    if not 2 <= strips.count <= min(rows, MOST_STRIPS):
        raise MiradaError(f"strips must be between 2 and {min(rows, MOST_STRIPS)}, got {strips.count}.")
    before, rest = graph.operators[: strips.start.operators], graph.operators[end.operators :]
    inside = graph.operators[strips.start.operators : end.operators]
    windows = _windows(model, inside)
    bounds = [rows * number // strips.count for number in range(strips.count + 1)]
    graph.operators, pieces = [], []
    for low, high in zip(bounds, bounds[1:], strict=False):
        needed = _needed(model, inside, windows, strips, (low, high))
        pieces.append(_add_strip(model, inside, windows, strips, needed))
    join = _operator(model, "CONCATENATION", pieces, end.tensor)
    join.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    join.builtinOptions = schema.ConcatenationOptionsT()
    join.builtinOptions.axis = _ROWS
    graph.operators = [*before, *graph.operators, join, *rest]


def find_cuts(model: Any) -> list[Cut]:
    """The places where strips may begin or end, the input first; none where it is not int8.

    Args:
        model: tables of a `.tflite`.
    """
    graph = model.subgraphs[0]
    image = int(graph.inputs[0])
    if graph.tensors[image].type != schema.TensorType.INT8:
        return []
    cuts = [Cut(0, image, 1)]
    height, strides = int(graph.tensors[image].shape[_ROWS]), {image: 1}
    for number, operator in enumerate(graph.operators, start=1):
        window, given = _window(model, operator), _maps(operator, strides)
        if window is None or not given or len({strides[index] for index in given}) > 1:
            break
        output, stride = int(operator.outputs[0]), strides[given[0]] * window.stride
        if height % stride or int(graph.tensors[output].shape[_ROWS]) * stride != height:
            break
        strides[output] = stride
        later = {int(index) for one in graph.operators[number:] for index in one.inputs} | set(map(int, graph.outputs))
        if later & set(strides) == {output}:
            cuts.append(Cut(number, output, stride))
    return cuts


def rows_of(model: Any, tensor: int) -> int:
    """Rows of a map."""
    return int(model.subgraphs[0].tensors[tensor].shape[_ROWS])


# -- rows --------------------------------------------------------------------------------------------------------------


def _window(model: Any, operator: Any) -> _Window | None:
    """None of an operator that can't be computed by rows."""
    graph, kind = model.subgraphs[0], OPERATORS.get(code_of(model.operatorCodes[operator.opcodeIndex]))
    if kind == "ADD":
        shapes = {tuple(map(int, graph.tensors[int(index)].shape)) for index in operator.inputs}
        return _Window() if len(shapes) == 1 else None
    if kind not in _WINDOWS:
        return None
    options = operator.builtinOptions
    kernel, stride = int(graph.tensors[int(operator.inputs[1])].shape[1]), int(options.strideH)
    if options.dilationHFactor != 1 or (options.padding != schema.Padding.SAME and kernel > 1):
        return None
    rows = int(graph.tensors[int(operator.inputs[0])].shape[_ROWS])
    return _Window(kernel, stride, max(kernel - stride, 0) // 2) if rows % stride == 0 else None


def _windows(model: Any, operators: list[Any]) -> list[_Window]:
    found = [_window(model, operator) for operator in operators]
    return [window for window in found if window is not None]


def _maps(operator: Any, known: dict[int, Any]) -> list[int]:
    """The inputs that are maps, and no weights."""
    return [int(index) for index in operator.inputs if int(index) in known]


def _needed(
    model: Any, operators: list[Any], windows: list[_Window], strips: Strips, rows: tuple[int, int]
) -> dict[int, tuple[int, int]]:
    """Map -> its rows, first and behind the last, that some rows of the last map are made of.

    They are widened to whole rows of the last map, as a stride has to begin in a strip where it does in the whole map.
    """
    wanted = {strips.end.tensor: rows}
    for operator, window in zip(reversed(operators), reversed(windows), strict=True):
        if int(operator.outputs[0]) not in wanted:
            continue
        first, end = wanted[int(operator.outputs[0])]
        first, end = first * window.stride - window.above, (end - 1) * window.stride - window.above + window.kernel
        for index in operator.inputs[: 1 if window.kernel > 1 or len(operator.inputs) > 2 else 2]:
            a, b = wanted.get(int(index), (first, end))
            wanted[int(index)] = min(a, first), max(b, end)
    return {index: _whole_rows(model, index, strips, *needed) for index, needed in wanted.items()}


def _whole_rows(model: Any, index: int, strips: Strips, first: int, end: int) -> tuple[int, int]:
    height = rows_of(model, index)
    stride = height // rows_of(model, strips.end.tensor)
    return max(0, first) // stride * stride, math.ceil(min(height, end) / stride) * stride


def _add_strip(
    model: Any, operators: list[Any], windows: list[_Window], strips: Strips, needed: dict[int, tuple[int, int]]
) -> int:
    """Append the operators of one strip; the tensor with the wanted rows of the last map.

    Rows at a strip's border that were padded where the image goes on are wrong; they lie outside of what is wanted.
    """
    graph, last = model.subgraphs[0], strips.end.tensor
    name = f"_rows_{needed[last][0]}"
    held = {strips.start.tensor: needed[strips.start.tensor]}
    new = {strips.start.tensor: _slice(model, strips.start.tensor, *needed[strips.start.tensor], name)}
    for number, (operator, window) in enumerate(zip(operators, windows, strict=True), start=1):
        output = int(operator.outputs[0])
        first, end = (row // window.stride for row in held[_maps(operator, held)[0]])
        held[output], new[output] = (first, end), _copy_tensor(graph, output, end - first, name)
        strip = copy.copy(operator)
        strip.inputs = np.array([new.get(int(index), int(index)) for index in operator.inputs], np.int32)
        strip.outputs = np.array([new[output]], np.int32)
        graph.operators.append(strip)
        low, high = needed.get(output, (first, end))
        narrower = (low, high) != (first, end)
        if narrower and (output == last or _widens(graph, output, operators[number:], held)):
            held[output], new[output] = (low, high), _slice(model, new[output], low - first, high - first, "_inner")
    return new[last]


def _widens(graph: Any, index: int, later: list[Any], held: dict[int, Any]) -> bool:
    """Whether a map is all that goes on and is made wider next: its rows that nothing needs would be made so, too."""
    if {int(other) for one in later for other in one.inputs} & set(held) != {index}:
        return False
    after = graph.tensors[int(later[0].outputs[0])].shape
    return int(after[-1]) > int(graph.tensors[index].shape[-1])


# -- tables ------------------------------------------------------------------------------------------------------------


def _slice(model: Any, index: int, start: int, end: int, name: str) -> int:
    """Append an operator that gives some rows of a tensor."""
    graph = model.subgraphs[0]
    shape = [int(side) for side in graph.tensors[index].shape]
    begin, size = [0] * len(shape), list(shape)
    begin[_ROWS], size[_ROWS] = start, end - start
    part = _copy_tensor(graph, index, end - start, name)
    operator = _operator(model, "SLICE", [index, _constant(model, begin), _constant(model, size)], part)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT()
    graph.operators.append(operator)
    return part


def _copy_tensor(graph: Any, index: int, rows: int, name: str) -> int:
    tensor = copy.copy(graph.tensors[index])
    tensor.shape = np.array(tensor.shape, np.int32)
    tensor.shape[_ROWS], tensor.shapeSignature, tensor.buffer = rows, None, 0
    tensor.name = (tensor.name or b"") + name.encode()
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _constant(model: Any, values: list[int]) -> int:
    """A tensor of int32; equal ones are one."""
    graph, data = model.subgraphs[0], np.array(values, "<i4").tobytes()
    name = f"rows_{'_'.join(map(str, values))}".encode()
    for index, tensor in enumerate(graph.tensors):
        if tensor.name == name:
            return index
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    tensor.name, tensor.type, tensor.buffer = name, schema.TensorType.INT32, len(model.buffers) - 1
    tensor.shape = np.array([len(values)], np.int32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, kind: str, inputs: list[int], output: int) -> Any:
    wanted = getattr(schema.BuiltinOperator, kind)
    codes = [code_of(entry) for entry in model.operatorCodes]
    if wanted not in codes:
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = wanted
        entry.version = 2  # from which on both kinds know int8
        model.operatorCodes.append(entry)
        codes.append(wanted)
    operator = schema.OperatorT()
    operator.opcodeIndex = codes.index(wanted)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return operator
