"""A clock that is set back: figures stay in order, and no run ends before it began."""

from pathlib import Path
from typing import Any

import pytest

from mirada import tracking
from mirada.config import TrackingConfig
from mirada.tracking import clock


class Clock:
    """Takes the place of the module `time`."""

    now = 2000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def stood(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stood = Clock()
    monkeypatch.setattr(clock, "time", stood)
    monkeypatch.setattr(clock, "_last_ms", 0)
    return stood


def test_times_go_on_where_the_clock_goes_back(stood: Clock) -> None:
    assert clock.now_ms() == 2_000_000
    stood.now = 1000.0
    assert (clock.now_ms(), clock.now_ms()) == (2_000_001, 2_000_002)
    stood.now = 3000.0
    assert clock.now_ms() == 3_000_000


def test_a_run_has_its_last_figure_and_no_negative_duration(tmp_path: Path, stood: Clock) -> None:
    import mlflow

    config = TrackingConfig(
        uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="e", pending_dir=str(tmp_path / "pending")
    )
    (tmp_path / ".part-mlflow.db").write_text("half a database, of a process that was killed")
    with tracking.start_run(config, "train") as run:  # which began by the clock of the machine
        run.log_metrics({"map50": 0.9})
        stood.now = 1000.0
        run.log_metrics({"map50": 0.2})
    client: Any = mlflow.MlflowClient(config.uri)
    kept = client.get_run(run.id)
    assert kept.data.metrics["map50"] == 0.2
    assert kept.info.end_time == kept.info.start_time
