"""Processor, memory, disk, network and GPU of this machine, recorded while a run lasts.

MLflow measures them; its own thread ends at the first answer that its server misses, and holds up the end of the run.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

INTERVAL_S = 5.0


@contextmanager
def recorded(record: Callable[[Mapping[str, float], int], None]) -> Iterator[None]:
    """Call `record(figures, step)` from a thread every MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL or INTERVAL_S seconds."""
    interval_s = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or INTERVAL_S)
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(record, interval_s, over), daemon=True, name="system metrics")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sample(record: Callable[[Mapping[str, float], int], None], interval_s: float, over: threading.Event) -> None:
    monitors = _monitors()
    step = 0
    while True:
        for monitor in monitors:
            monitor.collect_metrics()
        if over.wait(interval_s):
            return
        figures: dict[str, float] = {}
        for monitor in monitors:
            figures |= {f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        try:
            record(figures, step)
        except Exception as error:  # a thread's error would be lost, or end the training for a figure of its processor
            logging.getLogger(__name__).warning("system metrics end here: %s", error)
            return
        step += 1


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    with suppress(Exception):  # no GPU, or no package that asks it: MLflow raises what it meets
        found.append(GPUMonitor())
    return found
