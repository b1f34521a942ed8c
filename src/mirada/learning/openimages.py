"""Weights of a detector that has learned 23 classes of OpenImages: SSD-MobileNetV2 at 300 pixels, its batch norms folded.

The npm package `@mediapipe/objectron` (Apache-2.0, 33 MB) holds it as a `.tflite` of 16-bit floats inside another file; npm
fetches the package, and the kernels are read out of the tables of the `.tflite`.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mirada.errors import MiradaError
from mirada.inference.tflite_file import list_operators, read_tables

PACKAGE = "@mediapipe/objectron@0.4.1675468480"
MEMBER = "package/objectron_solution_packed_assets.data"
SPAN = slice(184, 9_987_912)
_LAYERS = 52  # convolutions of the feature extractor
SHA256 = "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6"


def fetch_detector() -> bytes:
    """The `.tflite`, by `npm pack`.

    Raises:
        MiradaError: npm is absent or failed, or the package holds other bytes than expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", PACKAGE, "--pack-destination", folder, "--silent"]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise MiradaError("model.weights=openimages is fetched by npm, which is absent: install Node.js.") from None
        archives = list(Path(folder).glob("*.tgz"))
        if result.returncode or not archives:
            reason = (result.stderr.strip().splitlines() or ["no message"])[0]
            raise MiradaError(f"npm could not fetch {PACKAGE} ({reason}): check the network and run train again.")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(MEMBER)
            assert member is not None
            content = member.read()[SPAN]
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise MiradaError(f"the detector in {PACKAGE} has sha256 {found}, expected {SHA256}: check npm's registry.")
    return content


def read_mobilenet_v2(content: bytes) -> dict[str, np.ndarray]:
    """Kernels and biases of the feature extractor, from the stem to the 1,280 features.

    Args:
        content: the `.tflite`.

    Returns:
        '000.kernel', '000.bias', '001.kernel' and so on, in the order of computation: float32, kernels as Keras wants
        them (HWIO; HWC1 for a depthwise layer).
    """
    model = read_tables(content)
    graph, kinds = model.subgraphs[0], list_operators(model)
    pairs = list(zip(graph.operators, kinds, strict=True))
    halves = {operator.outputs[0]: operator.inputs[0] for operator, kind in pairs if kind == "DEQUANTIZE"}
    arrays = dict[str, np.ndarray]()
    for operator, kind in pairs:
        name = graph.tensors[operator.outputs[0]].name.decode()
        if "CONV_2D" not in kind or not name.startswith("FeatureExtractor/MobilenetV2/") or len(arrays) == 2 * _LAYERS:
            continue
        kernel, bias = (_values(model, graph.tensors[halves[index]]) for index in operator.inputs[1:])
        key = f"{len(arrays) // 2:03}"
        arrays[f"{key}.kernel"], arrays[f"{key}.bias"] = kernel.transpose(1, 2, 3, 0), bias
    return arrays


def _values(model: Any, tensor: Any) -> np.ndarray:
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), "<f2").reshape(tensor.shape).astype(np.float32)
