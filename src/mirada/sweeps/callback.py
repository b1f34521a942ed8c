"""Sweeps (`-m`) of stages and experiments: the parent run, what need not be done again, how far they are, what came of it.

Jobs may run in other processes (`hydra/launcher=joblib`), so what they have to tell each other lies in `.sweep` of the
sweep's folder: `sweep.json`, written before the first job, and a file a job, written at its end.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mirada import tracking
from mirada.cli import explain
from mirada.config import TrackingConfig
from mirada.errors import MiradaError, Pruned
from mirada.files import write_whole
from mirada.sweeps import runs as sweep_runs
from mirada.sweeps.job import Job, Sweep, begin, current, end, job_name, params_of
from mirada.sweeps.runs import ERROR, OVERRIDES, PROCESS
from mirada.sweeps.table import DONE, FAILED, PRUNED, SKIPPED, VIEWS, JobRecord, efficiencies, progress_line
from mirada.tracking.clock import end_run
from mirada.tracking.overview import tell_runs

STAGES = ("train", "preprocess", "experiment")
STATE = ".sweep"


class SweepRun(Callback):
    """Gives the jobs of `python src/train.py -m ...` a parent run, says how far they are and sums up at the end."""

    def __init__(self) -> None:
        self._parent: str | None = None  # open, and this process's to close

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the parent, or that of the same sweep that was killed."""
        stage = str(config.hydra.job.config_name)
        if stage not in STAGES:
            return
        folder = _claim(config)
        try:
            fixed, total = _plan(config)
            settings = _settings(config, stage)
            sweep = Sweep(stage, fixed, total, _open_parent(config, stage, settings), asdict(settings))
        except MiradaError as error:  # of a callback Hydra would make a warning, and go on
            raise SystemExit(f"error: {error}") from error
        write_whole(folder / "sweep.json", json.dumps(asdict(sweep), indent=2))
        if sweep.parent is not None:
            self._parent = sweep.parent
            os.environ[tracking.PARENT] = sweep.parent
            atexit.register(self._close, os.getpid())

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take note of the job that this process begins."""
        end()
        path = _state_folder(config) / "sweep.json"
        if config.hydra.mode is not RunMode.MULTIRUN or not path.is_file():
            return
        sweep = Sweep(**json.loads(path.read_text(encoding="utf-8")))
        if sweep.parent is not None:
            os.environ[tracking.PARENT] = sweep.parent
        content = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        params = OmegaConf.to_container(content, resolve=True, throw_on_missing=False)
        record = JobRecord(int(config.hydra.job.num), [str(text) for text in config.hydra.overrides.task])
        record.output_dir = str(config.hydra.runtime.output_dir)
        begin(Job(sweep, path.parent, params_of(params), record))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write down how it ended, and say how far the sweep is."""
        job = current()
        if job is None:
            return
        record = job.record
        if job_return.status is JobStatus.FAILED:
            error = job_return._return_value
            record.status, record.reason = PRUNED if isinstance(error, Pruned) else FAILED, explain(error)
        else:
            record.status, record.reason = (SKIPPED if record.status == SKIPPED else DONE), ""
        record.seconds = record.seconds if record.status == SKIPPED else time.monotonic() - job.started
        if job.sweep.parent is not None:
            _quietly(_record_end, job, job_name(f"job {record.number}"))
        end()
        _count(job)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Sum up, and close the parent."""
        path = _state_folder(config) / "sweep.json"
        if str(config.hydra.job.config_name) not in STAGES or not path.is_file():
            return
        sweep = Sweep(**json.loads(path.read_text(encoding="utf-8")))
        jobs = read_jobs(path.parent)
        os.environ.pop(tracking.PARENT, None)
        files: list[Path] = []
        if sweep.stage == "experiment":
            _quietly(_compare, sweep, jobs, path.parent.parent)
        elif jobs:
            from mirada.sweeps.report import report

            files = report(jobs, sweep.stage, path.parent.parent)
        if sweep.parent is not None:
            self._parent = None
            _quietly(_record_parent, sweep, jobs, files)
            tell_runs(TrackingConfig(**sweep.tracking), sweep=sweep.parent)

    def _close(self, process: int) -> None:
        """At the end of the process: a sweep that was stopped by Ctrl-C, or by an error of its own."""
        if self._parent is not None and os.getpid() == process:
            import mlflow

            _quietly(end_run, mlflow.MlflowClient(), self._parent, "KILLED")


def read_jobs(folder: Path) -> list[JobRecord]:
    """The jobs of a sweep that have ended, in their order."""
    paths = sorted(folder.glob("job-*.json"))
    return [JobRecord(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def _state_folder(config: DictConfig) -> Path:
    return Path(config.hydra.runtime.cwd) / str(config.hydra.sweep.dir) / STATE


def _claim(config: DictConfig) -> Path:
    """The sweep's folder of notes, emptied; refused where another sweep is at work."""
    folder = _state_folder(config)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        path = folder / "sweep.json"
        if path.is_file() and not sweep_runs.is_gone(json.loads(path.read_text(encoding="utf-8"))["process"]):
            where = config.hydra.sweep.dir
            raise SystemExit(f"error: another sweep is at work in {where}: add hydra.sweep.dir=<another>.") from None
        for old in folder.glob("*.json"):
            old.unlink()
    return folder


def _plan(config: DictConfig) -> tuple[list[str], int | None]:
    """The overrides that all jobs share, and the number of jobs; None where it can't be told beforehand."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    sweeper = config.hydra.sweeper
    params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*params, *config.hydra.overrides.task])
    fixed = [override for override in overrides if not override.is_sweep_override()]
    texts = [f"{override.get_key_element()}={override.get_value_element_as_str()}" for override in fixed]
    if str(sweeper["_target_"]).rpartition(".")[2] != BasicSweeper.__name__:
        return texts, sweeper.get("n_trials")
    return texts, len(BasicSweeper.split_arguments(overrides, None)[0])


def _settings(config: DictConfig, stage: str) -> TrackingConfig:
    """Where the jobs are recorded; what the jobs will be told is checked on the way, of an experiment all of it."""
    from mirada.sweeps.compose import check_keys, check_sweep

    if stage == "experiment":
        return check_sweep(config)
    check_keys(config)
    settings = OmegaConf.to_object(config.tracking)
    assert isinstance(settings, TrackingConfig)
    return settings


def _compare(sweep: Sweep, jobs: list[JobRecord], folder: Path) -> None:
    from mirada.sweeps.comparing import compare_jobs, compare_untracked

    run_ids = list(dict.fromkeys(job.run_id for job in jobs if job.run_id))
    if sweep.parent is not None and run_ids:
        compare_jobs(run_ids, TrackingConfig(**sweep.tracking), folder, sweep.parent)
    elif sweep.parent is None and any(not job.failed for job in jobs):
        compare_untracked(jobs, folder)


def _open_parent(config: DictConfig, stage: str, settings: TrackingConfig) -> str | None:
    if not settings.enabled:
        return None
    return sweep_runs.open_parent(settings, stage, " ".join(config.hydra.overrides.task), fresh=bool(config.force))


def _record_end(job: Job, name: str) -> None:
    """The seconds of the job, or why it failed, in its run; a job that failed before it had a run gets one."""
    record = job.record
    if record.status == SKIPPED:
        return
    client, _ = sweep_runs.connect(TrackingConfig(**job.sweep.tracking))
    if record.run_id is None and record.status == FAILED:
        tags = {OVERRIDES: " ".join(record.overrides), ERROR: record.reason, PROCESS: sweep_runs.this_process()}
        assert job.sweep.parent is not None
        record.run_id = sweep_runs.record_failure(client, job.sweep.parent, name, job.params, tags)
    elif record.run_id is not None:
        client.log_metric(record.run_id, "job_seconds", record.seconds)
        if record.status == FAILED:
            client.set_tag(record.run_id, ERROR, record.reason)
            end_run(client, record.run_id, "FAILED")  # a stage after training may fail before it takes up the run


def _record_parent(sweep: Sweep, jobs: list[JobRecord], files: list[Path]) -> None:
    assert sweep.parent is not None
    client, _ = sweep_runs.connect(TrackingConfig(**sweep.tracking))
    counts = Counter(job.status for job in jobs)
    ended = {"jobs": sweep.total or len(jobs), **{status: counts[status] for status in (DONE, SKIPPED, PRUNED, FAILED)}}
    ended["failed"] = (
        ended["jobs"] - ended["done"] - ended["skipped"] - ended["pruned"]
    )  # one that died has left no file
    found = efficiencies(jobs, VIEWS[sweep.stage]) if sweep.stage in VIEWS else {}
    scaling = {job.run_id: found[job.number] for job in jobs if job.run_id and job.number in found}
    figures = {**ended, "seconds": max(0.0, time.time() - sweep.started)}
    sweep_runs.record_sweep(client, sweep.parent, figures, scaling, files)


def _count(job: Job) -> None:
    """Write the job's file and print the line; one process at a time, so that no number is said twice."""
    from filelock import FileLock

    with FileLock(job.folder / "lock"):
        write_whole(job.folder / f"job-{job.record.number:05d}.json", json.dumps(asdict(job.record), indent=2))
        counts = Counter(record.status for record in read_jobs(job.folder))
        print(progress_line(counts, job.sweep.total, max(0.0, time.time() - job.sweep.started)), flush=True)


def _quietly(function: Any, *arguments: Any) -> None:
    """Call something that only records; a store that fails does not take the sweep's end with it."""
    from mlflow.exceptions import MlflowException

    try:
        function(*arguments)
    except (MlflowException, MiradaError, OSError) as error:
        print(f"MLflow has not got all of this sweep: {str(error).splitlines()[0]}", flush=True)
