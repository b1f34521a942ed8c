"""TensorFlow Lite Micro on this machine: the outputs that a microcontroller gives, and the memory that it needs.

The package `tflite-micro` is of the extra `device`. It is 64 bits wide: on a microcontroller of 32 bits the persistent part,
which holds pointers, is smaller, so the figure is on the safe side.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError
from mirada.export.processes import run_script

TITLE = "TensorFlow Lite Micro"
HEAD_ROOM = 0.1  # of an arena, for another version of the library
_ALIGNMENT = 16
_PLENTY = (
    64 * 2**20
)  # bytes to measure in; its end is aligned as that of a firmware's arena, or padding would count otherwise

# The arena is measured after an inference. With the very bytes it says, and not one more, it has to run again.
_SCRIPT = """
import sys
import numpy as np
from tflite_micro import runtime

path, given, results = sys.argv[1:]
images = np.load(given)
interpreter = runtime.Interpreter.from_file(path, arena_size={arena})
rows = []
for image in images:
    interpreter.set_input(image[None], 0)
    interpreter.invoke()
    rows.append([interpreter.get_output(i) for i in range({outputs})])
interpreter.print_allocations()
np.savez(results, *[np.concatenate(values) for values in zip(*rows)])
"""
_LINE = re.compile(r"\[RecordingMicroAllocator\] Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(r"\[RecordingMicroAllocator\] '(.+?)' used (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """The memory that an interpreter works in; weights stay in the flash.

    Attributes:
        total: bytes that it takes.
        head: of these, the tensors of an inference, which lie over one another as it goes on.
        tail: of these, what stays: the interpreter's own tables.
        parts: of the tail, by what they are.
    """

    total: int
    head: int
    tail: int
    parts: dict[str, int]

    @property
    def with_room(self) -> int:
        """What to give a firmware: 10 % more, a multiple of 16 bytes."""
        return -(-round(self.total * (1 + HEAD_ROOM)) // _ALIGNMENT) * _ALIGNMENT


def why_not() -> str:
    """A sentence where the package is absent, else nothing."""
    if find_spec("tflite_micro") is None:
        return f"{TITLE} is not installed: `pip install 'mirada[device]'`."
    return ""


def run_tflm(path: Path, images: np.ndarray) -> list[np.ndarray]:
    """The outputs of images.

    Args:
        path: the `.tflite` file.
        images: (N, S, S, C), of the type that the file takes.

    Returns:
        Of each output (N, ...), in the order of the file.

    Raises:
        MiradaError: the package is absent, or the file does not run.
    """
    return _run(path, images)[0]


def measure_arena(path: Path) -> Arena:
    """The memory that a model needs, measured by an inference; in exactly so much it is run again.

    Raises:
        MiradaError: the package is absent, the file does not run, or does not in the memory that was measured.
    """
    from mirada.export.file_tables import read_input

    shape, dtype = read_input(path)
    image = np.zeros(shape, dtype)
    outputs, arena = _run(path, image)
    again, _ = _run(path, image, arena.total)
    if any(not np.array_equal(a, b) for a, b in zip(outputs, again, strict=True)):
        raise MiradaError(f"{path} answers otherwise in an arena of {arena.total:,} bytes: give {TITLE} more.")
    return arena


def _run(path: Path, images: np.ndarray, arena: int | None = None) -> tuple[list[np.ndarray], Arena]:
    if reason := why_not():
        raise MiradaError(reason)
    from mirada.export.file_tables import read_tables

    outputs = len(read_tables(path).subgraphs[0].outputs)
    plenty = _PLENTY + _ALIGNMENT * path.stat().st_size
    script = _SCRIPT.format(arena=arena or plenty, outputs=outputs)
    values, said = run_script([sys.executable], script, path, images, TITLE)
    sizes = {name: int(size) for name, size in _LINE.findall(said)}
    if set(sizes) != {"total", "head", "tail"}:
        raise MiradaError(f"{TITLE} does not tell its arena of {path}: another version of tflite-micro may.")
    parts = {name: int(size) for name, size in _PART.findall(said)}
    return values, Arena(sizes["total"], sizes["head"], sizes["tail"], parts)
