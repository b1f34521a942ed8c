"""Two that open MLflow's page on one port."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mirada.config import UiConfig
from mirada.errors import MiradaError
from mirada.tracking import ui
from tests.servers import free_port

SOURCE = Path(__file__).resolve().parents[2] / "src"
STARTS = """
import sys, time; sys.path.insert(0, sys.argv[1])
from mirada.tracking import ui
print(ui._free(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def test_a_port_that_is_taken_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    config = UiConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", port=free_port())
    with (
        socket.create_server((ui.HOST, config.port)),
        pytest.raises(
            MiradaError, match=f"port {config.port} of .* can't be had .*as in make ui UI=port={config.port + 1}"
        ),
    ):
        ui.run(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a name of Linux keeps the port")
def test_a_port_is_kept_for_a_page_that_has_not_come_up_yet(tmp_path: Path) -> None:
    config = UiConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", port=free_port())
    command = [sys.executable, "-c", STARTS, str(SOURCE), str(config.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == f"{config.port}\n".encode()
        with pytest.raises(MiradaError, match="the runs may be open there already"):
            ui.run(config)
        other.kill()
    assert ui._free(config.port) == config.port, "it went with its process"
