"""The first layers of a network in strips of the image, one after the other: a smaller peak of memory, equal answers.

Early maps are the largest. Where they are computed for some rows at a time, only these rows of them exist at once; of the
map at which the strips end, all rows are put together. A row near a strip's border needs rows beyond it, so strips overlap
and some rows are computed twice (MCUNetV2, arXiv:2110.15352, does this by patches). Each value is the sum of the same
integers as before: answers are equal to the bit.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.errors import MiradaError
from mirada.export.bundle.model_file import drop_unused
from mirada.inference.tflite_file import OPERATORS, code_of, read_tables, to_bytes

_ROWS = 1  # the axis
_PER_OPERATOR = 300  # bytes of an interpreter's tables that one more operator takes, on 64 bits
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
    """A place where strips may end: one tensor is all that goes on from there.

    Attributes:
        operators: that come before, those of the strips.
        tensor: index of the tensor that they give.
        stride: rows of the input to a row of it.
    """

    operators: int
    tensor: int
    stride: int


def split_rows(content: bytes, cut: Cut, strips: int) -> bytes:
    """Compute all operators before a cut strip by strip.

    Args:
        content: a `.tflite` whose input is int8.
        cut: one of `find_cuts`.
        strips: how many.

    Returns:
        A `.tflite` with the same input, outputs and answers.

    Raises:
        MiradaError: there are fewer rows than strips, or it is not 2 to 10 of them.
    """
    model = read_tables(content)
    graph = model.subgraphs[0]
    rows = int(graph.tensors[cut.tensor].shape[_ROWS])
    if not 2 <= strips <= min(rows, MOST_STRIPS):
        raise MiradaError(f"strips must be between 2 and {min(rows, MOST_STRIPS)}, got {strips}.")
    first, rest = list(graph.operators[: cut.operators]), list(graph.operators[cut.operators :])
    windows = _windows(model, first)
    bounds = [rows * number // strips for number in range(strips + 1)]
    graph.operators, pieces = [], []
    for low, high in zip(bounds, bounds[1:], strict=False):
        start, end = _needed(model, first, windows, cut, low, high)
        pieces.append(_add_strip(model, first, windows, cut, (start, end), (low, high)))
    join = _operator(model, "CONCATENATION", pieces, cut.tensor)
    join.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    join.builtinOptions = schema.ConcatenationOptionsT()
    join.builtinOptions.axis = _ROWS
    graph.operators += [join, *rest]
    drop_unused(model, graph)  # the whole maps that strips stand for: an interpreter may make room for them
    return to_bytes(model)


def find_cuts(content: bytes) -> list[Cut]:
    """The places where strips may end, first to last; none where the input is not int8 or the first operator unknown."""
    model = read_tables(content)
    graph = model.subgraphs[0]
    image = int(graph.inputs[0])
    cuts: list[Cut] = []
    if graph.tensors[image].type != schema.TensorType.INT8:
        return cuts
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
        if later & set(strides) == {output} and stride > 1:
            cuts.append(Cut(number, output, stride))
    return cuts


def estimate_peak(content: bytes) -> int:
    """Bytes of the tensors that live at once, at most: an interpreter's plan takes this or somewhat more."""
    graph = read_tables(content).subgraphs[0]
    made = {int(index): -1 for index in graph.inputs}
    made |= {int(index): number for number, one in enumerate(graph.operators) for index in one.outputs}
    last = {int(index): number for number, one in enumerate(graph.operators) for index in one.inputs}
    last |= dict.fromkeys(map(int, graph.outputs), len(graph.operators))
    sizes = {index: int(np.prod(graph.tensors[index].shape)) for index in made}
    return max(
        sum(size for index, size in sizes.items() if made[index] <= number <= last.get(index, made[index]))
        for number in range(len(graph.operators))
    )


def lower_peak(content: bytes, most_strips: int = MOST_STRIPS) -> bytes:
    """The file itself, or the same network with its first layers in strips where that takes less memory.

    Args:
        content: a `.tflite` whose input is int8.
        most_strips: more are not tried; each computes some rows again.
    """
    best, least = content, _cost(content)
    for cut in find_cuts(content):
        rows = int(read_tables(content).subgraphs[0].tensors[cut.tensor].shape[_ROWS])
        for strips in range(2, min(most_strips, rows // 2) + 1):
            split = split_rows(content, cut, strips)
            if (cost := _cost(split)) < least:
                best, least = split, cost
    return best


def _cost(content: bytes) -> int:
    return estimate_peak(content) + _PER_OPERATOR * len(read_tables(content).subgraphs[0].operators)


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


def _needed(model: Any, operators: list[Any], windows: list[_Window], cut: Cut, low: int, high: int) -> tuple[int, int]:
    """The rows of the input that rows `low` to `high` of the cut's map are made of, in whole strides."""
    graph = model.subgraphs[0]
    wanted = {cut.tensor: (low, high)}
    for operator, window in zip(reversed(operators), reversed(windows), strict=True):
        if int(operator.outputs[0]) not in wanted:
            continue
        first, end = wanted[int(operator.outputs[0])]
        first, end = first * window.stride - window.above, (end - 1) * window.stride - window.above + window.kernel
        for index in operator.inputs[: 1 if window.kernel > 1 or len(operator.inputs) > 2 else 2]:
            a, b = wanted.get(int(index), (first, end))
            wanted[int(index)] = min(a, first), max(b, end)
    image = int(graph.inputs[0])
    height = int(graph.tensors[image].shape[_ROWS])
    start, end = max(0, wanted[image][0]), min(height, wanted[image][1])
    return start // cut.stride * cut.stride, math.ceil(end / cut.stride) * cut.stride


def _add_strip(
    model: Any,
    operators: list[Any],
    windows: list[_Window],
    cut: Cut,
    given: tuple[int, int],
    wanted: tuple[int, int],
) -> int:
    """Append the operators of one strip; the tensor with the wanted rows of the cut's map.

    Rows at a strip's border that were padded where the image goes on are wrong; they lie outside of what is wanted.
    """
    graph = model.subgraphs[0]
    image, name = int(graph.inputs[0]), f"_rows_{wanted[0]}"
    new = {image: _slice(model, image, *given, name)}
    rows = {image: given[1] - given[0]}
    for operator, window in zip(operators, windows, strict=True):
        output = int(operator.outputs[0])
        rows[output] = rows[_maps(operator, rows)[0]] // window.stride
        new[output] = _copy_tensor(graph, output, rows[output], name)
        strip = copy.copy(operator)
        strip.inputs = np.array([new.get(int(index), int(index)) for index in operator.inputs], np.int32)
        strip.outputs = np.array([new[output]], np.int32)
        graph.operators.append(strip)
    start = given[0] // cut.stride
    if (wanted[0] - start, wanted[1] - start) == (0, rows[cut.tensor]):
        return new[cut.tensor]
    return _slice(model, new[cut.tensor], wanted[0] - start, wanted[1] - start, "_inner")


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
