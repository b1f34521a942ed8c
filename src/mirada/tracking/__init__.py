"""The MLflow edge: one run per trained model, which `train` opens and later stages add to; and its null twin.

Runs go to MLFLOW_TRACKING_URI where it is set, else to a sqlite file in `mlruns/` of the project. A store that is away when
a stage begins is an error; one that goes away later holds nothing up: see `delivery`. MLflow is imported only when
a run begins.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada.config import TrackingConfig
from mirada.disk import explain_refusal
from mirada.errors import MiradaError, Pruned
from mirada.project import project_root
from mirada.tracking import clock, system_metrics
from mirada.tracking import store as tracking_store
from mirada.tracking.delivery import LAST_WAIT_S, Delivery
from mirada.tracking.moved import follow_folder
from mirada.tracking.run import Run
from mirada.tracking.store import StoreAway, without_password

if TYPE_CHECKING:  # NumPy comes with it, which `--help` has no use for
    from mlflow.entities import RunInfo

    from mirada.inference.card import Card

SWEEP = "sweep"  # tag of a run that is the parent of a sweep's jobs
PARENT = "MIRADA_PARENT_RUN_ID"  # in the environment of a sweep's jobs: the run they belong under
SWEEP_WAIT_S = 120.0  # a job of a sweep waits so long for a store that was there when the sweep began


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dataclasses and dictionaries as 'a.b.c' -> value."""
    content = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def tracking_uri(config: TrackingConfig) -> str:
    """Where runs are recorded: the config's URI, MLFLOW_TRACKING_URI, or the project's own sqlite file."""
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlruns' / 'mlflow.db'}"


def pending_dir(config: TrackingConfig) -> Path:
    """Where runs keep what their store could not take: `mlruns/pending` of the project, if the config names none."""
    return Path(config.pending_dir).absolute() if config.pending_dir else project_root() / "mlruns" / "pending"


def check(config: TrackingConfig) -> str:
    """Ask within 10 s whether the store is there, before a stage's work begins; returns its URI. Off: nothing is asked.

    Raises:
        StoreAway: it does not answer; the sentence names the URI.
        MiradaError: it is no MLflow server, or its driver is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    tracking_store.shorten_waits()
    if not config.enabled:
        return ""
    uri = tracking_store.with_driver(tracking_uri(config))
    try:
        tracking_store.check(uri, config.experiment)
    except StoreAway:
        if PARENT not in os.environ:
            raise
        _wait_for(uri, config.experiment)
    return uri


def _wait_for(uri: str, experiment: str) -> None:
    where, until = without_password(uri), time.monotonic() + SWEEP_WAIT_S
    print(f"waiting {SWEEP_WAIT_S:g} s for MLflow at {where}, which does not answer", file=sys.stderr)
    while True:
        time.sleep(2)
        try:
            tracking_store.check(uri, experiment)
            return
        except StoreAway:
            if time.monotonic() >= until:
                raise


def connect(config: TrackingConfig) -> str:
    """Point MLflow to its store, creating database and experiment once; returns the URI.

    Raises:
        StoreAway: the store does not answer.
        MiradaError: it can't be used.
    """
    uri = check(config)
    import mlflow
    from filelock import FileLock
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///"))
            database.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{database}.lock"):  # MLflow does not keep processes on a fresh database apart
                follow_folder(database)
                if not database.exists():
                    _make_database(database)
                if mlflow.get_experiment_by_name(config.experiment) is None:
                    artifacts = (database.parent / "artifacts").resolve()
                    mlflow.create_experiment(config.experiment, artifact_location=artifacts.as_uri())
        experiment = mlflow.set_experiment(config.experiment)
        # Once more by its number: the first call leaves "Default" active where another process creates it meanwhile.
        mlflow.set_experiment(experiment_id=experiment.experiment_id)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(f"MLflow at {without_password(uri)} does not answer ({reason}): check the URI.") from error
    except SQLAlchemyError as error:
        if not uri.startswith("sqlite:///") or explain_refusal(error):
            raise
        reason, path = str(error).splitlines()[0], uri.removeprefix("sqlite:///")
        raise MiradaError(
            f"{path} is no whole database of MLflow ({reason}): put back a copy, or move it away for a new one to be made."
        ) from error
    return uri


def _make_database(database: Path) -> None:
    """A fresh one, there as a whole or not at all: MLflow takes seconds, and can't go on where it was killed meanwhile."""
    import mlflow

    part = database.with_name(f".part-{database.name}")
    for stale in database.parent.glob(f"{part.name}*"):
        stale.unlink()
    mlflow.MlflowClient(f"sqlite:///{part}").search_experiments(max_results=1)
    part.replace(database)


@contextmanager
def start_run(
    config: TrackingConfig,
    name: str | None = None,
    *,
    resume_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Open the run of a training; it ends as FINISHED, as FAILED on an error, or as KILLED on Ctrl-C and when pruned.

    Args:
        config: where, and under which name.
        name: the run's name where the config gives none.
        resume_id: go on with this run instead of a new one (a resumed training).
        tags: labels that it has from its first moment.
    """
    if not config.enabled:
        yield Run()
        return
    uri = connect(config)
    with _open(uri, config, resume_id, config.run_name or name, tags) as run:
        yield run


@contextmanager
def resume_run(config: TrackingConfig, card: Card) -> Iterator[Run]:
    """Add to the run that trained a model; the null run when that one was not tracked or can't be found.

    System metrics are not recorded again. Where the store went away while the stage worked, what it records is kept on disk.
    """
    if not config.enabled or card.run_id is None:
        yield Run()
        return
    try:
        uri = connect(config)
        found = _is_there(card.run_id, uri)
    except StoreAway:
        offline = Run(Delivery(card.run_id, tracking_store.with_driver(tracking_uri(config)), pending_dir(config)))
        with _ended(offline):
            yield offline
        return
    if not found:
        print(f"run {card.run_id} is not in {without_password(uri)}: a new run records this stage")
    with _open(uri, config, card.run_id if found else None, config.run_name) as run:
        yield run


def _is_there(run_id: str, uri: str) -> bool:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.get_run(run_id)
        return True
    except MlflowException as error:
        if tracking_store.is_absence(error):
            raise tracking_store.no_answer(uri, str(error).splitlines()[0]) from error
        return False


@contextmanager
def _open(
    uri: str, config: TrackingConfig, run_id: str | None, name: str | None, tags: Mapping[str, str] | None = None
) -> Iterator[Run]:
    import mlflow
    from mlflow.exceptions import MlflowException

    parent = os.environ.get(PARENT) if run_id is None else None
    try:
        active = mlflow.start_run(
            run_id=run_id, run_name=name, log_system_metrics=False, parent_run_id=parent, tags=dict(tags or {})
        )
    except MlflowException as error:
        raise MiradaError(f"MLflow at {without_password(uri)} opens no run: {str(error).splitlines()[0]}") from error
    run = Run(Delivery(active.info.run_id, uri, pending_dir(config)))
    try:
        run.send_earlier()
        sampling = system_metrics.recorded(active.info.run_id, run.log_metrics) if run_id is None else nullcontext()
        with _ended(run), sampling:
            yield run
        if uri.startswith("http"):
            print(f"run: {run.uri}/#/experiments/{active.info.experiment_id}/runs/{run.id}")
    finally:
        _deactivate(run.status, active.info)


@contextmanager
def _ended(run: Run) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        run.end("KILLED")
        raise
    except Pruned as pruned:
        run.set_tags({"pruned": "true", "pruned_why": str(pruned)})
        run.end("KILLED")
        raise
    except BaseException as error:
        run.set_tags({"error": str(error)[:500]})
        run.end("FAILED")
        raise
    run.end("FINISHED", LAST_WAIT_S)


def _deactivate(status: str, begun: RunInfo) -> None:
    """Let MLflow have no active run any more; it tells its store the status once more, for which nobody waits."""
    import mlflow

    hasty = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    before = {name: os.environ.get(name) for name in hasty}
    os.environ.update(hasty)
    try:
        with suppress(Exception):
            mlflow.end_run(status)
            if clock.was_set_back(begun.start_time):  # MLflow has just written an end before the beginning
                clock.end_run(mlflow.MlflowClient(), begun.run_id, status)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
