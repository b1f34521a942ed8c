"""The queue's memory: one result an image, bounds, cancellation, expiry; tasks that were lost are sent again."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mirada.config import QueueConfig, ServeConfig, WorkerConfig
from mirada.errors import MiradaError
from mirada.service.app import create_app
from mirada.service.model.bundle import copy_model, find_copy
from mirada.service.problems import Refusal
from mirada.service.queue.orders import Order, describe_job
from mirada.service.queue.redis_server import RedisServer, socket_path
from mirada.service.queue.store import JobStore
from mirada.service.queue.tasks import QUEUE, Resender, make_celery, send
from mirada.service.state import Service
from mirada.service.worker import MOST_ATTEMPTS, JobWorker, Turn
from tests.servers import need_redis
from tests.service.conftest import running
from tests.squares import draw_example


def accept(store: JobStore, count: int = 3, key: str = "", digest: str = "m") -> str:
    images = [(n, draw_example(n).image) for n in range(count)]
    order = Order(
        [f"{n}.png" for n in range(count)], sum(len(i) for _, i in images), f"f{count}", key, "int8", 0.25, "r"
    )
    job_id, _ = store.accept(order, images, digest)
    return job_id


def state(store: JobStore, job_id: str) -> dict[str, object]:
    fields = store.fields(job_id)
    assert fields is not None
    return describe_job(fields, "")


def test_an_image_has_one_result(store: JobStore) -> None:
    job = accept(store)
    assert state(store, job)["state"] == "queued"
    assert store.take(job, 1) == (1, draw_example(1).image)
    assert state(store, job)["state"] == "running"
    assert store.take(job, 1) == (2, draw_example(1).image)
    assert store.finish(job, 1, None, {"detections": [1]})
    assert not store.finish(job, 1, "too late", None)
    assert store.take(job, 1) is None and store.results(job) == {1: {"detections": [1]}}
    assert store.states(job) == {1: {"state": "done", "error": None}}
    assert store.finished_since(job, 0) == [{"n": 1, "state": "done", "error": None}]
    store.finish(job, 0, "broken", None)
    store.finish(job, 2, None, {})
    assert state(store, job)["counts"] == {"total": 3, "done": 2, "failed": 1, "cancelled": 0}
    assert state(store, job)["state"] == "done" and store.totals()[0] == 0


def test_the_queue_is_bounded_in_images_and_bytes(store: JobStore) -> None:
    first = accept(store, 6)
    with pytest.raises(Refusal, match=r"full \(images\)") as refused:
        accept(store, 5)
    assert refused.value.status == 429 and refused.value.headers == {"Retry-After": "5"}
    store.finish(first, 0, None, {})
    accept(store, 5)
    small = JobStore(replace(store.config, max_bytes=store.totals()[1] + 10), store.url)
    small.cancel(first)
    with pytest.raises(Refusal, match=r"full \(bytes\)"):
        accept(small, 1)


def test_what_is_cancelled_gets_no_result_any_more(store: JobStore) -> None:
    job = accept(store)
    store.take(job, 0)
    store.finish(job, 0, None, {})
    store.take(job, 1)
    assert store.cancel(job) and not store.finish(job, 1, None, {})
    assert state(store, job)["counts"] == {"total": 3, "done": 1, "failed": 0, "cancelled": 2}
    assert store.cancel(job) and state(store, job)["state"] == "cancelled"
    assert not store.cancel("0" * 32)


def test_jobs_expire_with_all_that_is_theirs(server: RedisServer, store: JobStore) -> None:
    brief = JobStore(replace(store.config, keep_s=0.2), server.url)
    job = accept(brief, key="k")
    open_job = accept(brief, 2)
    for n in range(3):
        brief.finish(job, n, None, {})
    brief.sweep(None)
    assert brief.fields(job) is not None
    time.sleep(0.25)
    brief.sweep(None)
    assert brief.fields(job) is None and brief.job_ids() == [open_job]
    assert not [key for key in store._redis.keys("*") if job.encode() in key]
    assert accept(brief, key="k") != job


def test_an_upload_that_was_not_ended_leaves_nothing(store: JobStore) -> None:
    def broken() -> Iterator[tuple[int, bytes]]:
        yield 0, b"x" * 5_000_000
        raise Refusal(400, "gone")

    order = Order(["a", "b"], 9_000_000, "f", "key", "int8", 0.25, "r")
    with pytest.raises(Refusal, match="gone"):
        store.accept(order, broken(), "m")
    assert store.totals() == (0, 0) and not store._redis.keys("*job:*")
    reserved = store._reserve(args=["a" * 32, 2, 5, 10, 10**7, time.time(), "key", "f", "m"])
    assert reserved == [b"new"], "the key is free again"
    with pytest.raises(Refusal, match="is being accepted") as refused:
        store.accept(order, [], "m")
    assert refused.value.status == 409
    store.drop_uploads()
    assert store.totals() == (0, 0)


def test_tasks_that_were_lost_are_sent_again(server: RedisServer, store: JobStore) -> None:
    app = make_celery(store.config, server.url)
    job = accept(store)
    store.finish(job, 1, None, {})
    resender = Resender(app, store)
    assert resender.resend() == 0, "it may be on its way"
    time.sleep(1.1)
    assert resender.resend() == 2 and store.tasks_in_queue(QUEUE) == 1
    assert resender.resend() == 0
    store._redis.delete(f"mirada:{QUEUE}")
    send(app, job, [0], 1)
    store._redis.hset("mirada:active", job, time.time() - 100)
    assert resender.resend() == 2, "nothing was heard of it for long"


def test_an_image_that_kills_workers_is_given_up(store: JobStore, squares_folder: Path, tmp_path: Path) -> None:
    bundle = copy_model(squares_folder / "model", squares_folder / "model", tmp_path / "api")
    store.put_model(bundle)
    job = accept(store, digest=bundle.digest)
    for _ in range(MOST_ATTEMPTS):
        store.take(job, 0)
    JobWorker(WorkerConfig(str(tmp_path / "worker")), store, lambda *again: None).run(job, [0, 1, 2])
    states = store.states(job)
    assert "given up" in states[0]["error"] and [states[n]["state"] for n in (1, 2)] == ["done", "done"]


def test_a_long_task_hands_on_its_rest(store: JobStore, squares_folder: Path, tmp_path: Path) -> None:
    bundle = copy_model(squares_folder / "model", squares_folder / "model", tmp_path)
    store.put_model(bundle)
    job, handed = accept(store, digest=bundle.digest), []
    worker = JobWorker(WorkerConfig(str(tmp_path)), store, lambda job_id, numbers: handed.append(list(numbers)))
    worker._config.queue.lost_after_s = 1e-9
    worker.run(job, [0, 1, 2])
    assert handed == [[1, 2]] and list(store.states(job)) == [0]


def test_an_image_that_a_worker_is_at_is_given_to_no_other(
    store: JobStore, squares_folder: Path, tmp_path: Path
) -> None:
    bundle = copy_model(squares_folder / "model", squares_folder / "model", tmp_path)
    store.put_model(bundle)
    job, handed = accept(store, digest=bundle.digest), []
    store.take(job, 1)
    assert store.renew(job, 1) and store.take(job, 1) == (0, b"")
    worker = JobWorker(WorkerConfig(str(tmp_path)), store, lambda job_id, numbers: handed.append(list(numbers)))
    worker.run(job, [0, 1, 2])
    assert handed == [[1]] and sorted(store.states(job)) == [0, 2]
    store._redis.hset(f"mirada:job:{job}:leases", "1", time.time() - 10)  # that worker was killed
    worker.run(job, [1])
    assert sorted(store.states(job)) == [0, 1, 2] and not store.renew(job, 1)


def test_a_worker_tells_that_it_is_at_a_long_image_and_leaves_a_cancelled_one(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("mirada.service.worker.time.monotonic", lambda: now[0])
    job, turn = accept(store), Turn(store)
    turn.begin(job, 0)
    with turn:
        assert not store._redis.hlen(f"mirada:job:{job}:leases"), "it has only just begun"
    now[0] += 2
    with turn:
        assert store._redis.hlen(f"mirada:job:{job}:leases") == 1
    store.cancel(job)
    now[0] += 2
    with pytest.raises(Refusal, match="needs no result any more"), turn:
        pytest.fail("no inference may begin")


def test_models_that_nothing_uses_go(store: JobStore, squares_folder: Path, tmp_path: Path) -> None:
    bundle = copy_model(squares_folder / "model", squares_folder / "model", tmp_path)
    for digest in ("old", "used"):
        store.put_model(replace(bundle, digest=digest))
        store._redis.zadd("mirada:models", {digest: time.time() - 1000})
    accept(store, digest="used")
    store.sweep(bundle)
    assert [bool(store.model_files(digest)) for digest in ("old", "used", bundle.digest)] == [False, True, True]


def test_a_copy_that_a_power_cut_left_is_made_anew(squares_folder: Path, tmp_path: Path) -> None:
    model = squares_folder / "model"
    bundle = copy_model(model, model, tmp_path)
    (bundle.folder / "variants.json").write_bytes(b"")
    assert find_copy(bundle.digest, tmp_path) is None
    assert copy_model(model, model, tmp_path).variants == bundle.variants
    found = find_copy(bundle.digest, tmp_path)
    assert (
        found is not None
        and found.files() == bundle.files()
        and list(bundle.folder.parent.iterdir()) == [bundle.folder]
    )


def test_a_full_queue_and_a_full_disk_are_said_at_the_door(
    server: RedisServer, store: JobStore, serve_config: ServeConfig, tmp_path: Path
) -> None:
    files = [("images", (f"{n}.png", draw_example(n).image)) for n in range(6)]
    queue = QueueConfig(url=server.url, workers=0, max_images=10)
    with running(create_app(replace(serve_config, queue=queue))) as client:
        assert client.post("/v1/jobs", files=files).status_code == 202
        answer = client.post("/v1/jobs", files=files)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        never = client.post("/v1/jobs", files=files * 2)
        assert never.status_code == 413 and never.json()["detail"].startswith("A job may have 10 images")
        assert client.get("/v1/jobs").json()["jobs"][0]["counts"]["total"] == 6
    queue.min_free_bytes = 10**18
    with running(create_app(replace(serve_config, queue=queue), disk=tmp_path)) as client:
        refused = client.post("/v1/jobs", files=files)
        assert refused.status_code == 503 and "disk is full" in refused.json()["detail"]


def test_while_redis_is_away_predictions_go_on(serve_config: ServeConfig, tmp_path: Path) -> None:
    queue = QueueConfig(url=f"redis+socket://{tmp_path}/nothing.sock?virtual_host=0")
    with running(create_app(replace(serve_config, queue=queue)), ready=False) as client:
        deadline = time.monotonic() + 20
        while (answer := _predict(client)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer.status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["detail"]) == (503, {"model": "loaded", "queue": "down"})
        refused = client.get("/v1/jobs")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")


def test_the_certificate_of_a_queue_is_checked() -> None:
    for url, wanted in (
        ("rediss://a/0", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("rediss://a/0?ssl_ca_certs=/x.pem", {"ssl_ca_certs": "/x.pem"}),  # it is required then by default
    ):
        assert make_celery(QueueConfig(), url).connection_for_write().ssl == wanted


def test_a_silent_redis_holds_up_no_prediction(serve_config: ServeConfig, squares_folder: Path) -> None:
    """Many ask for jobs and wait; an upload that is too long for the memory needs a thread, and has one."""
    with ThreadPoolExecutor(60) as people, socket.create_server(("127.0.0.1", 0)) as silent:
        queue = QueueConfig(url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with running(create_app(replace(serve_config, queue=queue)), ready=False) as client:
            waiting = [people.submit(client.get, f"/v1/jobs/{n:032x}") for n in range(60)]
            time.sleep(1)
            image = draw_example(3).image
            answer = client.post("/v1/predict", files={"image": image + bytes(1_500_000)}, timeout=10)
            assert answer.status_code in (200, 503), "503 while the model is not loaded"
            assert not any(future.done() for future in waiting)
            silent.close()


def _predict(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/predict", files={"image": draw_example(3).image})


def test_no_two_redises_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_redis()
    first, second = RedisServer(tmp_path), RedisServer(tmp_path)
    first.start()
    try:
        first._lock.close()  # as when its service was killed
        monkeypatch.setattr("mirada.service.queue.redis_server._END_S", 0.2)
        with pytest.raises(MiradaError, match="An earlier Redis in .* has not ended"):
            second.start()
    finally:
        first.stop()
    second.start()
    second.stop()


def test_a_socket_has_a_short_path(tmp_path: Path) -> None:
    assert socket_path(Path("/srv/var/redis")) == Path("/srv/var/redis/redis.sock")
    deep = tmp_path / ("deep" * 30)
    short = socket_path(deep)
    assert len(str(short)) < 100 and short.parent.stat().st_mode & 0o777 == 0o700
    assert socket_path(deep) == short
    short.parent.rmdir()


def test_only_so_many_jobs_are_taken_in_at_a_time(serve_config: ServeConfig) -> None:
    serve_config.limits.uploads = 1
    service = Service(serve_config)
    with service.uploading(), pytest.raises(Refusal) as refused, service.uploading():
        pass
    assert refused.value.status == 429
    with service.uploading():
        pass
