"""The job of a sweep that this process is at, and what it tells the sweep."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada import tracking
from mirada.config import PreprocessConfig, TrainConfig
from mirada.storage import Store, is_url
from mirada.sweeps import runs as sweep_runs
from mirada.sweeps.runs import JOB_KEY, OUTPUT_DIR, OVERRIDES, PROCESS, FinishedRun, find_finished
from mirada.sweeps.table import SKIPPED, JobRecord

_current: Job | None = None


@dataclass
class Sweep:
    """What every job of a sweep has to know.

    Attributes:
        stage: 'train', 'preprocess' or 'experiment'.
        fixed: the overrides that all jobs share.
        total: the number of jobs; None where a search decides as it goes.
        parent: the parent run; None where nothing is recorded.
        tracking: where it is recorded, the fields of `TrackingConfig`.
        started: seconds since the epoch.
        process: who runs the sweep.
    """

    stage: str
    fixed: list[str]
    total: int | None
    parent: str | None
    tracking: dict[str, Any]
    started: float = field(default_factory=time.time)
    process: str = field(default_factory=sweep_runs.this_process)


@dataclass
class Job:
    """The job that this process is at; `started` is by a clock that nobody sets, for this process alone."""

    sweep: Sweep
    folder: Path
    params: dict[str, Any]
    record: JobRecord
    started: float = field(default_factory=time.monotonic)


def begin(job: Job) -> None:
    """This process is at a job from here on."""
    global _current
    _current = job


def current() -> Job | None:
    """The job that this process is at; None outside a sweep."""
    return _current


def end() -> None:
    """This process is at no job any more."""
    global _current
    _current = None


def job_name(default: str) -> str:
    """The name of a run: in a sweep what tells the job from the others, such as 'epochs=10 gpus=2'."""
    if _current is None:
        return default
    own = [override for override in _current.record.overrides if override not in _current.sweep.fixed]
    return " ".join(own) or default


def in_recorded_sweep() -> bool:
    """Whether this is a job of one stage, in a sweep that has a parent run; an experiment's stages share the training's."""
    return _current is not None and _current.sweep.parent is not None and _current.sweep.stage != "experiment"


def params_of(config: Any) -> dict[str, Any]:
    """A stage's settings as params of its run; its folder, which is never the same, is a tag."""
    return {key: value for key, value in tracking.flatten(config).items() if key != OUTPUT_DIR}


def job_tags(key: str, output_dir: str) -> dict[str, str]:
    """Tags of a run, so that a later sweep finds it: its key, its folder, its process, its overrides in a sweep."""
    folder = output_dir if is_url(output_dir) else str(Path(output_dir).absolute())
    tags = {JOB_KEY: key, OUTPUT_DIR: folder, PROCESS: sweep_runs.this_process()}
    return tags if _current is None else tags | {OVERRIDES: " ".join(_current.record.overrides)}


def note(
    run_id: str | None = None,
    figures: Mapping[str, float] | None = None,
    metric: str = "",
    metric_name: str = "",
    task: str = "",
) -> None:
    """Keep what the sweep's table shall hold of this job; nothing happens outside a sweep."""
    if _current is None:
        return
    record = _current.record
    record.run_id = run_id or record.run_id
    record.figures |= {name: float(value) for name, value in (figures or {}).items() if value is not None}
    record.metric, record.metric_name = metric or record.metric, metric_name or record.metric_name
    record.task = task or record.task


def finished_job(
    config: TrainConfig | PreprocessConfig, key: str, needs: str = "", *, whole: bool = False
) -> FinishedRun | None:
    """In a sweep, the run that has already done this job; it is then said where it lies.

    Args:
        config: of the stage; `force` and a switched off tracking find none.
        key: of `fingerprint.job_key`.
        needs: a file that must still be in its folder.
        whole: the job is an experiment; one of its stages alone is never looked for.
    """
    if _current is None or (_current.sweep.stage == "experiment") != whole:
        return None
    if config.force or not config.tracking.enabled:
        return None
    found = find_finished(config.tracking, key)
    if found is None or (needs and not _holds(found.output_dir, needs)):
        return None
    record = _current.record
    record.status, record.output_dir = SKIPPED, found.output_dir
    record.seconds = found.metrics.get("job_seconds", 0.0)
    note(found.id, {name: value for name, value in found.metrics.items() if not name.startswith("system/")})
    stays = is_url(found.output_dir) or Path(found.output_dir).is_dir()
    there = found.output_dir if stays else "gone, the run's artifacts are in MLflow"
    print(
        f"job {record.number} ({job_name('')}) has finished before: run {found.id[:8]}, its folder: {there}", flush=True
    )
    return found


def _holds(folder: str, name: str) -> bool:
    return Store(f"{folder.rstrip('/')}/{name}").is_file if is_url(folder) else (Path(folder) / name).is_file()
