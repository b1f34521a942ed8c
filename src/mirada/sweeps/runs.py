"""Sweeps in MLflow: the run that has finished before, the parent of the jobs, and what a killed sweep left open."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from mirada import tracking
from mirada.config import TrackingConfig
from mirada.tracking import SWEEP
from mirada.tracking.clock import end_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

JOB_KEY, OUTPUT_DIR, OVERRIDES, PROCESS, ERROR = "job_key", "output_dir", "overrides", "process", "error"
"""Tags of a job's run: what it is the same as, its folder, its part of the command, who runs it, why it failed."""
STAGE = "sweep_stage"
"""Tags of a parent: the overrides as they were typed, and the stage."""
_SAME_START_S = 3.0  # a process's start as two readings of it may differ
_LONGEST = 250  # characters of a run's name


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end.

    Attributes:
        id: of MLflow.
        params, metrics, tags: as MLflow holds them; of each metric the last value.
        output_dir: where its files were left; they may be gone, the run's artifacts are not.
    """

    id: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    output_dir: str


def find_finished(config: TrackingConfig, key: str) -> FinishedRun | None:
    """The latest run of the experiment that finished under this key of `fingerprint.job_key`.

    Raises:
        MiradaError: the store does not answer.
    """
    if not config.enabled:
        return None
    client, experiment = connect(config)
    words = f"tags.{JOB_KEY} = '{key}' and attributes.status = 'FINISHED'"
    for run in client.search_runs([experiment], words, max_results=1, order_by=["attributes.start_time DESC"]):
        data = run.data
        where = data.tags.get(OUTPUT_DIR, "")
        return FinishedRun(run.info.run_id, dict(data.params), dict(data.metrics), dict(data.tags), where)
    return None


def connect(config: TrackingConfig) -> tuple[MlflowClient, str]:
    """A client of the store, and the experiment's id."""
    tracking.connect(config)
    import mlflow

    experiment = mlflow.get_experiment_by_name(config.experiment)
    assert experiment is not None
    return mlflow.MlflowClient(), experiment.experiment_id


def this_process() -> str:
    """Host, number and start of this process: what tells it from a later one of the same number."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_gone(process: str | None) -> bool:
    """Whether a process, as `this_process` names it, has ended; one of another host is not known to have."""
    host, _, rest = (process or "").partition(" ")
    number, _, start = rest.partition(" ")
    if not start:
        return True
    if host != socket.gethostname():
        return False
    try:
        found = psutil.Process(int(number))
        return found.status() == psutil.STATUS_ZOMBIE or abs(found.create_time() - float(start)) > _SAME_START_S
    except psutil.NoSuchProcess:
        return True


def open_parent(config: TrackingConfig, stage: str, overrides: str, *, fresh: bool = False) -> str:
    """The parent run of a sweep: that of the same sweep that was killed or had failures, else a new one.

    Two sweeps that start at once don't take the same one. Runs that the killed sweep left open are closed.

    Args:
        config: where.
        stage: 'train' or 'preprocess'.
        overrides: as typed.
        fresh: a new one in any case.

    Returns:
        The run's id.
    """
    from filelock import FileLock

    client, experiment = connect(config)
    with FileLock(_lock_file(config)):
        old = None if fresh else _unfinished_parent(client, experiment, stage, overrides)
        if old is None:
            tags = {SWEEP: overrides, STAGE: stage, PROCESS: this_process()}
            name = f"sweep {overrides}"[:_LONGEST]
            return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)
        client.set_tag(old, PROCESS, this_process())
        client.update_run(old, status="RUNNING")
    _close_dead(client, experiment, old)
    return old


def _lock_file(config: TrackingConfig) -> str:
    uri = tracking.tracking_uri(config)
    if uri.startswith("sqlite:///"):
        return f"{uri.removeprefix('sqlite:///')}.lock"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return str(Path(tempfile.gettempdir()) / f"mirada-sweep-{user}.lock")


def _unfinished_parent(client: MlflowClient, experiment: str, stage: str, overrides: str) -> str | None:
    """The last such sweep, as far as it is nobody's and did not end well."""
    words = f"tags.{STAGE} = '{stage}'"
    for run in client.search_runs([experiment], words, order_by=["attributes.start_time DESC"]):
        if run.data.tags.get(SWEEP) != overrides:
            continue
        if run.info.status == "RUNNING" and not is_gone(run.data.tags.get(PROCESS)):
            continue
        return None if run.info.status == "FINISHED" else str(run.info.run_id)
    return None


def _close_dead(client: MlflowClient, experiment: str, parent: str) -> None:
    words = f"tags.mlflow.parentRunId = '{parent}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment], words):
        if is_gone(run.data.tags.get(PROCESS)):
            client.set_tag(run.info.run_id, ERROR, "ended without a word")
            end_run(client, run.info.run_id, "KILLED")


def record_failure(
    client: MlflowClient, parent: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Make the run of a job that failed before it had one; returns its id."""
    from mlflow.entities import Param

    labels = {"mlflow.parentRunId": parent, **tags}
    run = client.create_run(client.get_run(parent).info.experiment_id, tags=labels, run_name=name[:_LONGEST])
    entries = [Param(key, str(value)[:6000]) for key, value in params.items()]
    client.log_batch(run.info.run_id, params=entries)
    end_run(client, run.info.run_id, "FAILED")
    return str(run.info.run_id)


def record_sweep(
    client: MlflowClient, parent: str, figures: Mapping[str, float], scaling: Mapping[str, float], files: Iterable[Path]
) -> None:
    """Close a parent with the figures and the files of its sweep.

    Args:
        client: of the store.
        parent: id of the run.
        figures: of the sweep; with `failed` of 0 it has ended well.
        scaling: run -> its scaling efficiency; runs that another parent has are left as they are.
        files: artifacts.
    """
    for run_id, efficiency in scaling.items():
        if client.get_run(run_id).data.tags.get("mlflow.parentRunId") == parent:
            client.log_metric(run_id, "scaling_efficiency", efficiency)
    for name, value in figures.items():
        client.log_metric(parent, name, value)
    for path in files:
        client.log_artifact(parent, str(path), "sweep")
    end_run(client, parent, "FAILED" if figures["failed"] else "FINISHED")
