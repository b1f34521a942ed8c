"""A small model, the application in this process, and the whole service as a process, for tests of API, queue and page."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from mirada.config import LimitsConfig, QueueConfig, ServeConfig
from mirada.service.app import create_app
from tests.servers import free_port, need_redis, until
from tests.squares import draw_example

PROJECT = Path(__file__).resolve().parents[2]


def model_settings(squares_folder: Path) -> dict[str, str]:
    """Where the drawn squares' model lies, as keys of `serve`."""
    model = str(squares_folder / "model")
    return {"model_dir": model, "variants_dir": model, "metrics": str(squares_folder / "metrics.json")}


@pytest.fixture(scope="session")
def square() -> bytes:
    """A PNG of 64 by 64 pixels with two squares, red or blue."""
    return draw_example(26).image


@pytest.fixture
def serve_config(squares_folder: Path, tmp_path: Path) -> ServeConfig:
    limits = LimitsConfig(image_bytes=2_000_000, image_pixels=4_000_000, job_images=80, job_bytes=8_000_000)
    queue = QueueConfig(workers=0)
    settings = model_settings(squares_folder)
    return ServeConfig(var_dir=str(tmp_path / "var"), threads=1, watch_s=0.2, limits=limits, queue=queue, **settings)


@contextmanager
def running(app: FastAPI, ready: bool = True) -> Iterator[httpx.Client]:
    """The application on a port of its own in a thread of this process, its model loaded unless `ready` is False."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
                until(lambda: server.started and (not ready or client.get("/readyz").status_code == 200), 30)
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def client(serve_config: ServeConfig) -> Iterator[httpx.Client]:
    """The application without a queue, its model loaded."""
    with running(create_app(serve_config)) as client:
        yield client


@dataclass
class LiveService:
    """`python src/serve.py` as a person starts it; `url` has no slash at its end."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30)

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()[-4000:]


def start_service(
    folder: Path, squares_folder: Path, *overrides: str, env: dict[str, str] | None = None
) -> LiveService:
    """Start all of the service with its files below `folder`, and wait until it is ready."""
    if not any(override.startswith("queue.url=") for override in overrides):
        need_redis()
    port = free_port()
    settings = model_settings(squares_folder) | {"var_dir": str(folder / "var"), "port": str(port)}
    command = [
        sys.executable,
        str(PROJECT / "src" / "serve.py"),
        *(f"{k}={v}" for k, v in settings.items()),
        *overrides,
    ]
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=os.environ | (env or {}), start_new_session=True
        )
    service = LiveService(f"http://127.0.0.1:{port}", process, folder)

    def is_up() -> bool:
        assert process.poll() is None, service.log()
        try:
            return service.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(is_up, 60, service.log)
    except BaseException:
        stop_service(service)
        raise
    return service


def stop_service(service: LiveService) -> None:
    """As Ctrl-C or `kill` do."""
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
        try:
            service.process.wait(40)
        except subprocess.TimeoutExpired:
            service.process.kill()
            service.process.wait()


@pytest.fixture(scope="session")
def live_service(squares_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One service for all tests that only talk to it: page, API, queue with one worker."""
    folder = tmp_path_factory.mktemp("live")
    service = start_service(folder, squares_folder, "queue.workers=1", "threads=1")
    yield service
    stop_service(service)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], float], None]:
    def wait(condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s"
            time.sleep(0.05)

    return wait
