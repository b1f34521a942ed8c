"""What repeats come to: mean and scatter of each variant, and the drop that all folds together judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.comparison.groups import Group, RunRecord, short
from mirada.comparison.repeats import MINUTES, Repeats, Spread, repeats_of, spread_of
from mirada.errors import MiradaError
from mirada.inference.variants import REFERENCE
from mirada.quantization.out_of_fold import Pooled, pool_folds, pooled_figures, read_val_outcomes
from mirada.tables import Column, Table, ms_text, signed_text
from mirada.tasks import TASKS, get_task

Fetch = Callable[[RunRecord], Path | None]
"""Where a run's val outcomes lie; None where it has none."""


@dataclass
class PooledFolds:
    """All folds of one seed."""

    repeats: Repeats
    seed: str
    rungs: list[Pooled]


@dataclass
class Summary:
    """Of one group: its repeats, what their folds say together, and why some say nothing."""

    group: Group
    repeats: list[Repeats]
    pooled: list[PooledFolds] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def summarise(groups: Iterable[Group], over: Sequence[str], fetch: Fetch) -> list[Summary]:
    """The groups that hold repeats, put together.

    Args:
        groups: of `groups.group_runs`.
        over: keys of `repeats.REPEATED`.
        fetch: called for each run of whole folds.
    """
    summaries = []
    for group in groups:
        if repeats := repeats_of(group, over):
            summary = Summary(group, repeats)
            for one in repeats:
                _pool_seeds(summary, one, fetch)
            summaries.append(summary)
    return summaries


def _pool_seeds(summary: Summary, repeats: Repeats, fetch: Fetch) -> None:
    """Pool the folds of each seed, where all of them are there."""
    for seed in repeats.seeds if len(repeats.folds) > 1 else ():
        runs = [run for run in repeats.runs if run.params.get("seed", "–") == seed and "fold" in run.params]
        have, asked = {run.params["fold"] for run in runs}, int(runs[0].params.get("kfold", "0")) if runs else 0
        where = _where(summary, repeats, seed)
        if lacking := [str(fold) for fold in range(asked) if str(fold) not in have]:
            summary.notes.append(f"{where}not pooled: no figures of fold {', '.join(lacking)}.")
            continue
        try:
            paths = [(run, fetch(run)) for run in runs]
            if without := [run.params["fold"] for run, path in paths if path is None]:
                named = ", ".join(without)
                summary.notes.append(
                    f"{where}not pooled: no val outcomes of fold {named}, which quantize keeps with a max_drop."
                )
                continue
            rungs = pool_folds([read_val_outcomes(path) for _, path in paths if path is not None])
            summary.pooled.append(PooledFolds(repeats, seed, rungs))
        except MiradaError as error:
            summary.notes.append(f"{where}not pooled: {error}")


def _where(summary: Summary, repeats: Repeats, seed: str) -> str:
    """Which repeats a note is about; empty where there is no doubt."""
    words = [f"{short(key)}={value}" for key, value in repeats.settings.items()]
    words += [f"seed={seed}"] if len(repeats.seeds) > 1 else []
    return f"{' '.join(words)}: " if words else ""


# -- for people --------------------------------------------------------------------------------------------------------


def spread_text(spread: Spread | None, text: Callable[[float], str], unit: float = 1.0) -> str:
    """Mean ± standard deviation with the mean's decimals, the second only where it shows.

    Args:
        spread: of the figures; None: a dash.
        text: writes the mean, given in units.
        unit: what both are divided by, 1e6 for bytes as MB.

    >>> spread_text(Spread(0.5, 0.0123, 3), lambda value: f"{value:.3f}"), spread_text(Spread(2.0, 0.01, 3), ms_text)
    ('0.500 ± 0.012', '2.0')
    """
    if spread is None:
        return "–"
    mean = text(spread.mean / unit)
    scatter = "" if math.isnan(spread.sd) else f"{spread.sd / unit:.{len(mean.partition('.')[2])}f}"
    return f"{mean} ± {scatter}" if scatter.strip("0.") else mean


def repeats_table(summary: Summary) -> Table:
    """A line a variant: its means over seeds and folds."""
    group, columns = summary.group, list(summary.repeats[0].settings)
    besides = _columns_besides(summary)
    head = [
        *map(short, columns),
        "over",
        "variant",
        group.metric_name or "accuracy",
        *(column.heading for column in besides),
        "drop",
        "MB",
        "p50 ms",
        "train min",
    ]
    rows = []
    for repeats in summary.repeats:
        for variant in (name for name in repeats.variants if not group.variants or name in group.variants):
            drop = "–" if variant == REFERENCE else spread_text(repeats.spread(variant, "drop"), signed_text)
            rows.append(
                [
                    *repeats.settings.values(),
                    repeats.over,
                    variant,
                    *(_figure_text(repeats, variant, key) for key in (group.metric, *(one.key for one in besides))),
                    drop,
                    spread_text(repeats.spread(variant, "size_bytes"), lambda megabytes: f"{megabytes:.2f}", unit=1e6),
                    spread_text(repeats.spread(variant, "latency_ms_p50"), ms_text),
                    spread_text(repeats.spread(variant, MINUTES), lambda value: f"{value:.1f}"),
                ]
            )
    return Table(head, rows)


def _columns_besides(summary: Summary) -> list[Column]:
    """The other figures of the task's overviews that were measured, such as mAP50-95."""
    group = summary.group
    columns = get_task(group.task).main_columns if group.task in TASKS else ()
    measured = {key for run in group.runs for figures in run.figures.values() for key in figures}
    return [column for column in columns if column.key != group.metric and column.key in measured]


def _figure_text(repeats: Repeats, variant: str, key: str) -> str:
    return spread_text(repeats.spread(variant, key), lambda value: f"{value:.3f}")


def pooled_table(summary: Summary) -> Table:
    """A line a rung: what all out-of-fold images say of it; empty without pooled folds."""
    columns = list(summary.repeats[0].settings)
    seeds = any(len(pooled.repeats.seeds) > 1 for pooled in summary.pooled)
    name = summary.pooled[0].rungs[0].metric if summary.pooled else summary.group.metric
    head = [
        *map(short, columns),
        *(["seed"] if seeds else []),
        "rung",
        "val images",
        f"{name}, float32",
        name,
        "drop [95 %]",
    ]
    head += ["budget", "answer", "mean of folds", "mean drop"]
    rows = []
    for pooled in summary.pooled:
        first = [*pooled.repeats.settings.values(), *([pooled.seed] if seeds else [])]
        rows += [[*first, *_rung_cells(rung)] for rung in pooled.rungs]
    return Table(head, rows)


def _rung_cells(rung: Pooled) -> list[str]:
    low, high = signed_text(rung.drop_low), signed_text(rung.drop_high)
    answer = rung.answer.replace("_", " ") + (f", {rung.more_images} more would" if rung.more_images else "")
    value, drop = spread_of(rung.fold_values), spread_of(_fold_drops(rung))
    cells = [rung.rung, str(rung.images), f"{rung.reference:.3f}", f"{rung.value:.3f}"]
    cells += [f"{signed_text(rung.drop)} [{low}, {high}]", f"{rung.max_drop:g}", answer]
    return [*cells, spread_text(value, lambda number: f"{number:.3f}"), spread_text(drop, signed_text)]


def _fold_drops(rung: Pooled) -> list[float]:
    return [before - after for before, after in zip(rung.fold_references, rung.fold_values, strict=True)]


# -- for machines ------------------------------------------------------------------------------------------------------

_KEYS = ("drop", "size_bytes", "latency_ms_p50", MINUTES)


def repeats_csv(summaries: Sequence[Summary]) -> Table:
    """`repeats.csv`: unrounded, all groups."""
    columns = list(dict.fromkeys(key for summary in summaries for one in summary.repeats for key in one.settings))
    head = ["dataset", "task", "data_digest", "split", "over", "runs", "variant", "metric", "value_mean", "value_sd"]
    besides = list(dict.fromkeys(one.key for summary in summaries for one in _columns_besides(summary)))
    keys = [*_KEYS, *besides]
    head += [f"{key}_{kind}" for key in keys for kind in ("mean", "sd")] + ["run_ids", *columns]
    rows = []
    for summary in summaries:
        group = summary.group
        for one in summary.repeats:
            for variant in one.variants:
                cells: list[Any] = [
                    group.dataset,
                    group.task,
                    group.digest,
                    group.split,
                    one.over,
                    len(one.runs),
                    variant,
                ]
                cells.append(group.metric)
                for key in (group.metric, *keys):
                    spread = one.spread(variant, key)
                    cells += ["", ""] if spread is None else [spread.mean, _blank(spread.sd)]
                cells.append(" ".join(run.id for run in one.runs))
                rows.append([str(cell) for cell in cells] + [one.settings.get(column, "") for column in columns])
    return Table(head, rows)


def pooled_csv(summaries: Sequence[Summary]) -> Table:
    """`pooled.csv`: unrounded, all groups."""
    columns = list(dict.fromkeys(key for summary in summaries for one in summary.repeats for key in one.settings))
    keys = ("rung", "folds", "images", "metric", "reference", "value", "drop", "drop_low", "drop_high", "max_drop")
    head = ["dataset", "seed", *keys, "answer", "more_images", "fold_value_mean", "fold_value_sd"]
    head += ["fold_drop_mean", "fold_drop_sd", *columns]
    rows = []
    for summary in summaries:
        for pooled in summary.pooled:
            for rung in pooled.rungs:
                cells: list[Any] = [summary.group.dataset, pooled.seed, *(getattr(rung, key) for key in keys)]
                cells += [rung.answer, "" if rung.more_images is None else rung.more_images]
                for values in (rung.fold_values, _fold_drops(rung)):
                    spread = spread_of(values)
                    cells += ["", ""] if spread is None else [spread.mean, _blank(spread.sd)]
                settings = pooled.repeats.settings
                rows.append([str(cell) for cell in cells] + [settings.get(column, "") for column in columns])
    return Table(head, rows)


def _blank(value: float) -> Any:
    return "" if math.isnan(value) else value


def summary_figures(summaries: Sequence[Summary]) -> dict[str, float]:
    """For the sweep's own run: `mean/<variant>/<figure>`, `sd/…` and `pooled/<rung>/<figure>`, where one thing was repeated.

    With several things repeated there is no one mean: `repeats.csv` has them all.
    """
    if len(summaries) != 1 or len(summaries[0].repeats) != 1:
        return {}
    one, figures = summaries[0].repeats[0], {}
    keys = (summaries[0].group.metric, *_KEYS[:-1], *(column.key for column in _columns_besides(summaries[0])))
    for variant in one.variants:
        for key in keys:
            if (spread := one.spread(variant, key)) is not None:
                figures[f"mean/{variant}/{key}"] = spread.mean
                figures |= {} if math.isnan(spread.sd) else {f"sd/{variant}/{key}": spread.sd}
    pooled = summaries[0].pooled
    return figures | (dict(pooled_figures(pooled[0].rungs)) if len(pooled) == 1 else {})
