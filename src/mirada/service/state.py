"""What one running application holds: the model, its threads, the queue, the counters."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mirada.config import ServeConfig
from mirada.errors import MiradaError
from mirada.service.drift import Drift
from mirada.service.logs import log
from mirada.service.metrics import Metrics
from mirada.service.model.bundle import Bundle, remove_old_copies
from mirada.service.model.loading import load_model, watched_state
from mirada.service.model.predictor import Predictor
from mirada.service.problems import Refusal
from mirada.service.queue.queue import Queue
from mirada.workers.cores import available_threads

T = TypeVar("T")
LONG_TILES = 16  # an image of more is long: it may not take the last thread
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=float("inf"))


class Gate:
    """Lets so many inferences run at a time, in the order in which they come, and none of a request that nobody waits for.

    A turn is handed to who has waited longest. A semaphore would let the thread that gives it back take it again: one with a
    photograph of many tiles, which comes again at once, would then pass by small images again and again.
    """

    def __init__(self, most: int) -> None:
        self._free, self._lock = most, threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        """Wait for a turn.

        Raises:
            Refusal: 503, the request's time is over.
        """
        if time.monotonic() > _deadline.get():
            raise Refusal(503, "The prediction took too long: it was given up.")
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *error: object) -> None:
        """Hand the turn on."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Service:
    """The parts that routes share."""

    def __init__(self, config: ServeConfig, queue: Queue | None = None) -> None:
        self.config, self.queue, self.metrics = config, queue, Metrics()
        self.stopping = False  # streams end then
        self.threads = config.threads or available_threads()
        # One more than inferences: it decodes the next image while they run.
        self._executor = ThreadPoolExecutor(self.threads + 1, "predict")
        self._inferences = Gate(self.threads)
        self._long = asyncio.Semaphore(self.threads)
        self._predictor: Predictor | None = None
        self.drift = Drift({})
        self._in_hand = self._uploads = 0
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._seen = watched_state(config)

    def load(self, fresh: bool = True) -> Bundle:
        """Load the configured model and let all later requests have it; those under way keep the one they began with.

        Args:
            fresh: ask the registry again, where the model comes from one.

        Raises:
            MiradaError: it can't be loaded; the present one stays.
        """
        with self._loading:
            try:
                self._seen = watched_state(self.config)
                bundle = load_model(self.config, fresh)
                predictor = Predictor(bundle, self.config.limits, self._inferences)
                self._warm_up(predictor)
                if self.queue is not None:
                    self.queue.store.put_model(bundle)
            except MiradaError as error:
                self.metrics.reloads.labels("failed").inc()
                log("model not loaded", 40, error=str(error))
                raise
            if self._predictor is None or self._predictor.bundle.digest != bundle.digest:
                self.drift = Drift(bundle.usual)
            self._predictor = predictor
            remove_old_copies(Path(self.config.var_dir), bundle.digest)
            self.metrics.reloads.labels("loaded").inc()
            log("model loaded", model=bundle.name, digest=bundle.digest, variants=list(bundle.variants))
            return bundle

    def try_to_load(self, fresh: bool = True) -> None:
        """As `load`; where that can't be done, the log tells why and the thread that asks goes on."""
        try:
            self.load(fresh)
        except MiradaError:
            pass  # logged
        except Exception:
            log("model not loaded", 40, exc_info=True)

    def _warm_up(self, predictor: Predictor) -> None:
        """Open every variant in every thread and run it once, so that no request pays for it."""
        barrier = threading.Barrier(self.threads + 1)

        def open_all() -> None:
            predictor.warm_up()
            barrier.wait(30)  # else one thread would take all turns

        opened: list[Future[None]] = [self._executor.submit(open_all) for _ in range(self.threads + 1)]
        try:
            for future in opened:
                future.result(60)
        except threading.BrokenBarrierError:
            pass  # the threads were busy for long; they open it at its first use

    @property
    def predictor(self) -> Predictor:
        """The present model.

        Raises:
            Refusal: 503, there is none yet.
        """
        if self._predictor is None:
            raise Refusal(503, "The model is not loaded: look at /readyz, or try again shortly.", 2)
        return self._predictor

    @property
    def present(self) -> Predictor | None:
        """The present model; None where there is none yet."""
        return self._predictor

    @property
    def ready(self) -> bool:
        """Whether a model is loaded."""
        return self._predictor is not None

    async def compute(self, work: Callable[[], T], long: bool = False) -> T:
        """Run work in one of the prediction threads.

        Args:
            work: what to do.
            long: it takes many inferences: one thread is kept free of such, so that small images pass by.

        Raises:
            Refusal: 429 where too much waits already, 503 where it took too long.
        """
        limits = self.config.limits
        if self._in_hand >= self.threads + limits.waiting:
            raise Refusal(429, "Too many predictions wait: send this one again after a moment.", 1)
        self._in_hand += 1
        self.metrics.waiting.set(max(0, self._in_hand - self.threads))
        future: asyncio.Future[T] | None = None
        try:
            async with asyncio.timeout(limits.predict_s):
                if long:
                    await self._long.acquire()
                context = contextvars.copy_context()
                context.run(_deadline.set, time.monotonic() + limits.predict_s)
                future = asyncio.get_running_loop().run_in_executor(self._executor, context.run, work)
                # A thread that is not waited for any more is busy still, until its next inference at least.
                future.add_done_callback(partial(self._done, long))
                return await asyncio.shield(future)
        except TimeoutError:
            raise Refusal(503, f"The prediction took more than {limits.predict_s:g} s.", 5) from None
        finally:
            if future is None:
                self._leave()

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """Take a job's images in; only so many jobs at a time, as each may fill the memory.

        Raises:
            Refusal: 429 where too many are being taken in.
        """
        if self._uploads >= self.config.limits.uploads:
            raise Refusal(429, "Other jobs are being taken in: send this one again after a moment.", 1)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    def _leave(self) -> None:
        self._in_hand -= 1
        self.metrics.waiting.set(max(0, self._in_hand - self.threads))

    def _done(self, long: bool, future: asyncio.Future[Any]) -> None:
        self._leave()
        if long:
            self._long.release()
        if not future.cancelled():
            future.exception()  # seen: nobody may be waiting any more

    def watch(self) -> None:
        """Load what the watched folders newly hold, until `stop`; to be run in a thread."""
        while not self._stop.wait(self.config.watch_s):
            now = watched_state(self.config)
            if now is None or now == self._seen:
                continue
            time.sleep(min(self.config.watch_s, 1.0))
            if watched_state(self.config) != now:
                continue  # a stage is still writing
            self.try_to_load()

    def keep_queue(self) -> None:
        """What the queue needs now and then, until `stop`; to be run in a thread."""
        if self.queue is not None:
            self.queue.keep(lambda: self._predictor.bundle if self._predictor else None, self.metrics)

    def stop(self) -> None:
        """End the threads; what runs is finished."""
        self.stopping = True
        self._stop.set()
        if self.queue is not None:
            self.queue.stop()
        self._executor.shutdown(wait=True, cancel_futures=True)
