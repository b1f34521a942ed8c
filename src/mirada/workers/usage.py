"""What a piece of work cost: seconds, memory, processor and GPU time of this process and its workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from types import TracebackType

import psutil


class UsageMeter:
    """Samples this process and all its descendants while a `with` block runs.

    Args:
        interval_s: it looks so often.
        gpus: how many of the visible GPUs to watch, through `nvidia-smi`; 0: none.

    Attributes:
        seconds: wall time of the block.
        peak_memory_mb: highest sum of resident memory seen, in MiB; pages that processes share count once for each.
        cpu_percent: processor time over wall time; 200 means two cores were busy all along.
        gpu_percent: mean share of time that the GPUs worked, 0..100, whoever's work it was; None when not seen.
        gpu_memory_mb: highest sum of memory in use on the GPUs, in MiB, likewise.
    """

    def __init__(self, interval_s: float = 0.1, gpus: int = 0) -> None:
        self.seconds = 0.0
        self.peak_memory_mb = 0.0
        self.cpu_percent = 0.0
        self.gpu_percent: float | None = None
        self.gpu_memory_mb: float | None = None
        self._interval_s = interval_s
        self._cpu_s: dict[int, float] = {}
        self._before_s: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._gpus = _GpuReader(gpus) if gpus else None

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
        if self._gpus:
            self.gpu_percent, self.gpu_memory_mb = self._gpus.finish()

    def figures(self) -> dict[str, float]:
        """`cpu_percent`, `peak_memory_mb` and, where GPUs were seen, `gpu_percent` and `gpu_memory_mb`."""
        known = ("cpu_percent", "peak_memory_mb", "gpu_percent", "gpu_memory_mb")
        return {key: value for key in known if (value := getattr(self, key)) is not None}

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


class _GpuReader:
    """One `nvidia-smi` that writes a line a GPU and second until it is ended."""

    def __init__(self, gpus: int) -> None:
        self._samples: list[tuple[float, float]] = []
        self._number = gpus
        program = shutil.which("nvidia-smi")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        chosen = ",".join(visible.split(",")[:gpus])
        query = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "--loop-ms=1000"]
        self._process: subprocess.Popen[str] | None = None
        if program:
            self._process = subprocess.Popen(
                [program, f"--id={chosen}", *query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            try:
                busy, used = line.split(",")
                self._samples.append((float(busy), float(used)))
            except ValueError:
                continue  # a GPU that does not tell says so in words

    def finish(self) -> tuple[float | None, float | None]:
        """Mean use in percent and highest memory in MiB, summed over the GPUs."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._thread.join()
            if self._process.stdout:
                self._process.stdout.close()
        if not self._samples:
            return None, None
        looks = [self._samples[i : i + self._number] for i in range(0, len(self._samples), self._number)]
        return (
            sum(busy for busy, _ in self._samples) / len(self._samples),
            max(sum(used for _, used in look) for look in looks),
        )
