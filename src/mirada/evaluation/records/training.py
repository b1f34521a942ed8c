"""What the train stage left of its course beside the model, and how published figures compare with ours."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mirada.errors import MiradaError
from mirada.tables import Table

_TIMING = {
    "input": "input", "epoch": "epoch", "seconds": "seconds", "images_per_s": "images/s", "wait_share": "waiting for input",
    "cpu_percent": "CPU %", "peak_memory_mb": "peak memory MiB", "gpu_percent": "GPU %", "gpu_memory_mb": "GPU memory MiB",
}  # fmt: skip


@dataclass
class TrainingRecord:
    """What is known of a training; all of it empty where the train stage left nothing.

    Attributes:
        history: the rows of `history.csv`, one an epoch.
        timing: the rows of `input_timing.csv`, one an epoch and kind of input.
        timeline: `input_timeline.png`; None without it.
    """

    history: list[dict[str, str]] = field(default_factory=list)
    timing: list[dict[str, str]] = field(default_factory=list)
    timeline: bytes | None = None

    @property
    def figures(self) -> dict[str, float]:
        """The last epoch's figures, and `epochs`, `train_seconds`, `epoch_seconds` and use of CPU, GPU and memory.

        Use is that of the last kind of input, the one that the model was trained with.
        """
        last = self.history[-1] if self.history else {}
        found = {key: value for key, text in last.items() if (value := _number(text)) is not None}
        if seconds := _column(self.history, "seconds"):
            found |= {"epochs": len(seconds), "train_seconds": sum(seconds), "epoch_seconds": _steady(seconds)}
        used = list(self.input_figures.values())[-1] if self.timing else {}
        return found | {key: value for key, value in used.items() if key != "epoch_seconds"}

    @property
    def input_figures(self) -> dict[str, dict[str, float]]:
        """Kind of input -> `epoch_seconds` and what was measured of CPU, GPU and memory: medians, the peak of memory."""
        found: dict[str, dict[str, float]] = {}
        for name, rows in self.inputs.items():
            seconds = _column(rows, "seconds")
            found[name] = {"epoch_seconds": _steady(seconds)} if seconds else {}
            for key in ("cpu_percent", "peak_memory_mb", "gpu_percent", "gpu_memory_mb"):
                if values := _column(rows, key):
                    found[name][key] = median(values) if key.endswith("percent") else max(values)
        return found

    @property
    def inputs(self) -> dict[str, list[dict[str, str]]]:
        """Kind of input -> its rows of `timing`, in order."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in self.timing:
            found.setdefault(row["input"], []).append(row)
        return found

    def timing_table(self) -> Table | None:
        """`timing` for the page, without columns that are empty; None without rows."""
        if not self.timing:
            return None
        keys = [key for key in _TIMING if any(row.get(key) for row in self.timing)]
        rows = [[_timing_cell(key, row.get(key)) for key in keys] for row in self.timing]
        return Table([_TIMING[key] for key in keys], rows)

    def timing_sentence(self) -> str:
        """How the epochs of two kinds of input compare; empty when there are not two."""
        steady = {name: row["epoch_seconds"] for name, row in self.input_figures.items() if "epoch_seconds" in row}
        if len(steady) < 2:
            return ""
        slow, fast = max(steady, key=lambda name: steady[name]), min(steady, key=lambda name: steady[name])
        return (
            f"An epoch takes {steady[slow]:.1f} s with the {slow} input and {steady[fast]:.1f} s with the {fast} one: "
            f"{steady[slow] / steady[fast]:.2f} × as long (median, without the first epoch of each where there are more)."
        )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _column(rows: Sequence[Mapping[str, str]], key: str) -> list[float]:
    return [value for row in rows if (value := _number(row.get(key))) is not None]


def _steady(seconds: Sequence[float]) -> float:
    """The median, without the first epoch, which also builds the graph and fills the cache, where there are more."""
    return float(median(seconds[1:] or seconds))


def _timing_cell(key: str, text: str | None) -> str:
    value = _number(text)
    if value is None or key == "epoch":
        return text or "–"
    if key == "wait_share":
        return f"{value:.1%}"
    return f"{value:.0f}" if key.endswith(("_percent", "_mb")) else f"{value:.1f}"


def read_training(folder: Path) -> TrainingRecord:
    """The record that the train stage left beside the model.

    Raises:
        MiradaError: `input_timing.csv` has a row without an input.
    """
    timing, timeline = _rows(folder / "input_timing.csv"), folder / "input_timeline.png"
    if not all(row.get("input") for row in timing):
        raise MiradaError(f"{folder / 'input_timing.csv'} has a row without an input: run the train stage again.")
    picture = timeline.read_bytes() if timeline.is_file() else None
    return TrainingRecord(_rows(folder / "history.csv"), timing, picture)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
