"""Look inside a `.tflite`: its operators, and the value of every tensor for an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mirada.inference.litert import SIGNATURE
from mirada.quiet import quiet_libraries

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # between int8 and float, no layers of the network
# operators that only move or choose values, so that their output can keep their input's range
MOVING = (
    "MAX_POOL_2D", "REDUCE_MAX", "RESHAPE", "SQUEEZE", "PAD", "RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE", "TRANSPOSE",
)  # fmt: skip
_COMPUTES = ("Conv2D", "depthwise", "MatMul")  # how the name of what a layer computes with its weights begins


@dataclass(frozen=True)
class Operator:
    """One step of the computation.

    Attributes:
        kind: 'CONV_2D' and the like.
        name: of its first output, as the file has it.
        layer: the layer of the network it comes from, for people.
        inputs: indices of tensors; -1 for one that is left out. outputs: likewise.
    """

    kind: str
    name: str
    layer: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def output(self) -> int:
        """The first output, of nearly all operators the only one."""
        return self.outputs[0]


class Opened:
    """A `.tflite` whose tensors can all be read after an inference; slow, as no delegate merges operators.

    Args:
        content: the file's bytes.

    Attributes:
        tensors: index -> details, as LiteRT gives them. operators: in the order of computation.
        outputs: index of a tensor -> name in the signature, of the network's outputs; without a signature its own.
        image: index of the network's input.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with quiet_libraries():
            self._interpreter = Interpreter(
                model_content=content,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self.image = int(self._input["index"])
        self.outputs = self._output_names()
        self.tensors: dict[int, dict[str, Any]] = {
            entry["index"]: entry for entry in self._interpreter.get_tensor_details()
        }
        self.operators = [
            self._operator(entry) for entry in self._interpreter._get_ops_details()
        ]  # no public call lists operators

    def _output_names(self) -> dict[int, str]:
        if SIGNATURE in self._interpreter.get_signature_list():
            runner = self._interpreter.get_signature_runner(SIGNATURE)
            return {int(entry["index"]): name for name, entry in runner.get_output_details().items()}
        return {int(entry["index"]): entry["name"] for entry in self._interpreter.get_output_details()}

    def _operator(self, entry: dict[str, Any]) -> Operator:
        inputs, outputs = tuple(map(int, entry["inputs"])), tuple(map(int, entry["outputs"]))
        name = self.tensors[outputs[0]]["name"]
        return Operator(entry["op_name"], name, self.outputs.get(outputs[0]) or layer_of(name), inputs, outputs)

    def run(self, inputs: np.ndarray) -> None:
        """Compute all tensors of one image.

        Args:
            inputs: (S, S, C), of the type that the file takes.
        """
        self._interpreter.set_tensor(self.image, inputs[None])
        self._interpreter.invoke()

    @property
    def takes_pixels(self) -> bool:
        """Whether the input is uint8."""
        return self._input["dtype"] == np.uint8

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """A float network's inputs on the grid of this file's, where it takes integers."""
        dtype = self._input["dtype"]
        if not np.issubdtype(dtype, np.integer):
            return inputs
        scale, zero_point = self._input["quantization"]
        ends = np.iinfo(dtype)
        return np.clip(np.round(inputs / scale) + zero_point, ends.min, ends.max).astype(dtype)

    def value(self, index: int) -> np.ndarray:
        """A tensor as it is stored; of a constant also before any `run`."""
        return self._interpreter.get_tensor(index)

    def constants(self, operator: Operator) -> list[int]:
        """The operator's inputs that no image changes: weights, biases and the like."""
        computed = {index for op in self.operators for index in op.outputs} | {self.image}
        return [index for index in operator.inputs if index in self.tensors and index not in computed]


def layer_of(name: str) -> str:
    """The layer's name in a tensor's: 'conv_1' of 'study1/conv_1/Relu;study1/conv_1/BiasAdd;study1/conv_1/Conv2D'."""
    parts = [part.split("/") for part in name.split(";")]
    chosen = next((part for part in parts if part[-1].startswith(_COMPUTES)), parts[0])
    return "/".join(chosen[1:-1]) or chosen[0]


def pair(quantized: Opened, reference: Opened) -> list[tuple[Operator, Operator]]:
    """Each operator of an int8 file with the one of the float file that computes the same.

    They are told by name; what has another name, by its place where both files hold the same kinds in the same order.
    What is not found in the float file is left out.
    """
    steps = [operator for operator in quantized.operators if operator.kind not in CONVERSIONS]
    truths = [operator for operator in reference.operators if operator.kind not in CONVERSIONS]
    same = [operator.kind for operator in steps] == [operator.kind for operator in truths]
    names = {reference.outputs.get(operator.output, operator.name): operator for operator in truths}
    pairs = []
    for place, operator in enumerate(steps):
        truth = names.get(quantized.outputs.get(operator.output, operator.name), truths[place] if same else None)
        if truth is not None and truth.kind == operator.kind:
            pairs.append((operator, truth))
    return pairs
