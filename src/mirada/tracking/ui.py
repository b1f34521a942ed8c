"""UI: MLflow's page over the project's own runs, opened on chosen columns."""

from __future__ import annotations

import os
import socket
import sys

from mirada import tracking
from mirada.config import TrackingConfig, UiConfig
from mirada.errors import MiradaError
from mirada.tracking.overview import tell_runs

HOST = "127.0.0.1"


def run(config: UiConfig) -> None:
    """Say where the runs open; for a store that is no server, become one.

    Raises:
        MiradaError: the port is taken, or the store does not answer.
    """
    settings = TrackingConfig(uri=config.uri, experiment=config.experiment)
    if tracking.tracking_uri(settings).startswith("http"):
        tracking.check(settings)
        tell_runs(settings)
        return
    port = _free(config.port)
    uri = tracking.connect(settings)
    tell_runs(settings, server=f"http://{HOST}:{port}")
    print("MLflow starts, which takes some seconds; Ctrl-C ends it.", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    words = ["ui", "--workers", "1", "--host", HOST, "--port", str(port), "--backend-store-uri", uri]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *words])


def _free(port: int) -> int:
    """The port, which MLflow will take some seconds later; until then, and as long as it runs, no other `ui` gets it.

    Raises:
        MiradaError: it is taken.
    """
    try:
        with socket.create_server((HOST, port)) as listener:
            port = int(listener.getsockname()[1])
        if sys.platform == "linux":  # a name that goes with the last process that has it; MLflow inherits it
            with socket.socket(socket.AF_UNIX) as held:
                held.bind(f"\0mirada-ui-{port}")
                held.set_inheritable(True)
                held.detach()
    except OSError as error:
        raise MiradaError(
            f"port {port} of {HOST} can't be had ({error.strerror}): the runs may be open there already, at "
            f"http://{HOST}:{port}; else choose another, as in make ui UI=port={port + 1 if port < 65535 else 0}."
        ) from error
    return port
