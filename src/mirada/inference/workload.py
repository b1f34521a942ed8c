"""What an inference takes on any machine: multiplications and bytes, and a convolution to measure a machine's time by."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.inference.tflite_file import ITEM_BYTES, OPERATORS, TYPES, code_of, read_tables, to_bytes
from mirada.quiet import quiet_libraries

NUMBERS = {
    "int8": "8-bit integers",
    "int16": "16-bit integers by 8-bit weights",
    "hybrid": "32-bit floats by 8-bit weights",
    "float16": "16-bit floats",
    "float32": "32-bit floats",
}
"""What a convolution or matrix multiplies; float16 weights that the file itself widens first are float32."""
_BYTES = {**ITEM_BYTES, "INT4": 0.5}
_SIDE, _CHANNELS, _KERNEL = 80, 32, 3  # of the reference convolution


@dataclass(frozen=True)
class Workload:
    """Of one inference.

    Attributes:
        macs: multiplications with an addition, of convolutions and matrices; the same for all variants of a network.
        bytes_moved: of every operator's inputs, weights and outputs, once each; what caches keep is not taken off.
        macs_by_numbers: key of `NUMBERS` -> of the multiplications those of such numbers; only what there is.
    """

    macs: int
    bytes_moved: int
    macs_by_numbers: dict[str, int]

    @property
    def int8_share(self) -> float:
        """Of the multiplications, those of int8, 0..1; 0 without any."""
        return self.macs_by_numbers.get("int8", 0) / max(self.macs, 1)


def count_workload(content: bytes) -> Workload:
    """Count over the operators of a `.tflite`, whose sizes are all fixed."""
    model = read_tables(content)
    kinds = [OPERATORS.get(code_of(entry), "") for entry in model.operatorCodes]
    moved, by_numbers = 0.0, Counter[str]()
    for graph in model.subgraphs:
        for operator in graph.operators:
            inputs = [graph.tensors[index] for index in _indices(operator.inputs) if index >= 0]
            outputs = [graph.tensors[index] for index in _indices(operator.outputs)]
            macs = _macs(kinds[operator.opcodeIndex], [_shape(t) for t in inputs], [_shape(t) for t in outputs])
            if macs:
                by_numbers[_numbers(kinds[operator.opcodeIndex], [TYPES[t.type] for t in inputs])] += macs
            moved += sum(math.prod(_shape(t)) * _BYTES.get(TYPES[t.type], 4) for t in (*inputs, *outputs))
    return Workload(by_numbers.total(), round(moved), dict(by_numbers))


def _numbers(kind: str, types: list[str]) -> str:
    """The key of `NUMBERS`, from the types of an operator's inputs."""
    pixels, weights = (types[2], types[1]) if kind == "TRANSPOSE_CONV" else (types[0], types[1])
    if pixels == "FLOAT32":
        return "hybrid" if weights in ("INT8", "INT4") else "float32"
    return {"INT16": "int16", "FLOAT16": "float16"}.get(pixels, "int8")


def _indices(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _macs(kind: str, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]) -> int:
    """The weights' shapes are those of the schema: (out, h, w, in), of a depthwise convolution (1, h, w, out)."""
    if kind == "CONV_2D":
        return math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if kind == "DEPTHWISE_CONV_2D":
        return math.prod(outputs[0]) * math.prod(inputs[1][1:3])
    if kind == "FULLY_CONNECTED":
        return math.prod(outputs[0]) * inputs[1][-1]
    if kind == "TRANSPOSE_CONV":  # output's shape, weights, input
        return math.prod(inputs[2]) * math.prod(inputs[1][:3])
    if kind == "BATCH_MATMUL":
        return math.prod(outputs[0]) * inputs[0][-1]
    return 0


class ReferenceConvolution:
    """A 3 × 3 float32 convolution of 80 × 80 × 32, 59 million multiplications, on one thread, timed as a model is."""

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet_libraries():
            self._interpreter = Interpreter(model_content=_reference_file(), num_threads=1)
            self._interpreter.allocate_tensors()
        pixels = np.linspace(-1, 1, _SIDE * _SIDE * _CHANNELS, dtype=np.float32)
        index = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.set_tensor(index, pixels.reshape(1, _SIDE, _SIDE, _CHANNELS))

    def set_image(self, image: np.ndarray) -> None:
        """Its input is always the same."""

    def time_inference(self, runs: int, warmup: int = 0) -> np.ndarray:
        """(runs,) milliseconds, after `warmup` untimed ones."""
        for _ in range(warmup):
            self._interpreter.invoke()
        times = np.empty(runs)
        for number in range(runs):
            started = time.perf_counter()
            self._interpreter.invoke()
            times[number] = time.perf_counter() - started
        return times * 1000


@cache
def _reference_file() -> bytes:
    weights = np.linspace(-0.1, 0.1, _CHANNELS * _KERNEL * _KERNEL * _CHANNELS, dtype=np.float32)
    contents = [b"", weights.tobytes(), np.zeros(_CHANNELS, np.float32).tobytes()]
    image = [1, _SIDE, _SIDE, _CHANNELS]
    shapes = {"in": (image, 0), "out": (image, 0)}
    shapes |= {"weights": ([_CHANNELS, _KERNEL, _KERNEL, _CHANNELS], 1), "bias": ([_CHANNELS], 2)}
    model, graph, operator, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    for name, (shape, buffer) in shapes.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), np.array(shape, np.int32), buffer
        tensor.type, tensor.hasRank = schema.TensorType.FLOAT32, True
        graph.tensors = [*(graph.tensors or []), tensor]
    options = schema.Conv2DOptionsT()
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    operator.inputs, operator.outputs = np.array([0, 2, 3], np.int32), np.array([1], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 1
    graph.inputs, graph.outputs, graph.operators = np.array([0], np.int32), np.array([1], np.int32), [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], []
    for content in contents:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8) if content else None
        model.buffers.append(buffer)
    return to_bytes(model)
