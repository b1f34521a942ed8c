"""What a piece of work cost: seconds, memory and processor time of this process and its workers."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psutil


class UsageMeter:
    """Samples this process and all its descendants while a `with` block runs.

    Attributes:
        seconds: wall time of the block.
        peak_memory_mb: highest sum of resident memory seen, in MiB; pages that processes share count once for each.
        cpu_percent: processor time over wall time; 200 means two cores were busy all along.
    """

    def __init__(self, interval_s: float = 0.1) -> None:
        """Prepare a meter that looks every `interval_s` seconds."""
        self.seconds = 0.0
        self.peak_memory_mb = 0.0
        self.cpu_percent = 0.0
        self._interval_s = interval_s
        self._cpu_s: dict[int, float] = {}
        self._before_s: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> UsageMeter:
        """Start sampling."""
        self._start = time.perf_counter()
        self._sample()
        self._before_s = dict(self._cpu_s)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling and sum up."""
        self._stop.set()
        self._thread.join()
        self._sample()
        self.seconds = time.perf_counter() - self._start
        used_s = sum(cpu_s - self._before_s.get(pid, 0.0) for pid, cpu_s in self._cpu_s.items())
        self.cpu_percent = 100 * used_s / max(self.seconds, 1e-9)

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        here = psutil.Process()
        memory = 0
        for process in (here, *here.children(recursive=True)):
            try:
                with process.oneshot():
                    memory += process.memory_info().rss
                    times = process.cpu_times()
                    self._cpu_s[process.pid] = times.user + times.system
            except psutil.Error:
                continue  # it ended meanwhile
        self.peak_memory_mb = max(self.peak_memory_mb, memory / 2**20)
