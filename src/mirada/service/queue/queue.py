"""The API's side of the queue: store, tasks, and what has to be done now and then."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from mirada.config import QueueConfig
from mirada.inference.card import Card
from mirada.service.logs import log
from mirada.service.metrics import Metrics
from mirada.service.model.bundle import Bundle, find_model
from mirada.service.problems import Refusal
from mirada.service.queue.orders import Order
from mirada.service.queue.store import JobStore
from mirada.service.queue.tasks import Resender, make_celery, send

T = TypeVar("T")

_THREADS = 40  # requests that may ask the store at a time
_LOOK_S = 1.0
_SWEEP_S = 10.0


class Queue:
    """Jobs on their way from requests to workers.

    Args:
        config: of the queue; its URL is set.
        var_dir: where copies of models are.
        disk: a folder of the private Redis, whose disk must have room; None: Redis is not ours.
    """

    def __init__(self, config: QueueConfig, var_dir: Path, disk: Path | None) -> None:
        url = str(config.url)
        self.store, self._celery = JobStore(config, url), make_celery(config, url)
        self._config, self._var_dir, self._disk = config, var_dir, disk
        self._resender = Resender(self._celery, self.store)
        self._bundles: dict[str, Bundle] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "queue")
        self._stop = threading.Event()

    async def ask(self, work: Callable[[], T]) -> T:
        """Do something with the store for a request, in the queue's own threads: a silent Redis holds up no prediction."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work)

    def check_room(self, size_bytes: int) -> None:
        """Refuse a job that the disk has no room for.

        Raises:
            Refusal: 503; what was accepted before keeps its room.
        """
        if self._disk is None:
            return
        # Twice: Redis writes its file anew now and then, beside the old one.
        if shutil.disk_usage(self._disk).free < self._config.min_free_bytes + 2 * size_bytes:
            raise Refusal(503, "The queue's disk is full: jobs are taken again when there is room.", 60)

    def accept(self, order: Order, images: Iterable[tuple[int, bytes]], digest: str) -> tuple[str, bool]:
        """Store a job and send its tasks; see `JobStore.accept`."""
        job_id, new = self.store.accept(order, images, digest)
        if new:
            try:
                send(self._celery, job_id, range(len(order.names)), self._config.images_per_task)
            except (OperationalError, KombuError, RedisError, OSError):
                log("tasks not sent, they will be", 30, exc_info=True, job=job_id)  # accepted is accepted
        return job_id, new

    def card(self, digest: str) -> Card:
        """The card of a job's model.

        Raises:
            Refusal: 503, it is not there any more.
        """
        return self._bundle(digest).card

    def model_name(self, digest: str) -> str:
        """The name of a job's model; empty where it is not there any more."""
        try:
            return self._bundle(digest).name
        except Refusal:
            return ""

    def _bundle(self, digest: str) -> Bundle:
        if digest not in self._bundles:
            bundle = find_model(digest, self._var_dir, lambda: self.store.model_files(digest))
            if bundle is None:
                raise Refusal(503, "The job's model is not here any more.")
            self._bundles[digest] = bundle
        return self._bundles[digest]

    def keep(self, present: Callable[[], Bundle | None], metrics: Metrics) -> None:
        """Send lost tasks again, remove what has expired, count; until `stop`, to be run in a thread."""
        looks, begun = 0, self._disk is None  # with a Redis of our own, no other API uploads into it
        while not self._stop.wait(_LOOK_S if looks else 0):
            try:
                if not begun:
                    self.store.drop_uploads()
                    begun = True
                waiting, stored = self.store.totals()
                metrics.queue_images.set(waiting)
                metrics.queue_bytes.set(stored)
                metrics.queue_up.set(1)
                if self.store.take_turn("resend", _LOOK_S / 2) and (again := self._resender.resend()):
                    log("sent again", 30, images=again)
                if looks % round(_SWEEP_S / _LOOK_S) == 0 or stored > self._config.max_bytes / 2:
                    self.store.sweep(present())
                looks += 1
            except (RedisError, OperationalError, KombuError, OSError) as error:
                metrics.queue_up.set(0)
                log("the queue does not answer", 30, error=str(error)[:200])
            except Exception:  # this thread has to go on
                log("failed", 40, exc_info=True)

    def stop(self) -> None:
        """End `keep` and what waits for a thread."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
