"""The workers of one training, as TF_CONFIG names them: who they are, waiting for them, and noticing that one is gone.

Nothing here needs TensorFlow, so a broken TF_CONFIG or a worker that never comes is told before it loads.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirada.errors import MiradaError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")  # the first of all of them, in this order, is the chief
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
_CONNECT_S = 3.0
_LOOK_EVERY_S = 1.0
_MISSES = 3  # looks in a row at which a worker must be away to count as gone
_GRACE_S = 20.0  # for the training to end by itself after its collectives were aborted


@dataclass(frozen=True)
class Cluster:
    """The workers of a training.

    Attributes:
        addresses: host:port of each; the first is the chief.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this one writes and reports."""
        return self.index == 0

    def name(self, index: int) -> str:
        """As a person would look for it."""
        return f"worker {index} ({self.addresses[index]})"

    def names(self, indices: Sequence[int]) -> str:
        """Several of them."""
        return " and ".join(self.name(index) for index in indices)


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """What TF_CONFIG says; None without it, and where it names a single worker, which needs no other.

    Raises:
        MiradaError: it is broken; the sentence says where.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise MiradaError(f"{VARIABLE} is no JSON ({error}): write it like {_EXAMPLE}.") from error
    jobs = _section(content, "cluster")
    if not jobs:
        return None
    if unknown := sorted(set(jobs) - set(JOBS)):
        raise MiradaError(f"{VARIABLE}: cluster may have chief and worker, got {', '.join(unknown)}: leave those out.")
    addresses: list[str] = []
    starts: dict[str, int] = {}
    for job in JOBS:
        starts[job] = len(addresses)
        addresses += _addresses(job, jobs.get(job, []))
    if len(set(addresses)) < len(addresses):
        raise MiradaError(f"{VARIABLE}: cluster names an address twice: give each worker its own host:port.")
    index = _index(_section(content, "task"), jobs, starts)
    return Cluster(tuple(addresses), index) if len(addresses) > 1 else None


def _section(content: Any, key: str) -> dict[str, Any]:
    section = content.get(key, {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise MiradaError(f"{VARIABLE}: {key} must be an object: write it like {_EXAMPLE}.")
    return section


def _addresses(job: str, values: Any) -> list[str]:
    for value in values if isinstance(values, list) else [values]:
        host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise MiradaError(f"{VARIABLE}: cluster.{job} must list host:port of each worker, got {json.dumps(value)}.")
    return list(values) if isinstance(values, list) else [values]


def _index(task: Mapping[str, Any], jobs: Mapping[str, Any], starts: Mapping[str, int]) -> int:
    if "type" not in task or "index" not in task:
        raise MiradaError(f"{VARIABLE} has no task with type and index, which say who this worker is: see {_EXAMPLE}.")
    job, index = task["type"], task["index"]
    if job not in jobs:
        raise MiradaError(f"{VARIABLE}: task.type is {job!r}, but cluster has only {', '.join(jobs)}.")
    count = len(jobs[job])
    if isinstance(index, bool) or not str(index).isdecimal() or int(index) >= count:
        raise MiradaError(
            f"{VARIABLE}: task.index must be 0 to {count - 1}, as cluster.{job} names {count}, got {index!r}."
        )
    return starts[job] + int(index)


def helper_overrides(arguments: Sequence[str]) -> list[str]:
    """What Hydra is told besides, so that it writes nothing of its own where only the chief may write.

    Args:
        arguments: of the command line.

    Returns:
        Overrides for a worker that is not the chief; none for others.

    Raises:
        MiradaError: TF_CONFIG is broken, or the command is a sweep.
    """
    cluster = read_cluster()
    if cluster is None:
        return []
    if {"-m", "--multirun"} & set(arguments):
        raise MiradaError(
            f"A sweep (-m) can't run over the workers of {VARIABLE}: start one training at a time, or unset it."
        )
    if cluster.is_chief:
        return []
    folder = tempfile.mkdtemp(prefix="mirada-worker-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [f"hydra.run.dir={folder}", "hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]


def refuse_cluster(what: str) -> None:
    """For entry points that would do the same work on every worker.

    Raises:
        MiradaError: TF_CONFIG names several workers.
    """
    if read_cluster() is not None:
        raise MiradaError(f"{VARIABLE} is set, but {what} does not run over workers: unset it, or run src/train.py.")


def meet(cluster: Cluster, wait_s: float, tell: Callable[[str], None] = lambda text: None) -> None:
    """Wait until every worker has been here, listening on its own address until then.

    Args:
        cluster: the workers.
        wait_s: for so long.
        tell: called with a line when somebody has to be waited for.

    Raises:
        MiradaError: some did not come, or this worker's port is taken.
    """
    host, port = _host_port(cluster.addresses[cluster.index])
    missing = [number for number in range(cluster.workers) if number != cluster.index]
    until, told_at = time.monotonic() + wait_s, time.monotonic() + 2
    with _listen(host, port, cluster):
        while missing := [number for number in missing if not _answers(cluster.addresses[number])]:
            if time.monotonic() >= until:
                raise MiradaError(
                    f"{cluster.names(missing)} did not come within {wait_s:g} s: start the same command there, check the "
                    f"addresses in {VARIABLE} and that the ports are open, or set peer_wait_s higher."
                )
            if told_at and time.monotonic() > told_at:
                tell(f"waiting for {cluster.names(missing)}, at most {wait_s:g} s")
                told_at = 0
            time.sleep(0.1)


def _listen(host: str, port: int, cluster: Cluster) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", port))  # as TensorFlow's server does: the name may be one that only others know
    except OSError as error:
        listener.close()
        raise MiradaError(
            f"{VARIABLE} says that this is {cluster.name(cluster.index)}, but its port can't be used ({error.strerror}): "
            "give each worker on a machine its own index and a free port."
        ) from error
    listener.listen(128)
    return listener


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_host_port(address), _CONNECT_S):
            return True
    except OSError:
        return False


class PeerWatch:
    """Looks every second whether the other workers still answer.

    A worker counts as gone when it answered once and then did not three times in a row, or never did within `wait_s`: so a
    process that dies is noticed in about three seconds, a machine that goes dark in about twelve.

    Args:
        cluster: the workers.
        wait_s: how long a worker may take to begin to answer.
        on_lost: called once, on the watch's thread, with a sentence that names who is gone.
    """

    def __init__(self, cluster: Cluster, wait_s: float, on_lost: Callable[[str], None]) -> None:
        self.cluster, self.lost = cluster, ""
        self._on_lost, self._until = on_lost, time.monotonic() + wait_s
        self._others = [number for number in range(cluster.workers) if number != cluster.index]
        self._seen: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch of the workers", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        misses = dict.fromkeys(self._others, 0)
        while not self._ended.wait(_LOOK_EVERY_S):
            for number in self._others:
                if _answers(self.cluster.addresses[number]):
                    self._seen.add(number)
                    misses[number] = 0
                elif number in self._seen or time.monotonic() > self._until:
                    misses[number] += 1
            if gone := [number for number, count in misses.items() if count >= _MISSES]:
                self._lose(gone)
                return

    def _lose(self, gone: Sequence[int]) -> None:
        if self._ended.is_set():
            return
        self.lost = (
            f"{self.cluster.names(gone)} does not answer any more, so this one ends, too: start all workers again with "
            "resume=true, which goes on after the last finished epoch."
        )
        self._on_lost(self.lost)
        if not self._ended.wait(_GRACE_S):  # what the training hangs in can't be aborted
            print(f"error: {self.lost}", file=sys.stderr, flush=True)
            os._exit(1)

    def explain(self, wait_s: float = 8.0) -> str:
        """Who is gone, when the training has failed and the watch may be about to say why; else empty."""
        until = time.monotonic() + wait_s
        while not self.lost and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        return self.lost

    def end(self) -> None:
        """The others may go now."""
        self._ended.set()
