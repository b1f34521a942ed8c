"""Runtimes in processes of their own: what crashes there, or talks on stderr from C++, stays there."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError


class CrashedError(MiradaError):
    """A process was ended by a signal: of an emulator that says nothing about the device."""


def ask(command: Sequence[str], seconds: float | None = None, folder: Path | None = None) -> tuple[int, str, str]:
    """What a program says.

    Args:
        command: the program and its arguments.
        seconds: after which it is given up; None: never.
        folder: where it runs; None: here.

    Returns:
        Its exit status, and what was said on stdout and on stderr.

    Raises:
        CrashedError: a signal ended it, whose name is the message.
        MiradaError: it took too long.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise MiradaError(f"took more than {seconds} s") from None
    if done.returncode < 0:
        number = -done.returncode
        raise CrashedError(signal.Signals(number).name if number in [*signal.Signals] else str(number))
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def last_line(said: str) -> str:
    """The last line that is not empty, which in a traceback says what was wrong."""
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no message")


def run_script(
    command: Sequence[str],
    script: str,
    path: Path,
    images: np.ndarray,
    title: str,
    env: Mapping[str, str] | None = None,
) -> tuple[list[np.ndarray], str]:
    """Show images to a `.tflite` in another Python.

    Args:
        command: that Python.
        script: its program; it is called with the `.tflite`, an `.npy` of the images, and where to write an `.npz` of the
            outputs, `arr_0` and so on in the order of the file.
        path: the `.tflite`.
        images: (N, S, S, C), of the type that the file takes.
        title: of the runtime, for messages.
        env: its environment; None: this process'.

    Returns:
        Of each output (N, ...), and what was said on stderr.

    Raises:
        CrashedError: a signal ended it, that of a segmentation fault, say.
        MiradaError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder) / "images.npy", Path(folder) / "outputs.npz"
        np.save(given, images)
        done = subprocess.run(
            [*command, "-c", script, str(path), str(given), str(results)],
            capture_output=True, text=True, check=False, env=None if env is None else dict(env),
        )  # fmt: skip
        if done.returncode != 0:
            kind = CrashedError if done.returncode < 0 or done.returncode > 128 else MiradaError
            raise kind(f"{path} does not run in {title} ({_reason(done)}): it can't be meant for that runtime.")
        with np.load(results) as outputs:
            return [outputs[name] for name in outputs.files], done.stderr


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of C++, which says what is lacking; else Python's last; else how the process ended."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    before = [line for line in lines if not line.startswith(("INFO", "WARNING", "W0", "I0"))]
    if before and not before[0].startswith("Traceback"):
        return before[0]
    return lines[-1] if lines else f"it ended with {done.returncode}"
