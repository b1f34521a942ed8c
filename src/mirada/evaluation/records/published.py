"""Published figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mirada.config import PublishedConfig
from mirada.errors import MiradaError
from mirada.evaluation.records.training import TrainingRecord
from mirada.tables import Table
from mirada.tasks.base import Figures

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


def published_table(keys: Sequence[str], rows: Sequence[Mapping[str, Any]], task: Figures) -> Table:
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
