"""The application's doors: who is let in, what each answer carries, what it imports, how a newer model comes in."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from mirada.config import ServeConfig
from mirada.service.api import hurried
from mirada.service.app import create_app
from mirada.service.model.predictor import Predictor
from tests.service.conftest import PROJECT, running
from tests.squares import draw_example


def predict(client: httpx.Client, query: str = "", **headers: str) -> httpx.Response:
    return client.post(f"/v1/predict{query}", files={"image": draw_example(3).image}, headers=headers)


def test_a_prediction_whole(client: httpx.Client) -> None:
    answer = predict(client, "?min_score=0.5&variant=int8").json()
    assert set(answer) == {
        "task",
        "model",
        "variant",
        "labels",
        "image",
        "view",
        "tiles",
        "left_out",
        "detections",
        "timings_ms",
    }
    assert (answer["task"], answer["variant"], answer["labels"]) == ("detection", "int8", ["red", "blue"])
    assert answer["image"] == {"width": 64, "height": 64} and answer["model"]["name"] == "squares matched filter"
    truth = draw_example(3)
    boxes = np.array([found["box"] for found in answer["detections"][: len(truth.boxes_xyxy)]])
    wanted = sorted(map(tuple, truth.boxes_xyxy.tolist()))
    assert np.allclose(sorted(map(tuple, boxes.tolist())), wanted, atol=1.5)
    assert set(answer["timings_ms"]) == {"decode", "prepare", "inference", "merge", "total"}


def test_a_raw_body_is_the_same_as_a_field(client: httpx.Client) -> None:
    raw = client.post("/v1/predict", content=draw_example(3).image, headers={"Content-Type": "image/png"})
    assert raw.json()["detections"] == predict(client).json()["detections"]
    other = client.post("/v1/predict", content=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert other.status_code == 415


def test_boxes_are_in_pixels_of_the_image_as_it_is_looked_at(client: httpx.Client) -> None:
    """A photograph on its side, twice as large: EXIF says how it is turned."""
    square = Image.open(io.BytesIO(draw_example(5).image))
    upright = square.resize((128, 128)).crop((0, 0, 128, 96))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffers = []
    for image, tags in ((upright, None), (upright.transpose(Image.Transpose.ROTATE_90), exif)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **({"exif": tags} if tags else {}))
        buffers.append(buffer.getvalue())
    first, turned = (client.post("/v1/predict", files={"image": data}).json() for data in buffers)
    assert first["image"] == turned["image"] == {"width": 128, "height": 96}
    assert first["detections"] == turned["detections"] != []


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "JPEG"),
        ("image/png", "PNG"),
        ("image/jpeg", "JPEG"),
        ("image/png;q=0.5, image/jpeg", "JPEG"),
        ("image/jpeg;q=0.1, image/*;q=x", "JPEG"),
    ],
)
def test_the_annotated_picture_comes_as_asked(client: httpx.Client, accept: str, form: str) -> None:
    answer = predict(client, "?annotated=true", Accept=accept)
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size, answer.headers["content-type"]) == (form, (64, 64), f"image/{form.lower()}")
    plain = np.asarray(Image.open(io.BytesIO(draw_example(3).image)), int)
    assert np.abs(np.asarray(picture, int) - plain).max() > 100, "there are boxes on it"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?variant=int4", "choose one of float32, int8"),
        ("?min_score=2", "less than or equal to 1"),
        ("?min_score=nan", "min_score"),
        ("?annotated=perhaps", "annotated"),
    ],
)
def test_parameters_out_of_range(client: httpx.Client, query: str, words: str) -> None:
    answer = predict(client, query)
    assert answer.status_code == 422 and words in answer.json()["detail"]
    assert set(answer.json()) == {"type", "title", "status", "detail", "request_id"}


def test_without_a_token_nobody_reloads_over_http(client: httpx.Client) -> None:
    answer = client.post("/v1/models/reload")
    assert answer.status_code == 403 and "MIRADA_TOKEN" in answer.json()["detail"]


def test_without_a_queue_jobs_are_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", files=[("images", ("a.png", draw_example(3).image))])
    assert answer.status_code == 503 and "Retry-After" in answer.headers


def test_who_never_ends_the_headers_is_hung_up_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.6)  # an answer may take longer than the headers
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        options = uvicorn.Config(app, log_config=None, lifespan="off", http=hurried(0.3))
        server = uvicorn.Server(options)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            for begun in (b"", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
                with socket.create_connection(listening.getsockname(), 10) as raw:
                    raw.sendall(begun)
                    if begun.endswith(b"\r\n\r\n"):
                        assert raw.recv(1000).startswith(b"HTTP/1.1 204")
                        raw.sendall(b"GET / HTTP/1.1\r\nHo")  # on the same connection
                    started = time.monotonic()
                    assert raw.recv(1000) == b""
                    assert time.monotonic() - started < 3
        finally:
            server.should_exit = True
            thread.join()


def test_what_waits_is_bounded(serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_config.limits.waiting, serve_config.limits.predict_s = 2, 5.0
    go, original = threading.Event(), Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda *args: go.wait(10) and original(*args))
    with running(create_app(serve_config)) as client:
        codes: list[int] = []
        threads = [threading.Thread(target=lambda: codes.append(predict(client).status_code)) for _ in range(8)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(codes) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        go.set()
        for thread in threads:
            thread.join()
    assert sorted(codes) == [200] * 3 + [429] * 5


def test_what_takes_too_long_is_given_up(serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_config.limits.predict_s = 0.1
    original = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda *args: time.sleep(0.5) or original(*args))
    with running(create_app(serve_config)) as client:
        assert predict(client).status_code == 503


def test_a_defect_tells_no_internals(
    serve_config: ServeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(Predictor, "predict", fail)
    with running(create_app(serve_config)) as client, caplog.at_level(logging.INFO, "mirada.service"):
        answer = predict(client, **{"X-Request-ID": "find-me"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text and answer.json()["request_id"] == "find-me"
    assert any("secret of the house" in (record.exc_text or "") for record in caplog.records)


def test_metrics_count_what_was_done(client: httpx.Client) -> None:
    for _ in range(3):
        predict(client, "?variant=float32")
    client.get("/nothing")
    text = client.get("/metrics").text
    assert 'mirada_predictions_total{variant="float32"} 3.0' in text
    assert 'mirada_requests_total{method="POST",route="/v1/predict",status="200"} 3.0' in text
    assert 'mirada_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'mirada_model_reloads_total{outcome="loaded"} 1.0' in text


def test_models_tell_card_and_figures(serve_config: ServeConfig, squares_folder: Path, tmp_path: Path) -> None:
    sizes = {name: (squares_folder / "model" / f"{name}.tflite").stat().st_size for name in ("float32", "int8")}
    figures = {"map50": 0.9, "drop": 0.01, "latency_ms_p50": 1.5}
    metrics = {"float32": figures | {"size_bytes": sizes["float32"]}, "int8": figures | {"size_bytes": 5}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with running(create_app(replace(serve_config, metrics=str(tmp_path / "metrics.json")))) as client:
        (model,) = client.get("/v1/models").json()["models"]
    assert (model["metric"], model["metric_name"], model["input_size"], model["labels"]) == (
        "map50",
        "mAP50",
        64,
        ["red", "blue"],
    )
    float32, int8 = model["variants"]
    assert (float32["map50"], float32["default"], int8["default"]) == (0.9, False, True)
    assert "map50" not in int8, "figures of a file of another size are not its own"


def test_a_newer_model_comes_in_without_a_request_lost(
    serve_config: ServeConfig, squares_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(squares_folder / "model", folder)
    config = replace(serve_config, model_dir=str(folder), variants_dir=str(folder))
    with running(create_app(config)) as client:
        before = predict(client).json()["model"]["digest"]
        codes, digests, stop = [], set(), threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = predict(client)
                codes.append(answer.status_code)
                digests.add(answer.json()["model"]["digest"])

        thread = threading.Thread(target=ask)
        thread.start()
        (folder / "int8.tflite").write_bytes(b"half")  # a stage is writing
        (folder / "variants.json").write_text("{")
        time.sleep(0.7)
        content = (folder / "float32.tflite").read_bytes()
        (folder / "int8.tflite").write_bytes(content)
        entry = {"size_bytes": len(content), "size_gzip_bytes": len(gzip.compress(content)), "file": "int8.tflite"}
        entry |= {"name": "int8", "sha256": hashlib.sha256(content).hexdigest()}
        (folder / "variants.json").write_text(json.dumps({"variants": [entry]}))
        wait_for(lambda: len(digests) == 2, 15)
        stop.set()
        thread.join()
        assert set(codes) == {200} and before in digests
        assert predict(client).json()["model"]["digest"] != before
        assert 'mirada_model_reloads_total{outcome="failed"}' in client.get("/metrics").text


def test_the_watch_outlives_what_nobody_thought_of(
    serve_config: ServeConfig, squares_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(squares_folder / "model", folder)
    with monkeypatch.context() as patch:
        patch.setattr("mirada.service.state.load_model", lambda *_: (tmp_path / "nothing").stat())
        with running(
            create_app(replace(serve_config, model_dir=str(folder), variants_dir=str(folder))), False
        ) as client:
            assert client.get("/readyz").status_code == 503
            patch.undo()
            os.utime(folder / "variants.json")
            wait_for(lambda: client.get("/readyz").status_code == 200, 15)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.05)


def test_a_request_imports_neither_tensorflow_nor_mlflow(squares_folder: Path, tmp_path: Path) -> None:
    """The application is imported in under 1.5 s (twice that here, for a busy machine), and answers with what it has."""
    model = str(squares_folder / "model")
    code = f"""
import sys, time
started = time.perf_counter()
from mirada.service.app import create_app
seconds = time.perf_counter() - started
import asyncio, httpx
from mirada.config import ServeConfig
app = create_app(ServeConfig(model_dir={model!r}, variants_dir={model!r}, var_dir={str(tmp_path)!r}))
app.state.service.load()
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.post("/v1/predict", files={{"image": open({str(tmp_path / "a.png")!r}, "rb")}})
answer = asyncio.run(ask())
app.state.service.stop()
heavy = [name for name in ("tensorflow", "keras", "tf_keras", "mlflow", "pandas", "matplotlib") if name in sys.modules]
print(answer.status_code, seconds, heavy)
"""
    (tmp_path / "a.png").write_bytes(draw_example(3).image)
    env = {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    status, seconds, heavy = done.stdout.split(maxsplit=2)
    assert (status, heavy.strip()) == ("200", "[]"), done.stderr
    assert float(seconds) < 3.0
