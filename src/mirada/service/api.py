"""The process of the API: `python -m mirada.service.api <settings.json> <file descriptor of a socket>`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from mirada.config import ServeConfig
from mirada.service.app import create_app
from mirada.service.logs import set_up_logs
from mirada.service.settings import load_settings


def serve(config: ServeConfig, listening: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT; what runs is finished first."""
    set_up_logs("api")
    options = uvicorn.Config(
        create_app(config),
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
    uvicorn.Server(options).run([listening])


if __name__ == "__main__":
    serve(load_settings(ServeConfig, Path(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
