"""Work shared out to workers: bounded, in order, and honest about one that dies. Here they are processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import forkserver
from typing import Any, TypeVar

from mirada.errors import MiradaError

T = TypeVar("T")
R = TypeVar("R")

IDLE = -1
PATIENCE_S = 2.0  # so long nothing may come in before the workers are looked at
_desk: Any = None  # in a worker: what each worker has on its desk, shared with the parent
_seat = 0  # in a worker: its place there


class WorkerExecutor(Executor):
    """An executor that knows its workers, and what it means when one of them fails."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many items it can work on at a time."""

    @abstractmethod
    def look_after(self) -> None:
        """Called when nothing has come in for a while: end work that would never come to its end."""

    @abstractmethod
    def explain(self, error: Exception, under_way: Mapping[int, str], failed: Sequence[str]) -> str | None:
        """One sentence for an error that means a worker has failed; None for any other.

        Args:
            error: what a future raised.
            under_way: number -> name of the items that were handed over.
            failed: names of the items of that future.
        """


class ProcessExecutor(ProcessPoolExecutor, WorkerExecutor):
    """A process pool that knows which item each worker has in hand.

    Workers are forked from a clean server process, or spawned where there is no fork: they inherit no thread and no
    TensorFlow of the parent. They ignore Ctrl-C, which is the parent's to handle, and end when the parent is gone.
    """

    def __init__(self, workers: int, preload: Iterable[str] = ()) -> None:
        """Make a pool; processes start with the first work.

        Args:
            workers: number of processes.
            preload: modules that the server process imports once for all workers.
        """
        context: Any
        if sys.platform == "win32":
            context = multiprocessing.get_context("spawn")
        else:
            context = multiprocessing.get_context("forkserver")
            if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
                multiprocessing.set_start_method("forkserver", force=True)  # joblib's, which no child would know
            _start_server(list(preload))
        self._workers = workers
        self.desk = context.Array("q", [IDLE] * workers, lock=False)
        seats = context.Value("i", 0)
        super().__init__(workers, mp_context=context, initializer=_take_seat, initargs=(self.desk, seats))

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self._workers

    def in_hand(self) -> list[int]:
        """Numbers of the items that workers had in hand when they ended; call it after `shutdown`."""
        return sorted(number for number in self.desk if number != IDLE)

    def look_after(self) -> None:
        """End the pool when a worker is dead and the pool waits for the rest of what it was sending.

        Python's pool sees a worker's death only between two results: of one that was killed while it sent a result, half
        a message lies in the pipe, and who reads it waits for ever.
        """
        workers = list((self._processes or {}).values())
        if all(worker.is_alive() for worker in workers):
            return
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        self._result_queue._writer.close()  # type: ignore[attr-defined]  # the last one: the reader gets its end of file

    def explain(self, error: Exception, under_way: Mapping[int, str], failed: Sequence[str]) -> str | None:
        """The sentence for a worker that died."""
        if not isinstance(error, BrokenProcessPool):
            return None
        self.shutdown(wait=True)
        names = [under_way[number] for number in self.in_hand() if number in under_way]
        what = f"A worker process died while it worked on {' and '.join(names)}"
        if not names:
            what = "A worker process died between two files"
        return f"{what}: look at that file, or give the machine more memory, or use fewer workers."


def make_executor(workers: int, preload: Iterable[str] = ()) -> ProcessExecutor:
    """An executor over `workers` processes; one worker is a process of its own too, so that its death is survived."""
    return ProcessExecutor(workers, preload)


def _start_server(preload: list[str]) -> None:
    """Start the process that workers are forked from, unless it runs already.

    It looks for modules where this process does, which multiprocessing leaves out before Python 3.13, and numpy starts
    no threads in it: a process with threads can't be forked safely.
    """
    wanted = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        forkserver.set_forkserver_preload(preload)
        forkserver.ensure_running()
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _take_seat(desk: Any, seats: Any) -> None:
    """Start a worker."""
    global _desk, _seat
    with seats.get_lock():
        seat, seats.value = seats.value, seats.value + 1
    _desk, _seat = desk, seat
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _leave(number: int, frame: object) -> None:
    """Told to end because another worker died: clear the desk, so that only the dead one's item stays on it."""
    _desk[_seat] = IDLE
    os._exit(1)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_through(function: Callable[[T], R], chunk: list[tuple[int, T]]) -> list[R]:
    """In a worker: apply the function to each item, with the item's number on the desk meanwhile."""
    results = []
    for number, item in chunk:
        if _desk is not None:
            _desk[_seat] = number
        results.append(function(item))
    if _desk is not None:
        _desk[_seat] = IDLE
    return results


def map_bounded(
    executor: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    chunk: int = 1,
    window: int = 8,
    name: Callable[[T], str] = str,
    on_done: Callable[[int], None] | None = None,
) -> Iterator[R]:
    """Apply a function to items in workers and yield its results in the items' order.

    Items are drawn as they are needed. At most `window` chunks are in the workers' hands, and results that came in
    early wait for the slowest one before them, at most 4 windows of them: memory doesn't grow with the number of items.

    Args:
        executor: from `make_executor`, or any other.
        function: picklable; so must be items and results.
        items: what to work on.
        chunk: items handed over at a time.
        window: chunks under way at a time.
        name: how a message calls an item.
        on_done: told how many items were finished, as they are.

    Raises:
        MiradaError: a worker died and its work with it; the sentence names the items it had in hand.
    """
    numbered = enumerate(items)
    running: dict[Future[list[R]], tuple[int, list[tuple[int, T]]]] = {}
    waiting: dict[int, list[R]] = {}
    submitted = yielded = 0
    failed: list[tuple[int, T]] = []
    try:
        while True:
            while len(running) < window and submitted - yielded < 4 * window:
                if not (part := list(islice(numbered, chunk))):
                    break
                running[executor.submit(partial(_work_through, function), part)] = (submitted, part)
                submitted += 1
            if not running and not waiting:
                return
            if running:
                done, _ = wait(running, timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
                if not done and isinstance(executor, WorkerExecutor):
                    executor.look_after()
                for future in done:
                    number, failed = running[future]
                    waiting[number] = future.result()
                    part = running.pop(future)[1]
                    if on_done is not None:
                        on_done(len(part))
            while yielded in waiting:
                yielded += 1
                yield from waiting.pop(yielded - 1)
    except Exception as error:
        if not isinstance(executor, WorkerExecutor) or isinstance(error, MiradaError):
            raise
        under_way = {number: name(item) for _, part in running.values() for number, item in part}
        if (sentence := executor.explain(error, under_way, [name(item) for _, item in failed])) is None:
            raise
        raise MiradaError(sentence) from error
    finally:
        for future in running:
            future.cancel()
