"""A Dask cluster as an executor: one that runs somewhere, or one of its own on this machine.

A worker that is killed is Dask's business: its chunk is given to another one. What Dask can't know is checked in each worker
before its first chunk: that it sees the raw files, and that its code and libraries would make the same bytes as ours.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mirada.data.stored_data import copy_raw
from mirada.errors import MiradaError
from mirada.project import PACKAGE
from mirada.storage import cache_dir, is_url
from mirada.workers.executors import WorkerExecutor

MODULES = (
    "alike",
    "alike.hashes",
    "alike.reading",
    "annotations",
    "formats",
    "formats.coco",
    "formats.csv_boxes",
    "formats.cvat",
    "formats.folder",
    "formats.gathering",
    "formats.json_lines",
    "formats.label_studio",
    "formats.labelme",
    "formats.labels",
    "formats.rarer",
    "formats.rarer.createml",
    "formats.rarer.dota",
    "formats.rarer.keras",
    "formats.rarer.via",
    "formats.table",
    "formats.tfrecord",
    "formats.tfrecord.framing",
    "formats.voc",
    "formats.writing",
    "formats.yolo",
    "folders",
    "folders.geometry",
    "images",
    "inputs",
    "folders.layout",
    "folders.lists",
    "folders.markup",
    "folders.masks",
    "objects",
    "folders.pairing",
    "photographs",
    "pixels",
    "pixels.depth",
    "pixels.opening",
    "records",
    "splits",
    "splits.areas",
    "splits.shares",
    "folders.texts",
    "tiles",
)  # of mirada.data
LIBRARIES = (
    "numpy",
    "pillow",
    "pillow-heif",
    "protobuf",
)  # these and the modules above shape a record's bytes, or its split
CONNECT_S = 5.0
WORKERLESS_S = 30.0  # a cluster may be so long without a worker: a nanny starts a dead one again in a few seconds
_NAMED = 4  # files of a chunk that a message lists


def _digest_code() -> str:
    digest = hashlib.sha256()
    for name in MODULES:
        path = PACKAGE / "data" / name.replace(".", "/")
        digest.update((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_bytes())
    return digest.hexdigest()


_CODE = _digest_code()  # as it is when this process loads it: a worker that runs on after an edit has the old code


@dataclass(frozen=True)
class Surroundings:
    """What a worker must find where it is.

    Attributes:
        raw_dir: as this process calls it; a URL where the files are a copy of what lies in a store.
        files: some raw files, as (path, size in bytes).
        code: digest of MODULES.
        libraries: (name, version) of those that shape a record.
    """

    raw_dir: str
    files: tuple[tuple[str, int], ...]
    code: str
    libraries: tuple[tuple[str, str], ...]


def describe_surroundings(raw_dir: str, files: Sequence[Path]) -> Surroundings:
    """What workers must find to make the records that this process would make.

    Args:
        raw_dir: the raw folder, or its URL.
        files: some files in it by which it is recognized.
    """
    sizes = tuple((str(file), file.stat().st_size) for file in files)
    return Surroundings(raw_dir, sizes, _CODE, tuple((name, _version(name)) for name in LIBRARIES))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@lru_cache(maxsize=8)
def _check(wanted: Surroundings) -> None:
    """In a worker: refuse to work where the result would be another one."""
    where = _own_address()
    if not _sees(wanted) and is_url(wanted.raw_dir):
        copy_raw(wanted.raw_dir)
        if not _sees(wanted):
            raise MiradaError(
                f"The worker {where} keeps its copy of {wanted.raw_dir} in {cache_dir()} and this process elsewhere: set "
                "MIRADA_CACHE to one path on both."
            )
    if not _sees(wanted):
        raise MiradaError(
            f"The worker {where} can't see the raw files in {wanted.raw_dir}: put them on a file system that all workers "
            "share, under one path, or into an object store (raw_dir=s3://…)."
        )
    for name, ours in wanted.libraries:
        if _version(name) != ours:
            raise MiradaError(
                f"The worker {where} has {name} {_version(name)}, this process {ours}: install the same, or the data set "
                "would depend on who made which image."
            )
    if wanted.code != _CODE:
        raise MiradaError(
            f"The worker {where} runs other code of Mirada than this process: bring it to the same commit and restart it."
        )


def _sees(wanted: Surroundings) -> bool:
    return all(Path(path).is_file() and Path(path).stat().st_size == size for path, size in wanted.files)


def _own_address() -> str:
    try:
        from distributed import get_worker

        return str(get_worker().address)
    except (ImportError, ValueError):  # no Dask worker
        return "here"


def _run(payload: bytes, wanted: Surroundings) -> Any:
    """In a worker: check where it is, then call the pickled function."""
    _check(wanted)
    function, arguments = pickle.loads(payload)
    return function(*arguments)


class _Call:
    """A call of `_run` that is made by unpickling it: the scheduler gets bytes, and needs no Mirada."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _run, self._arguments


class DaskExecutor(WorkerExecutor):
    """`Client.get_executor()`, whose failures are told in a sentence."""

    def __init__(self, client: Any, wanted: Surroundings, name: str) -> None:
        """Take over a connected client.

        Args:
            client: of Dask.
            wanted: what each worker must find.
            name: how messages call the cluster.
        """
        self._client, self._wanted, self._name = client, wanted, name
        self._gone = f"{_capital(name)} went away in the middle of the work: start it again, then run this again."
        self._executor = client.get_executor(pure=False)  # equal arguments are two tasks all the same
        self._connection = client.scheduler_comm
        self._seen_at = time.monotonic()

    @property
    def workers(self) -> int:
        """How many chunks the cluster can work on at a time, now; at least 1."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Hand over a call. It is pickled here, as Dask would search lists and tuples of ours for tasks of its own."""
        assert not keywords
        payload = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        future: Future[Any] = self._executor.submit(pickle.loads, pickle.dumps(_Call(payload, self._wanted)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._executor.shutdown(wait=wait and not cancel_futures)

    def look_after(self) -> None:
        """End the work when what is under way would wait for ever.

        Raises:
            MiradaError: the cluster has had no worker for a while; or the connection to the scheduler was lost: with it
                went all chunks, and Dask cancels all but those whose results it was fetching.
        """
        if self._client.status != "running" or self._client.scheduler_comm is not self._connection:
            raise MiradaError(self._gone)
        if self._client.nthreads():
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > WORKERLESS_S:
            raise MiradaError(
                f"{_capital(self._name)} has had no worker for {WORKERLESS_S:.0f} s: start some and run it again."
            )

    def explain(self, error: Exception, under_way: Mapping[int, str], failed: Sequence[str]) -> str | None:
        """A sentence for a failure of the cluster; None for any other error."""
        from distributed import KilledWorker

        names = ", ".join(failed[:_NAMED]) + (f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else "")
        if isinstance(error, KilledWorker):
            return (
                f"Worker after worker died while it worked on {names}: look at these files, or give the workers more "
                "memory."
            )
        if isinstance(error, concurrent.futures.CancelledError):
            return self._gone
        if isinstance(error, ImportError):
            return (
                f"A worker of {self._name} can't import what it needs ({error}): install Mirada there as here, or start the "
                "worker with PYTHONPATH set to its src folder."
            )
        return None


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


@contextmanager
def open_dask(address: str | None, workers: int, wanted: Surroundings) -> Iterator[DaskExecutor]:
    """Connect to a cluster, or start one of its own, and print where its dashboard is.

    Args:
        address: of the scheduler; None: a cluster on this machine, gone at the end.
        workers: processes of the cluster on this machine.
        wanted: what each worker must find.

    Raises:
        MiradaError: Dask is not installed, the scheduler can't be reached, or it has no worker.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MiradaError(f"executor=dask needs Dask ({error}): pip install 'mirada[dask]'.") from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # else it tells of every connection
    for logger in ("distributed.client", "tornado.application"):  # their tracebacks are told in a sentence here
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if address is not None:
        with _connect(Client, address) as client:
            yield _introduce(client, wanted, f"the cluster at {address}")
        return
    with (
        tempfile.TemporaryDirectory(prefix="mirada-dask-") as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any port: two runs at a time need two
            local_directory=folder,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield _introduce(client, wanted, "the cluster on this machine")


def _connect(client: Any, address: str) -> Any:
    connected = client.__new__(client)
    try:
        connected.__init__(address, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:  # what answers there may be anything, and Dask reads its first bytes as lengths
        with suppress(Exception):
            connected.close(timeout=1)  # half made: left alone, it would hold up the end of this process for 10 s
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if isinstance(error, MemoryError):
            reason = "what answers there does not speak as Dask does"
        raise MiradaError(
            f"The Dask scheduler at {address} can't be reached ({reason}): start it with `dask scheduler` or correct "
            "executor.address."
        ) from error
    try:
        connected.wait_for_workers(1, timeout=CONNECT_S / 2)
    except TimeoutError as error:
        connected.close()
        raise MiradaError(
            f"The Dask scheduler at {address} has no worker: start some with `dask worker {address}`."
        ) from error
    return connected


def _introduce(client: Any, wanted: Surroundings, name: str) -> DaskExecutor:
    """Say who works and where to watch it."""
    executor = DaskExecutor(client, wanted, name)
    workers = f"{executor.workers} worker{'s' * (executor.workers > 1)}"
    print(
        f"{_capital(name)} has {workers}; dashboard: {client.dashboard_link}",
        file=sys.stderr,
        flush=True,
    )
    return executor
