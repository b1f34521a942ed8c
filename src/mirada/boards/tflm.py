"""TensorFlow Lite Micro on this machine: the memory that a microcontroller needs, and the outputs that it gives.

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

from mirada.boards.processes import ask, last_line, run_script
from mirada.errors import MiradaError
from mirada.inference.file_tables import read_input, read_tables

TITLE = "TensorFlow Lite Micro"
HEAD_ROOM = 0.1  # of an arena, for another version of the library
_ALIGNMENT = 16
_PLENTY = (
    64 * 2**20
)  # bytes to measure in; its end is aligned as that of a firmware's arena, or padding would count otherwise

# No inference: all memory is laid out before one, and to compute it takes the kernels of a microcontroller seconds.
_ALLOCATION = """
import sys
from tflite_micro import runtime

runtime.Interpreter.from_file(sys.argv[1], arena_size={arena}).print_allocations()
"""
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
_LACKS = re.compile(r"Failed to get registration from op code (\w+)|Didn't find op for builtin opcode '(\w+)'|"
                    r"Node (\w+) \(number \d+\) failed to prepare")  # fmt: skip


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


def allocate(path: Path, seconds: float | None = None) -> Arena:
    """The memory that a model needs, by TensorFlow Lite Micro's own allocator; a fraction of a second, no inference.

    Args:
        path: the `.tflite` file.
        seconds: after which it is given up; None: never.

    Raises:
        CrashedError: it crashes; the signal's name alone.
        MiradaError: the package is absent, or the file is refused; the reason alone, an operator where one is named.
    """
    if reason := why_not():
        raise MiradaError(reason)
    command = [sys.executable, "-c", _ALLOCATION.format(arena=_plenty(path)), str(path)]
    status, said, noise = ask(command, seconds)
    if status:
        named = [name for names in _LACKS.findall(noise) for name in names if name]
        raise MiradaError(f"operator {named[-1]}" if named else last_line(noise))
    return _read_arena(path, said + noise)


def measure_arena(path: Path) -> Arena:
    """The memory that a model needs, measured by an inference; in exactly so much it is run again.

    Raises:
        MiradaError: the package is absent, the file does not run, or does not in the memory that was measured.
    """
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
    outputs = len(read_tables(path).subgraphs[0].outputs)
    script = _SCRIPT.format(arena=arena or _plenty(path), outputs=outputs)
    values, said = run_script([sys.executable], script, path, images, TITLE)
    return values, _read_arena(path, said)


def _plenty(path: Path) -> int:
    return _PLENTY + _ALIGNMENT * path.stat().st_size


def _read_arena(path: Path, said: str) -> Arena:
    """From what the allocator printed."""
    sizes = {name: int(size) for name, size in _LINE.findall(said)}
    if set(sizes) != {"total", "head", "tail"}:
        raise MiradaError(f"{TITLE} does not tell its arena of {path}: another version of tflite-micro may.")
    parts = {name: int(size) for name, size in _PART.findall(said)}
    return Arena(sizes["total"], sizes["head"], sizes["tail"], parts)
