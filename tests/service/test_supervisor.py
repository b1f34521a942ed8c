"""`python src/serve.py` as a process: one at a time, clear about what is missing, gone when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import free_port, until
from tests.service.conftest import PROJECT, LiveService, model_settings, start_service, stop_service
from tests.squares import draw_example


def serve(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "src" / "serve.py"), f"var_dir={folder}", *overrides]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_without_a_model_it_says_what_to_run(tmp_path: Path) -> None:
    said = refusal(serve(tmp_path))
    assert said.startswith("error: models/train/model.json is missing") and "run `make run` first" in said


def test_a_damaged_variant_is_refused(squares_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(squares_folder / "model", tmp_path / "model")
    (tmp_path / "model" / "int8.tflite").write_bytes(b"no model")
    said = refusal(serve(tmp_path, f"model_dir={tmp_path}/model", f"variants_dir={tmp_path}/model"))
    assert "int8.tflite is corrupt" in said
    (tmp_path / "model" / "variants.json").write_text('{"variants": []}')
    said = refusal(serve(tmp_path, f"model_dir={tmp_path}/model", f"variants_dir={tmp_path}/model"))
    assert "variants.json names no variant" in said


def test_a_variant_that_the_model_lacks_is_refused(squares_folder: Path, tmp_path: Path) -> None:
    settings = [f"{key}={value}" for key, value in model_settings(squares_folder).items()]
    said = refusal(serve(tmp_path, *settings, "variant=int9"))
    assert "no variant=int9: choose one of float32, int8" in said


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(serve(tmp_path, f"var_dir={tmp_path}/file"))
    assert f"{tmp_path}/file can't be written (File exists)" in said and "another var_dir" in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("port=70000", "port must be between 0 and 65535"),
        ("queue.url=http://a", "queue.url must begin with redis://"),
        ("registered=champion", "registered must be models:/"),
        ("limits.image_bytes=0", "limits.image_bytes must be at least 1"),
        ("queue.worker=1", "did you mean queue.workers?"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, override: str, words: str) -> None:
    assert words in refusal(serve(tmp_path, override))


def test_a_worker_needs_a_queue(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "src" / "worker.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "queue.url is missing" in refusal(done)


@pytest.mark.slow
def test_a_second_start_says_that_one_is_running(live_service: LiveService, squares_folder: Path) -> None:
    settings = [f"{key}={value}" for key, value in model_settings(squares_folder).items()]
    said = refusal(serve(live_service.folder / "var", *settings, f"port={free_port()}"))
    assert f"A service runs already at {live_service.url} (process {live_service.process.pid})" in said
    port = live_service.url.rpartition(":")[2]
    said = refusal(serve(live_service.folder, *settings, f"var_dir={live_service.folder}/other", f"port={port}"))
    assert f"127.0.0.1:{port} can't be had" in said and "port=8001" in said


def test_every_request_is_in_the_log(live_service: LiveService) -> None:
    """Also after the model was opened in several threads at once, each of which silences its libraries."""
    httpx.get(f"{live_service.url}/healthz", headers={"X-Request-ID": "find-me"})
    until(lambda: '"request_id": "find-me"' in live_service.log(), 10)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children follow a killed parent on Linux only")
def test_a_worker_elsewhere_needs_nothing_but_the_url(squares_folder: Path, tmp_path: Path) -> None:
    """A Redis of one's own, a service without workers, one worker with an empty folder; then all is killed."""
    from mirada.service.queue.redis_server import redis_program

    port = free_port()
    server = subprocess.Popen(
        [redis_program(), "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, 10)
    service = start_service(tmp_path, squares_folder, f"queue.url={url}", "queue.workers=0", "threads=1")
    worker: subprocess.Popen[bytes] | None = None
    try:
        answer = httpx.post(f"{service.url}/v1/jobs", files=[("images", ("a.png", draw_example(3).image))])
        job = f"/v1/jobs/{answer.json()['id']}"
        assert service.get(job).json()["state"] == "queued"
        (tmp_path / "away").mkdir()
        command = [sys.executable, str(PROJECT / "src" / "worker.py"), f"queue.url={url}"]
        worker = subprocess.Popen(command, cwd=tmp_path / "away", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: service.get(job).json()["counts"]["done"] == 1, 30, service.log)
        assert list((tmp_path / "away" / "var" / "models").iterdir())
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert len(children) == 1, "the API alone"
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        assert not psutil.wait_procs(children, 10)[1]
    finally:
        for process in (worker, server):
            if process is not None:
                process.terminate()
                process.wait(20)
        stop_service(service)


@pytest.mark.slow
def test_a_stop_finishes_what_runs_and_leaves_nothing(squares_folder: Path, tmp_path: Path) -> None:
    service = start_service(tmp_path, squares_folder, "queue.workers=1", "threads=1")
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert len(children) == 3
    with httpx.Client(base_url=service.url, timeout=30) as client:
        files = [("images", (f"{n}.png", draw_example(n).image)) for n in range(40)]
        job = client.post("/v1/jobs", files=files).json()
        with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            service.process.send_signal(signal.SIGTERM)
            list(stream.iter_lines())  # a stream is ended, not cut off
    assert service.process.wait(30) == 0
    assert not psutil.wait_procs(children, 1)[1]
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith('{"time"')]
    assert lines[-1]["message"] == "stopped" and not [line for line in lines if line["level"] == "error"]
    again = start_service(tmp_path, squares_folder, "queue.workers=1", "threads=1")
    try:
        until(lambda: again.get(f"/v1/jobs/{job['id']}").json()["counts"]["done"] == 40, 30, again.log)
    finally:
        stop_service(again)
