"""Which processors a process may use, and how jobs that run at the same time share them out.

TensorFlow, LiteRT, tf.data and every process that a job starts count the processors they are allowed on: a job that is
held on its share needs no other setting.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_seat: socket.socket | None = None  # held for as long as this process lives; its name says which share is taken


def available_threads() -> int:
    """CPUs that this process may use."""
    return len(available_cores()) or os.cpu_count() or 1


def available_cores() -> list[int]:
    """The numbers of the CPUs that this process may use; none where the system does not tell (not Linux)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share(things: Sequence[T], jobs: int, number: int) -> list[T]:
    """What one of several jobs gets: an equal part of its own, or one thing that it shares where there are too few.

    What is left over stays unused, so that the times of all jobs can be compared.

    >>> share([0, 1, 2, 3, 4], jobs=2, number=1)
    [2, 3]
    >>> share([0, 1], jobs=8, number=5)
    [1]
    """
    size = max(1, len(things) // jobs)
    return [things[(number * size + offset) % len(things)] for offset in range(size)] if things else []


def take_share(sweep: str, jobs: int, cores: Sequence[int]) -> list[int]:
    """Hold this process on its share of the cores; once in its life, further calls change nothing.

    GPUs stay all visible, but each process counts them from another one on: jobs of one GPU each take different ones.

    Args:
        sweep: a name that all processes of the sweep know and no other sweep on this machine has.
        jobs: how many run at the same time.
        cores: all that the sweep has.

    Returns:
        The cores; empty where processes can't be held on cores (not Linux).
    """
    global _seat
    if not hasattr(os, "sched_setaffinity") or not cores:
        return []
    if _seat is None:
        number, _seat = _take_seat(sweep, jobs)
        os.sched_setaffinity(0, share(cores, jobs, number))
        if len(gpus := _gpus()) > 1:
            first = gpus.index(share(gpus, jobs, number)[0])
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first:] + gpus[:first])
    return available_cores()


def _take_seat(sweep: str, jobs: int) -> tuple[int, socket.socket]:
    """The first number that no living process of the sweep has.

    A name in Linux' abstract namespace is a lock that leaves no file and ends with its process, however that ends.
    """
    seat = socket.socket(socket.AF_UNIX)
    for number in range(jobs):
        try:
            seat.bind(f"\0mirada {sweep} {number}")
            return number, seat
        except OSError:
            continue
    return os.getpid() % jobs, seat  # more processes than jobs: one is about to end


def _gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes; without loading CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(number) for number in range(len(list(_NVIDIA.iterdir())))] if _NVIDIA.is_dir() else []
