"""The process of the API: `python -m mirada.service.api <settings.json> <socket's number> private|shared`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

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
        proxy_headers=False,
        lifespan="on",
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
