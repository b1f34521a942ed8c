"""The MLflow edge: one run per trained model, which `train` opens and later stages add to; and its null twin.

Runs go to MLFLOW_TRACKING_URI where it is set, else to a sqlite file in `mlruns/` of the project. MLflow is imported
only when a run begins.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from mirada.card import Card
from mirada.config import TrackingConfig
from mirada.errors import MiradaError
from mirada.records import Dataset

PROJECT = Path(__file__).resolve().parents[2]
PARENT = "MIRADA_PARENT_RUN_ID"  # in the environment of a sweep's jobs: the run they belong under


class Run:
    """What a stage may record; this one forgets everything (tracking is off)."""

    id: str | None = None
    uri: str | None = None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Settings, flat."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures, with the epoch where there is one."""

    def log_artifacts(self, path: Path, folder: str) -> None:
        """A file, or everything in a folder, into a folder of the run."""

    def log_text(self, text: str, name: str) -> None:
        """A text as an artifact."""

    def log_dataset(self, dataset: Dataset) -> None:
        """The processed data set as the run's input."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Labels of the run."""


class _MlflowRun(Run):
    """Records to MLflow."""

    def __init__(self, run_id: str, uri: str) -> None:
        self.id, self.uri = run_id, uri

    def log_params(self, params: Mapping[str, Any]) -> None:
        import mlflow

        mlflow.log_params({key: str(value)[:6000] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        import mlflow

        finite = {key: float(value) for key, value in metrics.items() if value is not None}
        mlflow.log_metrics(finite, step=step)

    def log_artifacts(self, path: Path, folder: str) -> None:
        import mlflow

        (mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact)(str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        import mlflow

        mlflow.log_text(text, name)

    def log_dataset(self, dataset: Dataset) -> None:
        import mlflow
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        source = CodeDatasetSource({"dataset.json": str(dataset.folder / "dataset.json")})
        meta = MetaDataset(source, name=dataset.name, digest=dataset.digest[:32])  # type: ignore[abstract]
        mlflow.log_input(meta, context="training")

    def set_tags(self, tags: Mapping[str, str]) -> None:
        import mlflow

        mlflow.set_tags(dict(tags))


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


def git_state() -> tuple[str | None, bool | None]:
    """The commit of the code and whether tracked files differ from it; (None, None) outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no", "--", "src", "conf"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(PROJECT), *arguments], check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()


def tracking_uri(config: TrackingConfig) -> str:
    """Where runs are recorded: the config's URI, MLFLOW_TRACKING_URI, or the project's own sqlite file."""
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{PROJECT / 'mlruns' / 'mlflow.db'}"


def connect(config: TrackingConfig) -> str:
    """Point MLflow to its store, creating database and experiment once; returns the URI."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    uri = tracking_uri(config)
    import logging

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow
    from filelock import FileLock
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(uri)
    try:
        if uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///"))
            database.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{database}.lock"):  # several processes on a fresh database lose runs
                if mlflow.get_experiment_by_name(config.experiment) is None:
                    artifacts = (database.parent / "artifacts").resolve()
                    mlflow.create_experiment(config.experiment, artifact_location=artifacts.as_uri())
        mlflow.set_experiment(config.experiment)
    except MlflowException as error:
        raise MiradaError(f"MLflow at {uri} does not answer ({str(error).splitlines()[0]}): check the URI.") from error
    return uri


@contextmanager
def start_run(config: TrackingConfig, name: str | None = None, *, resume_id: str | None = None) -> Iterator[Run]:
    """Open the run of a training; it ends as FINISHED, as FAILED on an error, or as KILLED on Ctrl-C.

    Args:
        config: where, and under which name.
        name: the run's name where the config gives none.
        resume_id: go on with this run instead of a new one (a resumed training).
    """
    if not config.enabled:
        yield Run()
        return
    uri = connect(config)
    with _open(uri, resume_id, config.run_name or name) as run:
        yield run


@contextmanager
def resume_run(config: TrackingConfig, card: Card) -> Iterator[Run]:
    """Add to the run that trained a model; the null run when that one was not tracked or can't be found.

    System metrics are not recorded again.
    """
    if not config.enabled or card.run_id is None:
        yield Run()
        return
    uri = connect(config)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.get_run(card.run_id)
        found = True
    except MlflowException:
        print(f"run {card.run_id} is not in {uri}: a new run records this stage")
        found = False
    with _open(uri, card.run_id if found else None, config.run_name) as run:
        yield run


@contextmanager
def _open(uri: str, run_id: str | None, name: str | None) -> Iterator[Run]:
    import mlflow

    if run_id is None:
        mlflow.set_system_metrics_sampling_interval(5)
    parent = os.environ.get(PARENT) if run_id is None else None
    mlflow.start_run(run_id=run_id, run_name=name, log_system_metrics=run_id is None, parent_run_id=parent)
    active = mlflow.active_run()
    assert active is not None
    try:
        yield _MlflowRun(active.info.run_id, uri)
    except KeyboardInterrupt:
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        mlflow.set_tag("error", str(error)[:500])
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")
