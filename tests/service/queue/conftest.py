"""A Redis, and the queue's memory in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mirada.config import QueueConfig
from mirada.service.queue.redis_server import RedisServer
from mirada.service.queue.store import JobStore
from tests.servers import need_redis


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("store") / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(server: RedisServer) -> Iterator[JobStore]:
    store = JobStore(QueueConfig(max_images=10, max_bytes=10_000_000, keep_s=100), server.url)
    yield store
    store._redis.flushall()
