"""What the variants take of a board: who is the peak of memory, and what a device makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.boards import tflm
from mirada.boards.asking import BoardJudge, board_table, wanted_judge
from mirada.boards.carried import FIGURES
from mirada.boards.judging import CANNOT_TELL, FITS
from mirada.boards.memory import Memory, plan_memory
from mirada.boards.memory_plot import describe_memory, plot_memory
from mirada.boards.network import read_graph
from mirada.errors import MiradaError
from mirada.evaluation.processor import Figures
from mirada.evaluation.runtimes import Runtimes
from mirada.evaluation.wanted_device import Advice, advise
from mirada.inference.file_tables import read_tables
from mirada.inference.workload import Workload, count_workload
from mirada.tables import Table


@dataclass(frozen=True)
class Shipped:
    """What leaves for a board: a variant's answers in another file, with an input of another type or in strips.

    Attributes:
        path: the file. of: the variant's own file.
        judge: the board.
        how: the file in words, for the page.
        beside: what other kernels make of the file.
    """

    path: Path
    of: Path
    judge: BoardJudge
    how: str
    beside: Runtimes

    def file_of(self, path: Path) -> Path:
        """What is judged of a variant: the file that leaves, where the variant is the one that does."""
        return self.path if path.read_bytes() == self.of.read_bytes() else path


@dataclass
class OnBoard:
    """All of it empty where nothing is known.

    Attributes:
        variant: whose memory is shown. sentences: it in words. memory: its plan.
        arena_bytes: of TensorFlow Lite Micro, where that is installed and has its operators.
        found: variant -> what its device makes of it: that of the quantize stage, or a wanted one.
        work: variant -> what an inference takes, where there is a device. advice: which variant to take there, and why.
        note: which file it is, where it is not the variant's own.
    """

    variant: str = ""
    sentences: list[str] = field(default_factory=list)
    memory: Memory | None = None
    arena_bytes: int | None = None
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    work: dict[str, Workload] = field(default_factory=dict)
    advice: Advice = field(default_factory=Advice)
    note: str = ""

    def figures(self, variant: str) -> dict[str, float]:
        """What is known of a variant, for `metrics.json`."""
        entry = self.found.get(variant, {})
        known = {name: float(entry[name]) for name in FIGURES if entry.get(name) is not None}
        if entry.get("answer", CANNOT_TELL) != CANNOT_TELL:
            known["fits_device"] = float(entry["answer"] == FITS)
        if work := self.work.get(variant):
            known["int8_share"] = work.int8_share
        return known

    def advise(self, figures: Figures, metric: str, budget: float) -> None:
        """Choose the variant for the device, where there is one; arguments as of `wanted_device.advise`."""
        if self.found:
            self.advice = advise(figures, metric, budget, self.found, self.work)

    @property
    def title(self) -> str:
        """The device's, where there is one."""
        return next((str(entry["title"]) for entry in self.found.values()), "")

    @property
    def verdict(self) -> str:
        """Of the variant that is shown, in a sentence; empty where there is no device, or the advice says it."""
        found = self.found.get(self.variant)
        return f"{self.variant}: {found['sentence']}" if found and self.variant != self.advice.variant else ""

    def table(self) -> Table | None:
        """A row a variant: what it takes, and whether it fits; None where there is no device."""
        return board_table(self.found) if self.found else None

    def plots(self, *, dark: bool = False) -> dict[str, bytes]:
        """'memory' -> a PNG; empty where the memory is not known."""
        if self.memory is None:
            return {}
        bounds = [
            part["bound"] for part in self.found.get(self.variant, {}).get("limits", []) if part["limit"] == FIGURES[0]
        ]
        limit = next(iter(bounds), None)
        return {"memory": plot_memory(self.memory, limit_bytes=limit, arena_bytes=self.arena_bytes, dark=dark)}


def read_on_board(
    folder: Path, variants: Mapping[str, Path], shown: str, wanted: str | None = None, shipped: Shipped | None = None
) -> OnBoard:
    """The memory of one variant, and what a device makes of each.

    Args:
        folder: holds `variants.json`. variants: name -> file. shown: whose memory is looked at.
        wanted: a file of conf/device that is asked; None: what the quantize stage left is taken.
        shipped: the file that leaves for a board, which is judged instead of its variant's, and the board; None: none does.

    Raises:
        MiradaError: `variants.json` is damaged; there is no such device, or it can't be judged here.
    """
    found, files, note = read_found(folder), dict(variants), ""
    if shipped is not None:
        files = {name: shipped.file_of(path) for name, path in variants.items()}
        found = {name: shipped.judge.record(path.read_bytes()) for name, path in files.items()}
        note = (
            f"{' and '.join(n for n, path in files.items() if path == shipped.path)} as in the bundle: {shipped.how}."
        )
    elif wanted is not None and {entry["device"] for entry in found.values()} != {wanted}:
        judge = wanted_judge(wanted)
        found = {name: judge.record(path.read_bytes()) for name, path in variants.items()}
    work = {name: count_workload(files[name].read_bytes()) for name in found if name in files}
    network = read_graph(read_tables(files[shown]))
    memory, arena = plan_memory(network), None
    if not tflm.why_not() and (shipped is None or shipped.judge.board.runtime == "tflm"):
        try:
            arena = tflm.allocate(files[shown])
        except MiradaError:  # an operator that it lacks: the plan is what is known
            arena = None
    said = describe_memory(network, memory, *((arena.total, arena.tail) if arena else ()))
    return OnBoard(shown, said, memory, arena.total if arena else None, found, work, note=note)


def read_found(folder: Path) -> dict[str, dict[str, Any]]:
    """Variant -> what the quantize stage found for its device; empty where it had none.

    Raises:
        MiradaError: `variants.json` is damaged.
    """
    path = folder / "variants.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["variants"]
        return {entry["name"]: entry["board"] for entry in entries if "board" in entry}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{path} is corrupt ({error!r}): run the quantize stage again.") from error
