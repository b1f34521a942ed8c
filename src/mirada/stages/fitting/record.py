"""A search for a board in MLflow: one run for all, and one for each candidate that was built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mirada import tracking
from mirada.config import TrackingConfig
from mirada.errors import MiradaError
from mirada.fitting.book import Entry
from mirada.sweeps import runs as sweep_runs
from mirada.tracking.clock import end_run, now_ms

ANSWER, WHY, PEAK = "fit", "fit_why", "fit_peak"
"""Tags of a candidate's run: whether it fits the board, and why not; who the peak of its memory is."""


class Record:
    """What is told of a search; without a parent run nothing is."""

    def __init__(self, config: TrackingConfig, parent: str | None) -> None:
        self.config, self.parent = config, parent
        self._told: dict[str, str] = {}

    def tell(self, entry: Entry) -> None:
        """A candidate that was judged or trained; what it takes goes into its training's run, or into one of its own."""
        if self.parent is None or entry.taken is None:
            return
        key, run_id = entry.candidate.key, entry.run_id
        if run_id is None and (key in self._told or entry.answer == "fits"):
            return  # what fits is trained next, and gets a run by that
        if run_id is not None and self._told.get(key) == run_id:
            return
        _quietly(self._tell, entry, run_id)

    def _tell(self, entry: Entry, run_id: str | None) -> None:
        from mlflow.entities import Metric, Param, RunTag

        assert self.parent is not None and entry.taken is not None
        client, experiment = sweep_runs.connect(self.config)
        params = []
        if run_id is None:
            labels = {"mlflow.parentRunId": self.parent}
            run_id = client.create_run(experiment, tags=labels, run_name=entry.candidate.title).info.run_id
            params = [Param("model.name", entry.candidate.model)]
            params += [Param(f"candidate.{name}", str(value)) for name, value in entry.candidate.values]
            end_run(client, run_id, "FINISHED")
        now = now_ms()
        metrics = [Metric(f"board/{name}", value, now, 0) for name, value in entry.taken.figures().items()]
        tags = [RunTag(ANSWER, entry.answer), RunTag(WHY, entry.why[:500]), RunTag(PEAK, entry.taken.peak[:500])]
        client.log_batch(run_id, metrics, params, tags)
        self._told[entry.candidate.key] = run_id

    def end(self, figures: Mapping[str, float], files: list[Path]) -> None:
        """The search's own figures and files, and its end."""
        if self.parent is not None:
            client, _ = sweep_runs.connect(self.config)
            _quietly(sweep_runs.record_sweep, client, self.parent, {"failed": 0.0, **figures}, {}, files)


@contextmanager
def recorded(config: TrackingConfig, told: str) -> Iterator[Record]:
    """The run of a search, that of the same command that was killed, or a new one; trainings inside become its children.

    Args:
        config: where. told: the overrides as they were typed.
    """
    if not config.enabled:
        yield Record(config, None)
        return
    parent, before = sweep_runs.open_parent(config, "fit", told), os.environ.get(tracking.PARENT)
    os.environ[tracking.PARENT] = parent
    status = "FAILED"
    try:
        yield Record(config, parent)
        status = ""
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        os.environ.pop(tracking.PARENT, None)
        if before is not None:
            os.environ[tracking.PARENT] = before
        if status:
            client, _ = sweep_runs.connect(config)
            _quietly(end_run, client, parent, status)


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    """Call something that only records: a store that fails does not take the search with it."""
    from mlflow.exceptions import MlflowException

    try:
        function(*arguments)
    except (MlflowException, MiradaError, OSError) as error:
        print(f"MLflow has not got all of this search: {str(error).splitlines()[0]}", flush=True)
