"""LiteRT for arm64 on another machine's processor, under QEMU: the bytes of a Raspberry Pi, without one.

Only the reference kernels: the optimised ones end in a segmentation fault under the emulator. With some files, a classifier
of a dense layer among them, the reference kernels do so too; these are left out of the table with a sentence.

The folder that `MIRADA_ARM64` names holds what is needed; `.ci/arm64` fills it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mirada.boards.processes import CrashedError, run_script
from mirada.errors import MiradaError

TITLE = "LiteRT for arm64"
VARIABLE = "MIRADA_ARM64"
_EMULATOR, _ROOT, _PACKAGES, _PYTHON = "qemu-aarch64-static", "root", "packages", "root/usr/bin/python3.11"
_SCRIPT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

path, given, results = sys.argv[1:]
interpreter = Interpreter(path, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
interpreter.allocate_tensors()
index = interpreter.get_input_details()[0]["index"]
rows = []
for image in np.load(given):
    interpreter.set_tensor(index, image[None])
    interpreter.invoke()
    rows.append([interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()])
np.savez(results, *[np.concatenate(values) for values in zip(*rows)])
"""


def why_not() -> str:
    """A sentence where the emulator or what runs in it is absent, else nothing."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return f"An emulated arm64 is not set up: fill a folder with `.ci/arm64 FOLDER` and name it in {VARIABLE}."
    lacking = [part for part in (_EMULATOR, _PYTHON, _PACKAGES) if not (Path(folder) / part).exists()]
    return f"The folder that {VARIABLE} names lacks {lacking[0]}: fill it with `.ci/arm64 FOLDER`." if lacking else ""


def emulator() -> list[str]:
    """The command that runs a program for arm64.

    Raises:
        MiradaError: it is absent.
    """
    if reason := why_not():
        raise MiradaError(reason)
    folder = Path(os.environ[VARIABLE])
    return [str(folder / _EMULATOR), "-L", str(folder / _ROOT)]


def run_arm64(path: Path, images: np.ndarray) -> list[np.ndarray]:
    """The outputs of images by the reference kernels for arm64; several seconds an image.

    Args:
        path: the `.tflite` file.
        images: (N, S, S, C), of the type that the file takes.

    Returns:
        Of each output (N, ...), in the order of the file.

    Raises:
        CrashedError: LiteRT crashes under the emulator, which says nothing of a board.
        MiradaError: the emulator is absent, or the file does not run.
    """
    command = emulator()
    folder = Path(os.environ[VARIABLE])
    env = {**os.environ, "PYTHONPATH": str(folder / _PACKAGES), "PYTHONNOUSERSITE": "1"}
    env.pop("PYTHONHOME", None)
    try:
        return run_script([*command, str(folder / _PYTHON)], _SCRIPT, path, images, TITLE, env)[0]
    except CrashedError as error:
        raise CrashedError(f"LiteRT crashes under the emulator with {path.name}: only a board can tell.") from error
