"""What a `.tflite` takes of a board: memory to work in, flash, time, and operators that are not there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mirada.boards import tflm, vela
from mirada.boards.memory import Memory, plan_memory
from mirada.boards.network import Network, read_graph
from mirada.boards.operators import lacking_operators
from mirada.config import DeviceConfig
from mirada.errors import MiradaError
from mirada.inference.file_tables import read_tables
from mirada.inference.tflite_file import list_operators

FIGURES = ("arena_bytes", "flash_bytes", "milliseconds")
"""What is told of a model on a board, by the names of the limits."""


class Takes(Protocol):
    """What a model takes of a board, whoever remembers it: `FIGURES`, None where not known, and why not."""

    @property
    def arena_bytes(self) -> int | None:
        """Memory to work in."""

    @property
    def flash_bytes(self) -> int:
        """Of the model."""

    @property
    def milliseconds(self) -> float | None:
        """Of an inference."""

    @property
    def lacking(self) -> list[str]:
        """Operators that the board does not have."""

    @property
    def unknown(self) -> dict[str, str]:
        """Figure -> why it is not known."""


def known_figures(taken: Takes) -> dict[str, float]:
    """What is known, by name."""
    found = {name: getattr(taken, name) for name in FIGURES}
    return {name: float(value) for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Carried:
    """What a model takes of a board; what is None is not known, and `unknown` says why.

    Attributes:
        arena_bytes: memory to work in: TensorFlow Lite Micro's arena to the byte, of an Ethos-U Vela's SRAM.
        fixed_bytes: of these, what no smaller input saves: the interpreter's tables.
        flash_bytes: of the model, without the program; of an Ethos-U by Vela.
        milliseconds: of an inference, by Vela.
        lacking: operators that the board does not have.
        npu_operators, cpu_operators: of an Ethos-U: where they run.
        unknown: 'arena_bytes' or 'milliseconds' -> why it is not known; a time with an entry here is the NPU's alone.
        network, memory: what the file's own tables say.
    """

    arena_bytes: int | None
    fixed_bytes: int
    flash_bytes: int
    milliseconds: float | None
    lacking: list[str]
    npu_operators: int
    cpu_operators: int
    unknown: dict[str, str] = field(repr=False)
    network: Network = field(repr=False)
    memory: Memory = field(repr=False)

    def figures(self) -> dict[str, float]:
        """What is known, by name."""
        return known_figures(self)


def why_not(board: DeviceConfig) -> str:
    """A sentence where the package that tells a board's memory is absent, else nothing."""
    asks: dict[str, Callable[[], str]] = {"tflm": tflm.why_not, "vela": vela.why_not}
    return asks[board.runtime]() if board.runtime in asks else ""


def measure(model: Path | bytes, board: DeviceConfig) -> Carried:
    """Ask the board's runtime; takes a second for a microcontroller, some for an Ethos-U, and no training.

    Args:
        model: a `.tflite`, or its bytes.
        board: the target.

    Raises:
        MiradaError: it is no `.tflite`.
    """
    if isinstance(model, bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(model)
            return measure(path, board)
    tables = read_tables(model)
    network = read_graph(tables)
    lacking = lacking_operators(list_operators(tables), board.operators)
    arena, fixed, flash, time, counts, unknown = None, 0, model.stat().st_size, None, (0, 0), {}
    if board.vela is not None:
        core = board.vela
        try:
            compiled = vela.compile_for_npu(model, core.accelerator, core.system_config, core.memory_mode)
        except MiradaError as error:
            unknown = dict.fromkeys(("arena_bytes", "milliseconds"), str(error))
            return Carried(None, 0, flash, None, lacking, *counts, unknown, network, plan_memory(network))
        arena, flash = round(1024 * compiled.sram_kib), round(1024 * compiled.flash_kib)
        counts, time = (compiled.npu_operators, compiled.cpu_operators), compiled.ms
        if compiled.cpu_operators:
            unknown["milliseconds"] = (
                f"{compiled.cpu_operators} operators run on the processor, whose time is not known"
            )
    else:
        arena, fixed, unknown = _arena(model, board, lacking)
    return Carried(arena, fixed, flash, time, lacking, *counts, unknown, network, plan_memory(network))


def _arena(path: Path, board: DeviceConfig, lacking: list[str]) -> tuple[int | None, int, dict[str, str]]:
    """Its bytes, those that are fixed, and why they are not known."""
    unknown = {"milliseconds": board.sources.get("time_known", "no simulator tells it")}
    if board.runtime != "tflm":
        return None, 0, unknown | {"arena_bytes": "LiteRT takes memory as it goes"}
    if reason := tflm.why_not() or (f"{tflm.TITLE} lacks {', '.join(lacking)}" if lacking else ""):
        return None, 0, unknown | {"arena_bytes": reason}
    try:
        arena = tflm.allocate(path)
    except MiradaError as error:
        return None, 0, unknown | {"arena_bytes": f"{tflm.TITLE} refuses the file ({error})"}
    return arena.total, arena.tail, unknown
