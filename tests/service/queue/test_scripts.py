"""The queue's memory by a clock that jumps: nothing waits until it has come to the same time again."""

from __future__ import annotations

import time

import pytest

from mirada.service.queue.redis_server import RedisServer
from mirada.service.queue.store import JobStore
from mirada.service.queue.tasks import Resender, make_celery
from tests.service.queue.test_store import accept, state
from tests.squares import draw_example


class Clock:
    """Takes the place of the module `time` in the store."""

    monotonic, sleep = time.monotonic, time.sleep

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


def test_a_clock_that_is_set_back_an_hour_holds_no_job_up(
    server: RedisServer, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mirada.service.queue.store.time", clock)
    clock.ahead = 3600
    job = accept(store)
    store.take(job, 0)
    assert store.renew(job, 0) and store.take(job, 0) == (0, b""), "a worker is at it"
    store._redis.zadd("mirada:staging", {"begun": clock.time()})
    clock.ahead = 0  # and that worker, and whoever uploaded, are gone
    store.sweep(None)
    assert store._redis.zcard("mirada:staging") == 0
    assert Resender(make_celery(store.config, server.url), store).resend() == 3
    assert store.take(job, 0) == (2, draw_example(0).image)
    for number in range(3):
        assert store.finish(job, number, None, {})
    told = state(store, job)
    assert told["created_at"] == told["ended_at"] and told["state"] == "done", "it did not end before it began"


def test_a_clock_that_runs_ahead_for_a_while_takes_no_image_from_its_worker_for_good(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mirada.service.queue.store.time", clock)
    job = accept(store)
    store.take(job, 0)
    assert store.renew(job, 0)
    clock.ahead = 3600
    assert store.take(job, 0)[0] == 2, "taken for lost, and done again"
    assert store.finish(job, 0, None, {"detections": [1]}) and not store.finish(job, 0, None, {"detections": [2]})
    clock.ahead = 0
    assert store.results(job) == {0: {"detections": [1]}} and state(store, job)["state"] == "running"
