"""Who has a turn: small images beside photographs of many tiles, and what nobody waits for any more."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from mirada.config import ServeConfig
from mirada.data.images import encode
from mirada.inference.litert import Model
from mirada.service.app import create_app
from mirada.service.state import Gate
from tests.servers import until
from tests.service.conftest import running
from tests.service.test_app import predict


def _slow_inference(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    original = Model.invoke
    monkeypatch.setattr(Model, "invoke", lambda self: (time.sleep(seconds), original(self))[1])


def _big_photograph(side: int = 256) -> bytes:
    return encode(np.zeros((side, side, 3), np.uint8), "png")  # 9 × 9 tiles of 64 with steps of 24


def test_small_images_pass_by_photographs_of_many_tiles(
    serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four photographs of 81 tiles, 1.6 s each, and one thread: a small image waits for a tile, not for a photograph."""
    ended: list[str] = []
    with running(create_app(serve_config)) as client:
        _slow_inference(monkeypatch, 0.02)

        def ask_big() -> None:
            answer = client.post("/v1/predict?tile=64&overlap=0.625", files={"image": _big_photograph()})
            assert answer.json()["tiles"] == 81
            ended.append("big")

        threads = [threading.Thread(target=ask_big) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        for _ in range(5):
            assert predict(client).status_code == 200
            ended.append("small")
        for thread in threads:
            thread.join()
    assert ended == ["small"] * 5 + ["big"] * 4


def test_a_turn_goes_to_who_has_waited_longest() -> None:
    """Not to the thread that has just given it back, which comes again at once with its next tile."""
    gate, order = Gate(1), []

    def small_image() -> None:
        with gate:
            order.append("small")

    waiting = threading.Thread(target=small_image)
    with gate:
        waiting.start()
        time.sleep(0.1)
    with gate:
        order.append("next tile")
    waiting.join()
    assert order == ["small", "next tile"]


def test_every_variant_has_run_in_every_thread_before_the_first_request(
    serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, int]] = []
    original = Model.invoke
    monkeypatch.setattr(
        Model, "invoke", lambda self: (ran.append((threading.get_ident(), id(self))), original(self))[1]
    )
    with running(create_app(serve_config)) as client:
        variants = len(client.get("/v1/models").json()["models"][0]["variants"])
        assert len(set(ran)) == len(ran) == 2 * variants > 2 and len({thread for thread, _ in ran}) == 2
        opened = len({model for _, model in ran})
        assert predict(client).status_code == 200
        assert len({model for _, model in ran}) == opened, "nothing is opened for a request"


def test_a_photograph_that_nobody_waits_for_any_more_takes_no_more_inferences(
    serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_config.limits.predict_s = 0.3
    with running(create_app(serve_config)) as client:
        _slow_inference(monkeypatch, 0.05)
        answer = client.post("/v1/predict?tile=64&overlap=0.625", files={"image": _big_photograph()})  # some 4 s
        assert answer.status_code == 503
        until(lambda: "mirada_predictions_waiting 0.0" in client.get("/metrics").text, 1)
        counted: list[int] = []
        monkeypatch.setattr(Model, "invoke", lambda self: counted.append(1))
        time.sleep(0.3)
        assert counted == []
