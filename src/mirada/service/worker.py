"""A worker: takes tasks from the queue, predicts their images, keeps the results; it needs nothing but the queue's URL."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from redis.exceptions import RedisError

from mirada.config import WorkerConfig
from mirada.errors import MiradaError
from mirada.service.logs import log, set_up_logs
from mirada.service.model.bundle import find_model
from mirada.service.model.predictor import Predictor
from mirada.service.problems import Refusal
from mirada.service.queue.orders import read_viewing
from mirada.service.queue.store import JobStore, patiently
from mirada.service.queue.tasks import TASK, make_celery, send
from mirada.service.settings import load_settings

MOST_ATTEMPTS = 5  # an image at which workers died as often is given up
_PATIENCE_S = 60.0  # so long Redis may be away in the middle of a task
_KEPT_MODELS = 2
_RENEWAL_S = 1.0  # so often a worker tells that it is at an image still


class Turn:
    """Entered before each inference: tells the queue that the image in hand is being worked at."""

    def __init__(self, store: JobStore) -> None:
        self._store, self._image, self._told = store, ("", 0), 0.0

    def begin(self, job_id: str, number: int) -> None:
        """The image in hand is another one."""
        self._image, self._told = (job_id, number), time.monotonic()

    def __enter__(self) -> None:
        """Tell, where it is time.

        Raises:
            Refusal: 410, the job was cancelled or has expired.
        """
        if time.monotonic() - self._told < _RENEWAL_S:
            return
        self._told = time.monotonic()
        try:
            needed = self._store.renew(*self._image)
        except RedisError:
            return  # it is away for a while: at worst another worker does the same
        if not needed:
            raise Refusal(410, "The image needs no result any more.")

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""


class JobWorker:
    """What runs tasks.

    Args:
        config: of the worker.
        store: of the queue.
        send_again: (job, numbers): sends the rest of a task that takes long as a task of its own.
    """

    def __init__(self, config: WorkerConfig, store: JobStore, send_again: Callable[[str, Sequence[int]], None]) -> None:
        self._config, self._store, self._send_again = config, store, send_again
        self._predictors: dict[str, Predictor] = {}
        self._turn = Turn(store)

    def run(self, job_id: str, numbers: Sequence[int]) -> None:
        """Predict images of a job, each of which gets its one result, unless it has it."""
        fields = patiently(lambda: self._store.fields(job_id), _PATIENCE_S)
        if fields is None or "ended_at" in fields:
            return
        predictor = self._predictor(fields["model"])
        half_time = time.monotonic() + self._config.queue.lost_after_s / 2
        elsewhere: list[int] = []
        for at, number in enumerate(numbers):
            if at and time.monotonic() > half_time:  # before the queue takes this worker for dead
                self._send_again(job_id, [*elsewhere, *numbers[at:]])
                return
            if not self._predict(predictor, job_id, number, fields):
                elsewhere.append(number)
        if elsewhere:  # the queue gave them out again, as their worker takes long; should it die, they are done here
            time.sleep(_RENEWAL_S)
            self._send_again(job_id, elsewhere)

    def _predict(self, predictor: Predictor, job_id: str, number: int, fields: dict[str, str]) -> bool:
        """See to an image's result; False where another worker is at it."""
        taken = patiently(lambda: self._store.take(job_id, number), _PATIENCE_S)
        if taken is None:
            return True
        attempts, data = taken
        if attempts == 0:
            return False
        self._turn.begin(job_id, number)
        error, result = None, None
        try:
            if attempts > MOST_ATTEMPTS:
                raise Refusal(500, "Workers died at this image again and again: it was given up.")
            found = predictor.predict(data, fields["variant"], float(fields["min_score"]), read_viewing(fields))
            result = {"width": found.width, "height": found.height, **found.content, "timings_ms": found.timings_ms}
        except Refusal as refusal:
            error = refusal.detail
        except Exception:
            error = "The service failed at this image: its log tells why."
            log("failed", 40, exc_info=True, job=job_id, image=number)
        kept = patiently(lambda: self._store.finish(job_id, number, error, result), _PATIENCE_S)
        about: dict[str, Any] = {
            "job": job_id,
            "image": number,
            "request_id": fields["request_id"],
            "attempt": attempts,
        }
        log("predicted" if error is None else "refused", kept=kept, **about)
        return True

    def _predictor(self, digest: str) -> Predictor:
        """The model of a job, from this machine's copies or from the store."""
        if digest not in self._predictors:
            bundle = find_model(
                digest,
                Path(self._config.var_dir),
                lambda: patiently(lambda: self._store.model_files(digest), _PATIENCE_S),
            )
            if bundle is None:
                raise MiradaError(f"The queue has no model {digest[:16]}: its service puts it back when it runs.")
            while len(self._predictors) >= _KEPT_MODELS:
                del self._predictors[next(iter(self._predictors))]
            self._predictors[digest] = Predictor(bundle, self._config.limits, self._turn)
        return self._predictors[digest]


def run(config: WorkerConfig) -> None:
    """Work until SIGTERM or SIGINT; the task in hand is finished first.

    Raises:
        MiradaError: no queue is named.
    """
    url = config.queue.url
    if url is None:
        raise MiradaError("queue.url is missing: name the service's Redis, as in queue.url=redis://host:6379/0.")
    set_up_logs("worker")
    store, app = JobStore(config.queue, url), make_celery(config.queue, url)
    worker = JobWorker(config, store, lambda job, numbers: send(app, job, numbers, len(numbers)))

    @app.task(name=TASK)
    def predict(job_id: str, numbers: list[int]) -> None:
        worker.run(job_id, numbers)

    options: dict[str, Any] = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
    # One process, one task at a time: what is killed is the worker, and nothing is left of it.
    warnings.simplefilter("ignore", SecurityWarning)  # that root runs it, as in a container
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # of tasks that go on while Redis is away: they may
    app.Worker(pool="solo", concurrency=1, loglevel="WARNING", quiet=True, **options).start()


if __name__ == "__main__":
    os.nice(5)  # who waits for a single prediction goes first
    run(load_settings(WorkerConfig, Path(sys.argv[1])))
