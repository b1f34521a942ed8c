"""The runtimes that a `.tflite` can be shown to here: one function each, images in, raw output tensors out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirada.boards import tflm
from mirada.errors import MiradaError
from mirada.export import arm64
from mirada.quiet import quiet_libraries

DELEGATED = "AUTO"
REFERENCE_KERNELS = "BUILTIN_REF"


@dataclass(frozen=True)
class Runtime:
    """A way to run a model.

    Attributes:
        name: short, for files and options.
        title: for people.
        bound: steps by which an output may differ from the reference kernels'; 0: not at all.
        run: a file and (N, S, S, C) images -> of each output (N, ...), in the order of the file.
        why_not: a sentence where it can't be had here, else nothing.
        emulated: a crash is the emulator's, and no fault of the file.
    """

    name: str
    title: str
    bound: int
    run: Callable[[Path, np.ndarray], list[np.ndarray]]
    why_not: Callable[[], str] = lambda: ""
    emulated: bool = False


def run_litert(path: Path, images: np.ndarray, resolver: str = DELEGATED) -> list[np.ndarray]:
    """The outputs of images by LiteRT in this process.

    Args:
        path: the `.tflite` file.
        images: (N, S, S, C), of the type that the file takes.
        resolver: 'AUTO' with XNNPACK, 'BUILTIN_REF' for the reference kernels.

    Returns:
        Of each output (N, ...), in the order of the file.

    Raises:
        MiradaError: the file does not run.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        with quiet_libraries():
            kernels = getattr(OpResolverType, resolver)
            interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kernels)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(f"{path} is no usable .tflite file ({reason}): run the quantize stage again.") from error
    given = interpreter.get_input_details()[0]["index"]
    indices = [entry["index"] for entry in interpreter.get_output_details()]
    rows: list[list[np.ndarray]] = [[] for _ in indices]
    for image in images:
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        for row, index in zip(rows, indices, strict=True):
            row.append(interpreter.get_tensor(index))
    return [np.concatenate(row) for row in rows]


def run_reference(path: Path, images: np.ndarray) -> list[np.ndarray]:
    """As `run_litert`, by the reference kernels."""
    return run_litert(path, images, REFERENCE_KERNELS)


REFERENCE = Runtime("litert_reference", "LiteRT, reference kernels", 0, run_reference)
XNNPACK = Runtime("litert_xnnpack", "LiteRT with XNNPACK", 32, run_litert)
TFLM = Runtime("tflm", tflm.TITLE, 0, tflm.run_tflm, tflm.why_not)
ARM64 = Runtime(
    "litert_arm64", "LiteRT for arm64 under QEMU, reference kernels", 0, arm64.run_arm64, arm64.why_not, True
)
RUNTIMES = (REFERENCE, XNNPACK, TFLM, ARM64)
"""The first is what all others are compared with."""
