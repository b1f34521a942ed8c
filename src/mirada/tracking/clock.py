"""Times of runs that stay in order where the clock is set back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy and protobuf come with it, which `--help` has no use for
    from mlflow import MlflowClient

_last_ms = 0


def now_ms() -> int:
    """Milliseconds since 1970, later each time: of two values of a figure MLflow shows the one that is dated later."""
    global _last_ms
    _last_ms = max(int(time.time() * 1000), _last_ms + 1)
    return _last_ms


def was_set_back(since_ms: int) -> bool:
    """Whether the clock shows a time before one that has been."""
    return time.time() * 1000 < since_ms


def end_run(client: MlflowClient, run_id: str, status: str, time_ms: int | None = None) -> None:
    """Close a run, never before it began; `time_ms` is when it ended, None: now."""
    began = client.get_run(run_id).info.start_time or 0
    client.set_terminated(run_id, status, max(began, now_ms() if time_ms is None else time_ms))
