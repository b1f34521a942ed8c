"""What a candidate takes of a board, from its untrained network, kept on disk; and which ones need not be asked at all."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mirada.boards.carried import known_figures, measure
from mirada.boards.limits import CHIPS
from mirada.boards.memory import Memory, read_memory
from mirada.boards.memory_plot import describe_memory
from mirada.config import DeviceConfig, ModelConfig
from mirada.files import write_whole
from mirada.fitting.space import Candidate

_PACKAGES = ("tensorflow", "tf-keras", "tflite-micro", "ethos-u-vela")
_FORMAT = 3  # 1: without metadata and labels; 2: without the memory over the operators

Build = Callable[[ModelConfig, str, int, int, int, str], bytes]
"""Settings, task, input size, channels, classes, type of the input -> the untrained network's int8 `.tflite`."""


@dataclass(frozen=True)
class Taken:
    """What a candidate takes of a board.

    Attributes:
        arena_bytes, flash_bytes, milliseconds: as in `boards.carried.Carried`; None: not known.
        lacking: operators that the board does not have.
        unknown: figure -> why it is not known.
        seconds: that judging it took.
        peak: who the peak of its memory is, and what would lower it, in words.
    """

    arena_bytes: int | None
    flash_bytes: int
    milliseconds: float | None
    lacking: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak: str = ""

    def figures(self) -> dict[str, float]:
        """What is known, by name."""
        return known_figures(self)


class Bench:
    """Builds candidates and asks a board's runtime what they take.

    Args:
        board: the target.
        models: name of a file of conf/model -> its settings.
        task: of the data. classes: their number.
        io: type of the input.
        folder: where answers are kept for the next time.
        code: digest of the code that builds a network.
        build: makes the file.
    """

    def __init__(
        self,
        board: DeviceConfig,
        models: Mapping[str, ModelConfig],
        *,
        task: str,
        classes: int,
        io: str,
        folder: Path,
        code: str,
        build: Build,
    ) -> None:
        self.board, self.models, self.task, self.classes, self.io = board, models, task, classes, io
        self._folder, self._code, self._build = folder, code, build

    def model_of(self, candidate: Candidate) -> ModelConfig:
        """The settings of a candidate's network."""
        return candidate.configure(self.models[candidate.model])

    def build(self, candidate: Candidate) -> bytes:
        """The int8 `.tflite` of its untrained network."""
        size, channels = candidate.input_size, candidate.channels
        return self._build(self.model_of(candidate), self.task, size, channels, self.classes, self.io)

    def take(self, candidate: Candidate) -> Taken:
        """What it takes, from the disk where it was asked before; what was not told for its arena is asked again.

        Raises:
            MiradaError: it can't be built.
        """
        if (kept := _read(self._path(candidate))) is not None:
            return kept[0]
        started = time.perf_counter()
        carried = measure(self.build(candidate), self.board)
        peak = " ".join(describe_memory(carried.network, carried.memory))
        taken = Taken(
            carried.arena_bytes, carried.flash_bytes, carried.milliseconds, carried.lacking, carried.unknown,
            round(time.perf_counter() - started, 2), peak,
        )  # fmt: skip
        if taken.arena_bytes is None and self.board.runtime in CHIPS:  # a crash, say: the next time it may be told
            return taken
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {"format": _FORMAT, "taken": asdict(taken), "memory": carried.memory.record()}
        write_whole(self._path(candidate), json.dumps(content) + "\n")
        return taken

    def memory(self, candidate: Candidate) -> Memory | None:
        """Its memory over the operators, as it was kept when it was judged; None where it was not."""
        kept = _read(self._path(candidate))
        return kept[1] if kept else None

    def _path(self, candidate: Candidate) -> Path:
        return self._folder / f"{self._digest(candidate)}.json"

    def _digest(self, candidate: Candidate) -> str:
        settings = {key: value for key, value in asdict(self.model_of(candidate)).items() if key != "weights"}
        board = {"runtime": self.board.runtime, "operators": self.board.operators}
        content = [
            _FORMAT, settings, self.task, candidate.input_size, candidate.channels, self.classes, self.io, board,
            asdict(self.board.vela) if self.board.vela else None, self._code, [_version(name) for name in _PACKAGES],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _read(path: Path) -> tuple[Taken, Memory] | None:
    """What was kept; None where nothing was, or it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return (Taken(**content["taken"]), read_memory(content["memory"])) if content["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
