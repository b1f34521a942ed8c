"""What the train stage left of its course beside the model, and how published figures compare with ours."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mirada.config import PublishedConfig
from mirada.errors import MiradaError
from mirada.tasks import Task
from mirada.tasks.base import Table

_TIMING = {
    "input": "input", "epoch": "epoch", "seconds": "seconds", "images_per_s": "images/s", "wait_share": "waiting for input",
    "cpu_percent": "CPU %", "peak_memory_mb": "peak memory MiB", "gpu_percent": "GPU %", "gpu_memory_mb": "GPU memory MiB",
}  # fmt: skip
_SHARES = {
    "accuracy",
    "balanced_accuracy",
    "auc",
    "macro_f1",
    "iou_50",
    "mean_iou",
    "loc_accuracy",
    "map50",
    "map50_95",
}


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


def check_published(published: Sequence[PublishedConfig]) -> None:
    """Refuse a share given in percent.

    Raises:
        MiradaError: it names the row and the key.
    """
    for row in published:
        for key, value in row.figures.items():
            if key in _SHARES and not 0 <= value <= 1:
                raise MiradaError(
                    f"published: {key} of {row.what!r} must be a share between 0 and 1, got {value:g}: write 82 % as 0.82."
                )


def compare_published(
    published: Sequence[PublishedConfig],
    figures: Mapping[str, Mapping[str, float]],
    training: TrainingRecord,
    metric: str,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Published rows, then ours: one for each of float32, int8 and qat, and one a kind of input that was timed.

    Args:
        published: the rows of the configuration.
        figures: variant -> the figures of `metrics.json`.
        training: its figures go with float32, which is what was trained.
        metric: key of the main metric, which is shown whatever was published.

    Returns:
        Keys in order of appearance, and rows with `what`, `source` and those of the keys that they know.
    """
    keys = list(dict.fromkeys(key for row in published for key in row.figures))
    keys += [key for key in (metric, "train_seconds", "epoch_seconds") if key not in keys]
    ours = {name: dict(figures[name]) for name in ("float32", "int8", "qat") if name in figures}
    for row in ours.values():
        row.pop("peak_memory_mb", None)  # an inference's; what is published is the training's
    ours["float32"] |= training.figures
    ours |= {f"{name} input": row for name, row in training.input_figures.items()}
    rows: list[dict[str, Any]] = [{"what": row.what, "source": row.source, **row.figures} for row in published]
    for name, known in ours.items():
        if shown := {key: known[key] for key in keys if key in known}:
            rows.append({"what": f"ours, {name}", "source": "", **shown})
    return [key for key in keys if any(key in row for row in rows)], rows


def published_table(keys: Sequence[str], rows: Sequence[Mapping[str, Any]], task: Task) -> Table:
    """What `compare_published` found, for the page."""
    columns = {column.key: column for column in (*task.main_columns, *task.more_columns)}

    def cell(key: str, value: float | None) -> str:
        if value is None:
            return "–"
        if key in columns:
            return f"{value:.{columns[key].digits}f}"
        if 0 < abs(value) < 1:
            return f"{value:.3f}"
        return f"{value:.0f}" if value == int(value) else f"{value:.1f}"

    heads = [columns[key].heading if key in columns else key.replace("_", " ") for key in keys]
    return Table(["", *heads], [[row["what"], *(cell(key, row.get(key)) for key in keys)] for row in rows])
