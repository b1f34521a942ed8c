"""Processes that end with the one that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from mirada.service.logs import log

_PR_SET_PDEATHSIG = 1
_LIVED_S = 10.0  # who lived so long is started again at once


def _follow(parent: int, number: int) -> Callable[[], None]:
    """For the child, before its program begins: hear `number` from the kernel when the parent is gone."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)  # here, not in the child: after a fork little is safe

    def follow() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return follow


class Child:
    """A process that is started again when it ends by itself.

    It is in a session of its own, so that Ctrl-C reaches only its parent, which ends all in order. Start it from the main
    thread: the kernel takes the end of the starting thread for that of the parent.

    Args:
        name: for the log.
        command: program and arguments.
        orphan_signal: what it gets when the parent was killed.
        pass_fds, output, env: as of `subprocess.Popen`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        orphan_signal: int = signal.SIGKILL,
        pass_fds: Sequence[int] = (),
        output: IO[Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.name, self._command, self._orphan_signal = name, list(command), orphan_signal
        self._options: dict[str, Any] = {"pass_fds": pass_fds, "stdout": output, "stderr": output, "env": env}
        self._process: subprocess.Popen[bytes] | None = None
        self._started, self._pause, self._restart_at = 0.0, 0.0, 0.0

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_follow(os.getpid(), self._orphan_signal),
            **self._options,
        )

    def keep_up(self) -> None:
        """Start it again where it ended, after a pause that grows while it ends at once."""
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self.start()
            return
        status = self._process.poll()
        if status is None:
            return
        lived = time.monotonic() - self._started
        self._pause = 0.0 if lived > _LIVED_S else min(5.0, max(0.2, 2 * self._pause))
        self._process, self._restart_at = None, time.monotonic() + self._pause
        log("process ended, starting it again", 40, process=self.name, status=status, pause_s=self._pause)

    def tell(self, number: int) -> None:
        """Send a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, until: float) -> None:
        """Wait for its end until a moment of `time.monotonic`, then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log("process did not end in time, killed", 40, process=self.name)
            self._process.kill()
            self._process.wait()
        self._process = None
