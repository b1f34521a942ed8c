"""`make serve`: the private Redis, the workers and the API as processes of this one, which keeps them up and ends them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO

from mirada.config import ServeConfig, WorkerConfig
from mirada.errors import MiradaError
from mirada.project import own_environment
from mirada.service.children import Child
from mirada.service.keys import read_keys
from mirada.service.logs import log, set_up_logs
from mirada.service.model.loading import load_model
from mirada.service.queue.redis_server import RedisServer
from mirada.service.settings import save_settings

_LOOK_S = 0.1


def run(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        MiradaError: there is no model yet, the port is taken, the folder can't be written, or a service runs already with
            the same files.
    """
    var_dir = Path(config.var_dir).absolute()
    try:
        var_dir.mkdir(parents=True, exist_ok=True)
        file = (var_dir / "serve.lock").open("a+")
    except OSError as error:
        raise MiradaError(
            f"{var_dir} can't be written ({error.strerror}): give the service another var_dir."
        ) from error
    lock = _lock(file, var_dir)
    if config.keys:
        read_keys(Path(config.keys))
    load_model(config)  # what is missing is said here, before anything starts
    with _listen(config) as listening:
        url = f"http://{_shown(config.host)}:{listening.getsockname()[1]}"
        lock.truncate()
        lock.write(json.dumps({"pid": os.getpid(), "url": url}))
        lock.flush()
        set_up_logs("supervisor")
        _run(config, var_dir, listening, url)


def _run(config: ServeConfig, var_dir: Path, listening: socket.socket, url: str) -> None:
    stopping: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server = RedisServer(var_dir / "redis") if config.queue.url is None else None
    children: list[Child] = []
    try:
        if server is not None:
            server.start()
        children = _children(config, server.url if server else str(config.queue.url), var_dir, listening)
        for child in children:
            child.start()
        print(f"Mirada serves at {url}; Ctrl-C ends it.", flush=True)
        while not stopping:
            for child in [*([server.child] if server else []), *children]:
                child.keep_up()
            time.sleep(_LOOK_S)
        print("stopping: what runs is finished first.", flush=True)
    finally:
        end = time.monotonic() + config.stop_s + 2
        for child in children:
            child.tell(signal.SIGTERM)
        for child in children:
            child.wait(end)
        if server is not None:
            server.stop()
    log("stopped")


def _children(config: ServeConfig, queue_url: str, var_dir: Path, listening: socket.socket) -> list[Child]:
    """The API and the workers; their settings go through files, as a URL may hold a password."""
    queue = replace(config.queue, url=queue_url)
    api_file, worker_file = var_dir / "api.json", var_dir / "worker.json"
    private = config.queue.url is None
    save_settings(replace(config, var_dir=str(var_dir), queue=queue), api_file)
    save_settings(WorkerConfig(str(var_dir), queue, config.limits), worker_file)
    env = own_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    python, handle = [sys.executable, "-m"], listening.fileno()
    api = [*python, "mirada.service.api", str(api_file), str(handle), "private" if private else "shared"]
    worker = [*python, "mirada.service.worker", str(worker_file)]
    workers = [Child(f"worker {number}", worker, env=env) for number in range(config.queue.workers)]
    return [Child("api", api, pass_fds=[handle], env=env), *workers]


def _lock(file: IO[str], var_dir: Path) -> IO[str]:
    """Hold the folder; the lock ends with this process, however it ends.

    Raises:
        MiradaError: another service holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        try:
            other = json.loads(file.read())
            where = f"at {other['url']} (process {other['pid']})"
        except (ValueError, KeyError):
            where = "or is about to"
        raise MiradaError(
            f"A service runs already {where} with its files in {var_dir}: use it, stop it, or give this one another var_dir "
            "and port."
        ) from error
    file.seek(0)
    return file


def _listen(config: ServeConfig) -> socket.socket:
    """The socket that requests come in by; it stays while the API is started again, so that none is turned away.

    Raises:
        MiradaError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY by that
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise MiradaError(
            f"{config.host}:{config.port} can't be had ({error.strerror}): choose another one, as in port=8001."
        ) from error
    return listening


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1"}.get(host, host)
