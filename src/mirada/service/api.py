"""The process of the API: `python -m mirada.service.api <settings.json> <socket's number> private|shared`."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mirada.config import ServeConfig
from mirada.service.app import create_app
from mirada.service.logs import set_up_logs
from mirada.service.settings import load_settings


class _Server(uvicorn.Server):
    """Uvicorn, which tells streams that never end by themselves to end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Asked to stop."""
        self.config.app.state.service.stopping = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def hurried(seconds: float) -> type[H11Protocol]:
    """Uvicorn's HTTP, which hangs up on who takes longer for a request's headers; the guard sees what comes after them."""

    class Hurried(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop_timer()
            elif self._timer is None:  # the next request of a connection has begun
                self._timer = self.loop.call_later(seconds, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_timer()

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Hurried


def serve(config: ServeConfig, listening: socket.socket, private: bool) -> None:
    """Answer requests until SIGTERM or SIGINT; what runs is finished first.

    Args:
        config: of the service.
        listening: the socket.
        private: whether the queue's Redis is the service's own, on this disk.
    """
    set_up_logs("api")
    options = uvicorn.Config(
        create_app(config, disk=Path(config.var_dir) if private else None),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=config.proxies,
        lifespan="on",
        http=hurried(config.limits.body_s),
        timeout_keep_alive=20,
        timeout_graceful_shutdown=max(1, int(config.stop_s)),
        h11_max_incomplete_event_size=64 * 1024,
        backlog=512,
    )
    _Server(options).run([listening])


if __name__ == "__main__":
    serve(
        load_settings(ServeConfig, Path(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])), sys.argv[3] == "private"
    )
