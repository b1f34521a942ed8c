"""A `.tflite` as ONNX by tf2onnx, int8 as QuantizeLinear and DequantizeLinear of its own scales, and onnxruntime."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mirada.errors import MiradaError
from mirada.export.bundle.model_file import output_names
from mirada.export.runtimes import Runtime
from mirada.inference.file_tables import read_tables

TITLE = "onnxruntime"
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
_OPSET = 17
_BOUND_STEPS = 32  # as XNNPACK: onnxruntime adds up floats, and each layer rounds to codes


def why_not() -> str:
    """A sentence where a package is absent, else nothing."""
    if lacking := [name for name in PACKAGES if find_spec(name) is None]:
        return f"ONNX needs {', '.join(lacking)}: `pip install 'mirada[device]'`."
    return ""


def convert_to_onnx(path: Path) -> bytes:
    """The file as ONNX: the same input, (1, S, S, C) of its type, and its outputs under their names in the signature.

    tf2onnx loads TensorFlow, so it runs in a process of its own.

    Raises:
        MiradaError: a package is absent, or tf2onnx refuses the file.
    """
    if reason := why_not():
        raise MiradaError(reason)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(path), "--output", str(made)]
        done = subprocess.run(
            [*command, "--opset", str(_OPSET)], capture_output=True, text=True, check=False,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        if done.returncode != 0 or not made.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
            raise MiradaError(f"tf2onnx can't convert {path} ({said[-1].strip()}): leave onnx out of targets.")
        return _tidy(made, output_names(read_tables(path)))


def _tidy(path: Path, names: list[str]) -> bytes:
    """The model with the names of the signature, and enlargements in the way that the standard has not given up."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    new = {value.name: name for value, name in zip(graph.output, names, strict=True)} | {graph.input[0].name: "image"}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [new.get(end, end) for end in ends]
        if node.op_type == "Resize":
            _by_floor(node)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = new.get(value.name, value.name)
    model.doc_string = graph.doc_string = ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _by_floor(node: Any) -> None:
    """Nearest neighbours by whole factors are the same by either rule, and `tf_half_pixel_for_nn` is deprecated."""
    for attribute in node.attribute:
        if attribute.name == "coordinate_transformation_mode" and attribute.s == b"tf_half_pixel_for_nn":
            attribute.s = b"asymmetric"


def run_onnx(path: Path, images: np.ndarray) -> list[np.ndarray]:
    """The outputs of images, in the order of the file.

    Args:
        path: the `.onnx`.
        images: (N, S, S, C), of the type that the file takes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {session.get_inputs()[0].name: image[None]}) for image in images]
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


def onnx_runtime(path: Path) -> Runtime:
    """Onnxruntime with a file that `convert_to_onnx` made of the one that is proven."""
    return Runtime("onnxruntime", TITLE, _BOUND_STEPS, lambda _, images: run_onnx(path, images))
