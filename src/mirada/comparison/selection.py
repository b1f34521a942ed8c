"""Choose runs in MLflow, for a comparison."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada import tracking
from mirada.comparison.groups import RunRecord, run_record
from mirada.config import CompareConfig, TrackingConfig
from mirada.errors import MiradaError
from mirada.tracking import SWEEP

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(config: CompareConfig) -> tuple[MlflowClient, str]:
    """A client of the store that a comparison reads, and its URI; a store that is not there is refused."""
    uri = tracking.check(TrackingConfig(uri=config.uri, experiment=config.experiment))
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise MiradaError(f"{uri} is not there: train a model first, or name another store with uri=.")
    from mlflow import MlflowClient

    return MlflowClient(uri), uri


def select_runs(client: MlflowClient, config: CompareConfig, parent: Any) -> list[Any]:
    """The runs chosen, oldest first; the parents of sweeps are none."""
    if config.runs:
        found = [find_run(client, config, run_id) for run_id in config.runs]
        for run_, asked in zip(found, config.runs, strict=True):
            if SWEEP in run_.data.tags:
                raise MiradaError(f"runs: {asked} is a sweep, no training: compare its jobs with parent={asked}.")
        return list({run_.info.run_id: run_ for run_ in found}.values())
    words = [config.filter] if config.filter else []
    if parent is not None:
        words.append(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    found = [run_ for run_ in _search(client, config, " and ".join(words)) if SWEEP not in run_.data.tags]
    if not found:
        raise MiradaError(f"No run of experiment {config.experiment!r} is {choice_text(config)}: see `make ui`.")
    return found


def _search(client: MlflowClient, config: CompareConfig, words: str) -> list[Any]:
    from mlflow.exceptions import MlflowException

    try:
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            names = ", ".join(found.name for found in client.search_experiments())
            raise MiradaError(f"experiment={config.experiment} is not in the store: choose one of {names}.")
        found: list[Any] = []
        token = None
        while token != "":
            page = client.search_runs([experiment.experiment_id], words, order_by=["start_time ASC"], page_token=token)
            found += page
            token = page.token or ""
        return found
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(f"MLflow refuses to search for {words or 'all runs'!r}: {reason}") from error


def find_run(client: MlflowClient, config: CompareConfig, run_id: str) -> Any:
    """The run whose id is or begins so."""
    from mlflow.exceptions import MlflowException

    if re.fullmatch(r"[0-9a-f]{32}", run_id):
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            raise MiradaError(f"There is no run {run_id} in the store: see `make ui` for those that are.") from error
    found = [run_ for run_ in _search(client, config, "") if run_.info.run_id.startswith(run_id)]
    if len(found) != 1:
        raise MiradaError(
            f"{len(found)} runs of experiment {config.experiment} have an id that begins with {run_id!r}."
        )
    return found[0]


def record_of(run_: Any) -> RunRecord:
    """An MLflow run as a comparison knows it."""
    info, data = run_.info, run_.data
    return run_record(info.run_id, info.run_name or "", info.status, data.params, data.metrics, data.tags)


def fetch_artifact(client: MlflowClient, run_id: str, name: str, folder: str) -> Path | None:
    """A run's artifact, 'quantize/variants.json' say, copied into a folder; None where the run has none of that name."""
    from mlflow.exceptions import MlflowException

    try:
        return Path(client.download_artifacts(run_id, name, folder))
    except (MlflowException, OSError):
        return None


def choice_text(config: CompareConfig) -> str:
    """How the runs were chosen, in words."""
    if config.runs:
        return f"runs={','.join(config.runs)}"
    words = [f"parent={config.parent}"] if config.parent else []
    words += [f"filter={config.filter}"] if config.filter else []
    return " and ".join(words) or "all of its runs"
