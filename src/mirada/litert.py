"""Run a `.tflite` with LiteRT: quantize in, invoke, dequantize out, time it. No TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mirada.card import Card
from mirada.errors import MiradaError

SIGNATURE = "serving_default"
_FLOATS = (np.float32, np.float16, np.float64)


def litert_version() -> str:
    """Version of the runtime."""
    return version("ai-edge-litert")


def _interpreter(path: Path, num_threads: int = 1) -> Interpreter:
    try:
        interpreter = Interpreter(str(path), num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as error:
        raise MiradaError(
            f"{path} can't be loaded by LiteRT ({str(error).splitlines()[0]}): run the quantize stage again "
            "(`dvc repro quantize`)."
        ) from error
    return interpreter


def output_tensors(path: Path) -> dict[str, int]:
    """Signature's output name -> tensor index; names are the contract, order and shapes are not."""
    # an interpreter of its own: a signature runner and invoke() on one interpreter get in each other's way
    runner = _interpreter(path).get_signature_runner(SIGNATURE)
    return {name: detail["index"] for name, detail in runner.get_output_details().items()}


class Model:
    """One variant, ready to run.

    Args:
        path: the `.tflite` file.
        card: how an image becomes the input.
        num_threads: threads of one inference.

    Raises:
        MiradaError: LiteRT can't load the file, or it lacks an output that the card names.
    """

    def __init__(self, path: Path, card: Card, num_threads: int = 1) -> None:
        started = time.perf_counter()
        self.interpreter = _interpreter(path, num_threads)
        self.load_ms = (time.perf_counter() - started) * 1e3
        self._card = card
        self._input: dict[str, Any] = self.interpreter.get_input_details()[0]
        details = {detail["index"]: detail for detail in self.interpreter.get_output_details()}
        self._outputs = {name: details[index] for name, index in output_tensors(path).items()}
        missing = [name for names in card.outputs.values() for name in names if name not in self._outputs]
        if missing:
            raise MiradaError(f"{path} has no output {missing[0]}, which its card names: run the quantize stage again.")

    def to_input(self, image: np.ndarray) -> np.ndarray:
        """The input tensor (1, S, S, C) of an image (S, S, C) uint8: raw pixels for uint8, scaled for float."""
        if self._input["dtype"] == np.uint8:
            return image[None]
        return image[None].astype(np.float32) * np.float32(self._card.input_scale) + np.float32(self._card.input_offset)

    def invoke(self, tensor: np.ndarray) -> None:
        """Copy the input in and run the network."""
        self.interpreter.set_tensor(self._input["index"], tensor)
        self.interpreter.invoke()

    def outputs(self) -> dict[str, np.ndarray]:
        """The outputs of the last `invoke`, dequantized to float32, by name."""
        found = {}
        for name, detail in self._outputs.items():
            value = self.interpreter.get_tensor(detail["index"])
            scale, zero_point = detail["quantization"]
            if value.dtype != np.float32:
                value = (value.astype(np.float32) - zero_point) * np.float32(scale)
            found[name] = value
        return found

    def predict(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs, float32 by name, of one image (S, S, C) uint8."""
        self.invoke(self.to_input(image))
        return self.outputs()

    def time_inference(self, image: np.ndarray, runs: int) -> list[float]:
        """Milliseconds of each of so many runs: input copied in, network run; decoding and NMS not included."""
        tensor = self.to_input(image)
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            self.invoke(tensor)
            times.append((time.perf_counter() - started) * 1e3)
        return times


def float_operators(path: Path) -> list[str]:
    """Operators that compute in float, as 'NAME (output tensor)'; converting an input or output does not count."""
    interpreter = _interpreter(path)
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found = []
    for operator in interpreter._get_ops_details():
        name = operator["op_name"]
        if name in ("QUANTIZE", "DEQUANTIZE", "DELEGATE"):
            continue
        results = [tensors[index] for index in operator["outputs"] if index in tensors]
        found += [f"{name} ({tensor['name']})" for tensor in results if tensor["dtype"] in _FLOATS]
    return found


_PEAK = """
import resource, sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
detail = interpreter.get_input_details()[0]
for _ in range(3):
    interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory_mb(path: Path) -> float:
    """Peak resident memory, in MB, of a process that only loads this model and runs it: interpreter and numpy included."""
    done = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MiradaError(f"{path} can't be run in a process of its own: {done.stderr.strip().splitlines()[-1]}")
    scale = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux KiB
    return json.loads(done.stdout) / scale
