"""Jobs, their images and results in Redis. What the API has accepted is there, and on its disk, before it answers."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, ResponseError, TimeoutError
from redis.retry import Retry

from mirada.config import QueueConfig
from mirada.service.model.bundle import Bundle
from mirada.service.problems import Refusal
from mirada.service.queue import scripts
from mirada.service.queue.orders import Order

T = TypeVar("T")

PREFIX = "mirada:"
_BATCH_BYTES = 4_000_000  # of images sent to Redis at a time
STAGING_S = 20.0  # an upload that was begun, and of which so long nothing came, is dropped: its API was killed
_UNUSED_MODEL_S = 600.0
LEASE_S = 5.0  # an image of which its worker told so recently that it is at it is given to no other
AWAY = (ConnectionError, TimeoutError, BusyLoadingError)
CANCELLED = json.dumps({"state": "cancelled", "error": None})


def client_url(url: str) -> str:
    """A queue's URL as redis-py takes it; Celery's has other words for a socket."""
    if url.startswith("redis+socket://"):
        return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
    return url


def connect(url: str) -> redis.Redis:
    """A client that tries again where trying again may help."""
    return redis.Redis.from_url(
        client_url(url),
        socket_timeout=20,
        socket_connect_timeout=2,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        retry_on_error=list(AWAY),
        health_check_interval=15,
    )


class JobStore:
    """The queue's memory.

    Where Redis is away or refuses a write, methods raise redis' exceptions; `answering` makes a refusal of them.
    """

    def __init__(self, config: QueueConfig, url: str) -> None:
        self.config, self.url = config, url
        self._redis: Any = connect(url)  # its types are unions of all that any reply may be
        register = self._redis.register_script
        self._reserve, self._commit = register(scripts.RESERVE), register(scripts.COMMIT)
        self._take, self._finish = register(scripts.TAKE), register(scripts.FINISH)
        self._renew = register(scripts.RENEW)
        self._cancel, self._remove = register(scripts.CANCEL), register(scripts.REMOVE)
        self._totals = register(scripts.TOTALS)

    def is_up(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False

    def totals(self) -> tuple[int, int]:
        """Images that wait, and bytes of images stored."""
        waiting, stored = self._totals(args=["", ""])
        return int(waiting), int(stored)

    def accept(self, order: Order, images: Iterable[tuple[int, bytes]], digest: str) -> tuple[str, bool]:
        """Store a job.

        Args:
            order: what it is.
            images: number and file of each.
            digest: of the model that is to be used.

        Returns:
            Its id, and whether it is new; an Idempotency-Key gives the job that it was first used for.

        Raises:
            Refusal: 409, 422 or 429.
        """
        now, job_id = time.time(), uuid.uuid4().hex
        limits = [self.config.max_images, self.config.max_bytes]
        about: list[Any] = [
            job_id,
            len(order.names),
            order.size_bytes,
            *limits,
            now,
            order.key,
            order.fingerprint,
            digest,
        ]
        answer = [_text(part) for part in self._reserve(args=about)]
        if answer[0] == "known":
            if answer[2] == "0":
                raise Refusal(409, "The job of this Idempotency-Key is being accepted: ask again in a moment.", 1)
            return answer[1], False
        if answer[0] == "other":
            raise Refusal(422, "This Idempotency-Key was used for another job: send a new key with a new job.")
        if answer[0] != "new":
            raise Refusal(429, f"The queue is full ({answer[0]}): send the job again later.", self.config.retry_after_s)
        try:
            self._put_images(job_id, images)
            fields: dict[str, Any] = {
                "id": job_id, "created_at": now, "keep_s": self.config.keep_s, "total": len(order.names), "done": 0,
                "failed": 0, "cancelled": 0, "names": json.dumps(order.names), "variant": order.variant,
                "min_score": order.min_score, "request_id": order.request_id, "viewing": json.dumps(order.viewing_parts),
            }  # fmt: skip
            if not self._commit(args=[job_id, now, *(part for pair in fields.items() for part in pair)]):
                raise Refusal(503, "The upload took too long: send the job again.", 1)
        except BaseException:
            self._forget(job_id)
            raise
        return job_id, True

    def _put_images(self, job_id: str, images: Iterable[tuple[int, bytes]]) -> None:
        batch: dict[str, bytes] = {}
        size = 0
        for number, content in images:
            batch[str(number)] = content
            size += len(content)
            if size >= _BATCH_BYTES:
                self._put_batch(job_id, batch)
                batch, size = {}, 0
        if batch:
            self._put_batch(job_id, batch)

    def _put_batch(self, job_id: str, batch: dict[str, bytes]) -> None:
        self._redis.zadd(f"{PREFIX}staging", {job_id: time.time()}, xx=True)
        self._redis.hset(f"{PREFIX}job:{job_id}:images", mapping=batch)

    def _forget(self, job_id: str) -> None:
        """Take an upload back that failed, unless it was committed and only the answer to that was lost."""
        try:
            if self.fields(job_id) is None:
                self._remove(args=[job_id])
        except RedisError:
            return  # `sweep` drops it

    def take(self, job_id: str, number: int) -> tuple[int, bytes] | None:
        """How often an image was begun, this time included, and its file; None where nothing is to be done for it.

        0 and no file where another worker is at it, as `renew` has told.
        """
        taken = self._take(args=[job_id, number, time.time(), LEASE_S])
        return None if taken is None else (int(taken[0]), bytes(taken[1]))

    def renew(self, job_id: str, number: int) -> bool:
        """Tell that a worker is at an image still; False where it needs no result any more."""
        return bool(self._renew(args=[job_id, number, time.time()]))

    def finish(self, job_id: str, number: int, error: str | None, result: dict[str, Any] | None) -> bool:
        """Keep an image's one result; False where it has one already.

        Args:
            job_id, number: of the image.
            error: why it failed; None where it didn't.
            result: what was found.
        """
        counter = "done" if error is None else "failed"
        state = json.dumps({"state": counter, "error": error})
        text = "" if result is None else json.dumps(result)
        return bool(self._finish(args=[job_id, number, time.time(), counter, state, text]))

    def cancel(self, job_id: str) -> bool:
        """Cancel what has no result yet; False where there is no such job."""
        return int(self._cancel(args=[job_id, time.time(), CANCELLED])) >= 0

    def fields(self, job_id: str) -> dict[str, str] | None:
        """What is kept of a job; None where there is none, or none that was accepted."""
        found = self._redis.hgetall(f"{PREFIX}job:{job_id}")
        return {_text(key): _text(value) for key, value in found.items()} if b"total" in found else None

    def job_ids(self, most: int = 200) -> list[str]:
        """The newest first."""
        return [_text(job_id) for job_id in self._redis.zrevrange(f"{PREFIX}jobs", 0, most - 1)]

    def states(self, job_id: str) -> dict[int, dict[str, Any]]:
        """Image -> its state and error, of those that have one."""
        return {
            int(number): json.loads(state)
            for number, state in self._redis.hgetall(f"{PREFIX}job:{job_id}:states").items()
        }

    def finished_since(self, job_id: str, cursor: int) -> list[dict[str, Any]]:
        """Numbers, states and errors of the images finished after the first `cursor` ones."""
        numbers = [int(number) for number in self._redis.lrange(f"{PREFIX}job:{job_id}:order", cursor, -1)]
        if not numbers:
            return []
        states = self._redis.hmget(f"{PREFIX}job:{job_id}:states", [str(number) for number in numbers])
        return [{"n": number} | json.loads(state) for number, state in zip(numbers, states, strict=True) if state]

    def results(self, job_id: str) -> dict[int, dict[str, Any]]:
        """Image -> what was found in it."""
        found = self._redis.hgetall(f"{PREFIX}job:{job_id}:results")
        return {int(number): json.loads(result) for number, result in found.items()}

    def result(self, job_id: str, number: int) -> tuple[bytes, dict[str, Any]] | None:
        """An image's file and what was found in it; None where there is no result."""
        image = self._redis.hget(f"{PREFIX}job:{job_id}:images", str(number))
        result = self._redis.hget(f"{PREFIX}job:{job_id}:results", str(number))
        return None if image is None or result is None else (bytes(image), json.loads(result))

    def put_model(self, bundle: Bundle) -> None:
        """Keep a model's files for the workers."""
        try:
            if not self._redis.exists(f"{PREFIX}model:{bundle.digest}"):
                self._redis.hset(f"{PREFIX}model:{bundle.digest}", mapping=bundle.files())
            self._redis.zadd(f"{PREFIX}models", {bundle.digest: time.time()})
        except RedisError:
            return  # `sweep` puts it there when Redis is back

    def model_files(self, digest: str) -> dict[str, bytes]:
        """A model's files; empty where it is not there."""
        return {_text(name): bytes(data) for name, data in self._redis.hgetall(f"{PREFIX}model:{digest}").items()}

    def drop_uploads(self) -> None:
        """Drop uploads that were begun by an API that is gone; for the start of the only API on this Redis."""
        for job_id in self._redis.zrange(f"{PREFIX}staging", 0, -1):
            self._remove(args=[_text(job_id)])

    def sweep(self, present: Bundle | None) -> None:
        """Remove expired jobs, uploads that never ended and models that nothing uses.

        Args:
            present: the model that new jobs get.
        """
        now = time.time()
        gone = self._redis.zrangebyscore(f"{PREFIX}expiry", "-inf", now)
        gone += self._redis.zrangebyscore(f"{PREFIX}staging", "-inf", now - STAGING_S)
        gone += self._redis.zrangebyscore(f"{PREFIX}staging", now + STAGING_S, "inf")  # the clock was set back since
        for job_id in gone:
            self._remove(args=[_text(job_id)])
        if present is not None:
            self.put_model(present)
        ids = {*self._redis.zrange(f"{PREFIX}jobs", 0, -1), *self._redis.zrange(f"{PREFIX}staging", 0, -1)}
        used = {self._redis.hget(f"{PREFIX}job:{_text(job_id)}", "model") for job_id in ids}
        for digest in self._redis.zrangebyscore(f"{PREFIX}models", "-inf", now - _UNUSED_MODEL_S):
            if digest not in used:
                self._redis.delete(f"{PREFIX}model:{_text(digest)}")
                self._redis.zrem(f"{PREFIX}models", digest)

    def lost_images(self, quiet_s: float, queue_empty: bool) -> dict[str, list[int]]:
        """Jobs of which nothing was heard for a while, and their images without a result.

        Args:
            quiet_s: for how long at least.
            queue_empty: whether no task is in the queue or in a worker's hand: then any job that is not ended is meant.
        """
        found = {}
        for raw, last in self._redis.hgetall(f"{PREFIX}active").items():
            job_id, silent = _text(raw), abs(time.time() - float(last))  # ahead: the clock was set back since
            if silent < (1.0 if queue_empty else quiet_s):
                continue
            fields = self.fields(job_id)
            if fields is None:
                continue
            done = self.states(job_id)
            found[job_id] = [number for number in range(int(fields["total"])) if number not in done]
            self._redis.hset(f"{PREFIX}active", job_id, time.time())
        return found

    def tasks_in_queue(self, queue: str) -> int:
        """Messages that wait or are in a worker's hand."""
        return int(self._redis.llen(f"{PREFIX}{queue}")) + int(self._redis.hlen(f"{PREFIX}unacked"))

    def take_turn(self, name: str, seconds: float) -> bool:
        """Whether this process is the one that does something now; for several APIs on one Redis."""
        return bool(self._redis.set(f"{PREFIX}turn:{name}", "1", nx=True, px=max(1, int(1000 * seconds))))


def answering(work: Callable[[], T]) -> T:
    """Do something with the store for a request.

    Raises:
        Refusal: 503 where Redis is away, or can't write.
    """
    try:
        return work()
    except ResponseError as error:  # MISCONF: the disk is full; OOM; READONLY
        raise Refusal(503, "The queue can't take anything now: try again later.", 5) from error
    except RedisError as error:
        raise Refusal(503, "The queue does not answer: try again in a moment.", 2) from error


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Do something with the store, again and again while Redis is away or can't write."""
    end = time.monotonic() + seconds
    while True:
        try:
            return work()
        except RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
