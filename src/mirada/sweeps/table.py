"""The jobs of a sweep side by side: what differs, how fast each was, how well it scales, and how far the sweep is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirada.comparison.groups import RunRecord, differing, short

DONE, SKIPPED, PRUNED, FAILED = "done", "skipped", "pruned", "failed"


@dataclass
class JobRecord:
    """What is known of one job.

    Attributes:
        number: its place in the sweep, from 0.
        overrides: its part of the command, such as ['epochs=10', 'gpus=2'].
        status: DONE, SKIPPED (a run of the same key had finished before), PRUNED (by a search) or FAILED.
        reason: why it failed, in one line.
        run_id: of MLflow; None where nothing is recorded.
        output_dir: where its files are, or were left by the run that finished before.
        seconds: of the whole job; of a skipped one, those it took then.
        figures: as they are recorded in MLflow.
        metric, metric_name: key of the figure by which jobs are compared, and what people call it; empty: none.
        task: of its data; empty where it is not told.
    """

    number: int
    overrides: list[str]
    status: str = FAILED
    reason: str = "ended without a word"
    run_id: str | None = None
    output_dir: str = ""
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    metric: str = ""
    metric_name: str = ""
    task: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """Key -> value of the overrides."""
        return dict(_setting(override) for override in self.overrides)

    @property
    def failed(self) -> bool:
        """Whether it has no figures."""
        return self.status in (FAILED, PRUNED)


def _setting(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


@dataclass(frozen=True)
class Measure:
    """A figure of the table and the plot: its key, its heading, its decimals."""

    key: str
    heading: str
    digits: int


@dataclass(frozen=True)
class View:
    """What a stage's sweep is about.

    Attributes:
        scales_over: the setting, a number of gpus or workers, that should make it faster.
        speed: its images a second; time: its seconds; others: further figures.
    """

    scales_over: str
    speed: Measure
    time: Measure
    others: tuple[Measure, ...] = ()


VIEWS = {
    "train": View("gpus", Measure("train_images_per_s", "images/s", 1), Measure("train_seconds", "train s", 1)),
    "preprocess": View(
        "workers",
        Measure("images_per_s", "images/s", 1),
        Measure("seconds", "s", 2),
        (Measure("cpu_percent", "CPU %", 0), Measure("peak_memory_mb", "peak MB", 0)),
    ),
}
EFFICIENCY = "scaling_efficiency"


def swept_columns(jobs: Sequence[JobRecord]) -> list[str]:
    """The settings in which the jobs differ, the usual ones of a sweep first."""
    records = [RunRecord(str(job.number), "", "", job.settings, {}, {}, {}) for job in jobs]
    known = differing(records)
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    rest = [key for key in keys if key not in known and len({job.settings.get(key) for job in jobs}) > 1]
    return [*known, *rest]


def label_of(job: JobRecord, columns: Sequence[str]) -> str:
    """A job in as few words as tell it from the others, such as 'epochs=10 gpus=2'."""
    return " ".join(f"{short(key)}={job.settings.get(key, '–')}" for key in columns) or f"job {job.number}"


def efficiencies(jobs: Sequence[JobRecord], view: View) -> dict[int, float]:
    """Job number -> its scaling efficiency, where it can be told.

    That is its speed over (n / base n x the base job's speed), where n is the number of gpus or workers and the base is
    the job that differs only in having the fewest, at least one. 1 means that twice as many made it twice as fast.
    """
    columns = swept_columns(jobs)
    groups: dict[tuple[str | None, ...], list[tuple[float, float, int]]] = {}
    for job in jobs:
        number_of, speed = _number(job.settings.get(view.scales_over)), job.figures.get(view.speed.key, math.nan)
        if number_of >= 1 and speed > 0 and not job.failed:
            others = tuple(job.settings.get(key) for key in columns if key != view.scales_over)
            groups.setdefault(others, []).append((number_of, speed, job.number))
    found: dict[int, float] = {}
    for members in groups.values():
        base, base_speed, _ = min(members, key=lambda member: member[0])
        if len({number_of for number_of, _, _ in members}) > 1:
            found |= {number: speed / (number_of / base * base_speed) for number_of, speed, number in members}
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def measures_of(jobs: Sequence[JobRecord], view: View) -> list[Measure]:
    """The figures to show: speed, efficiency where it can be told, time, accuracy where there is one, and others."""
    shown = [view.speed]
    if efficiencies(jobs, view):
        shown.append(Measure(EFFICIENCY, "efficiency", 2))
    named = next((job for job in jobs if job.metric), None)
    accuracy = [Measure(named.metric, f"val {named.metric_name}", 3)] if named else []
    return [*shown, view.time, *view.others, *accuracy]


def with_efficiency(jobs: Sequence[JobRecord], view: View) -> list[dict[str, float]]:
    """The figures of each job, its scaling efficiency among them where it can be told."""
    found = efficiencies(jobs, view)
    return [{**job.figures, **({EFFICIENCY: found[job.number]} if job.number in found else {})} for job in jobs]


def table_of(jobs: Sequence[JobRecord], view: View) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table that people read, in the order of the jobs."""
    columns, measures = swept_columns(jobs), measures_of(jobs, view)
    head = ["job", *(short(key) for key in columns), "", *(measure.heading for measure in measures), "run"]
    rows = []
    for job, figures in zip(jobs, with_efficiency(jobs, view), strict=True):
        cells = [str(job.number), *(job.settings.get(key, "–") for key in columns)]
        cells.append("" if job.status == DONE else job.status)
        cells += [text_of(figures.get(measure.key), measure.digits) for measure in measures]
        rows.append([*cells, (job.run_id or "–")[:8]])
    return head, rows


def text_of(value: float | None, digits: int) -> str:
    """A figure with so many decimals, or a dash."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def csv_of(jobs: Sequence[JobRecord], view: View) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of the CSV: unrounded, every figure that a job has."""
    columns, rows = swept_columns(jobs), []
    figures = with_efficiency(jobs, view)
    keys = list(dict.fromkeys([measure.key for measure in measures_of(jobs, view)] + [k for f in figures for k in f]))
    head = ["job", *columns, "status", "reason", "seconds_of_job", *keys, "run_id", "output_dir", "overrides"]
    for job, known in zip(jobs, figures, strict=True):
        cells: list[Any] = [job.number, *(job.settings.get(key, "") for key in columns), job.status, job.reason]
        cells += [job.seconds, *(known.get(key, "") for key in keys)]
        rows.append([*cells, job.run_id or "", job.output_dir, " ".join(job.overrides)])
    return head, rows


def progress_line(counts: Mapping[str, int], total: int | None, seconds: float) -> str:
    """How far a sweep is, such as 'sweep: 3 of 8 done (1 skipped, 0 failed), 4 min 12 s, about 7 min left'.

    Args:
        counts: status -> number of jobs that have ended so.
        total: number of jobs; None where the search decides as it goes.
        seconds: since the sweep began. What is left is told from the jobs that were not skipped.
    """
    ended = sum(counts.values())
    of = f" of {total}" if total else ""
    pruned = f"{counts[PRUNED]} pruned, " if counts.get(PRUNED) else ""
    text = f"sweep: {ended}{of} done ({counts.get(SKIPPED, 0)} skipped, {pruned}{counts.get(FAILED, 0)} failed), "
    text += duration(seconds)
    worked = counts.get(DONE, 0) or counts.get(FAILED, 0)
    if total and ended < total and worked:
        text += f", about {duration((total - ended) * seconds / worked, rough=True)} left"
    return text


def duration(seconds: float, *, rough: bool = False) -> str:
    """Seconds as people say them: '12 s', '4 min 12 s', '2 h 5 min'; rough: the biggest unit only."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60) if rough else whole // 60
    if minutes < 60:
        return f"{minutes} min" if rough else f"{minutes} min {whole % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def notes_of(jobs: Sequence[JobRecord], view: View) -> list[str]:
    """What a reader of the table has to know besides: why jobs failed, and which times mislead."""
    notes = [f"job {job.number} {job.status}: {job.reason}" for job in jobs if job.failed]
    if efficiencies(jobs, view):
        name = view.scales_over
        notes.append(
            f"efficiency: images/s over ({name} / fewest {name} x images/s of the job that differs only in having the "
            f"fewest {name})"
        )
        if any(job.figures.get("gpus_physical", 1) == 0 and _number(job.settings.get("gpus")) > 1 for job in jobs):
            notes.append("There is no GPU here: gpus are logical devices on one CPU, which proves no speed.")
    epochs = {job.settings.get("epochs") for job in jobs if view is VIEWS["train"] and not job.failed}
    if "1" in epochs and len(epochs) > 1:
        notes.append("images/s of one epoch hold its compilation; with more epochs the first is left out.")
    return notes
