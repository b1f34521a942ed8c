"""Processor, memory, disk, network and GPU of this machine, recorded while a run lasts.

MLflow measures them; its own loop asks the server for the run before each figure, and ends for good at the first answer
that it misses.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

INTERVAL_S = 5.0
Record = Callable[[Mapping[str, float], int], None]


@contextmanager
def recorded(run_id: str, record: Record) -> Iterator[None]:
    """Call `record(figures, step)` from a thread every MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL or INTERVAL_S seconds."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    machine, over = SystemMetricsMonitor(run_id, sampling_interval=INTERVAL_S), threading.Event()
    thread = threading.Thread(target=_sample, args=(machine, record, over), daemon=True, name="system metrics")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sample(machine: Any, record: Record, over: threading.Event) -> None:
    for step in count():
        machine.collect_metrics()
        if over.wait(machine.sampling_interval):
            return
        figures = {f"system/{name}": float(value) for name, value in machine.aggregate_metrics().items()}
        for monitor in machine.monitors:
            monitor.clear_metrics()
        try:
            record(figures, step)
        except Exception as error:  # a thread's error would be lost, or end the training for a figure of its processor
            logging.getLogger(__name__).warning("system metrics end here: %s", error)
            return
