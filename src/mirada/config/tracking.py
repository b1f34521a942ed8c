"""Settings of the recording of runs, which several stages have."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.config.checks import require
from mirada.config.commands import command


@dataclass
class TrackingConfig:
    """Where runs are recorded."""

    enabled: bool = True  # false: nothing is recorded
    experiment: str = "mirada"  # the MLflow experiment that runs go to
    uri: str | None = None  # null: MLFLOW_TRACKING_URI, else sqlite in mlruns/
    run_name: str | None = None  # null: one is made
    pending_dir: str | None = None  # what a store that is away can't take waits here; null: mlruns/pending


@command("ui")
@dataclass
class UiConfig:
    """Settings of `ui`."""

    uri: str | None = None  # null: MLFLOW_TRACKING_URI, else sqlite in mlruns/
    experiment: str = "mirada"  # that is opened
    port: int = 5000  # 0: a free one

    def __post_init__(self) -> None:
        """Check the port."""
        require(0 <= self.port <= 65535, f"port must be 0 to 65535, got {self.port}")


@command("sync")
@dataclass
class SyncConfig:
    """Settings of `sync`."""

    uri: str | None = None  # with a password, which is not kept beside what waits; null: MLFLOW_TRACKING_URI
    pending_dir: str | None = None  # null: mlruns/pending
