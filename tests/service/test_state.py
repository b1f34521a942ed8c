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
