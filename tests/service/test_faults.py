"""Parts of the service are killed in the middle of a job: every image has its one result in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import PROJECT


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children follow a killed parent on Linux only")
def test_every_image_has_its_one_result_whatever_is_killed(squares_folder: Path) -> None:
    model = str(squares_folder / "model")
    command = [sys.executable, "benchmarks/demonstrations/faults.py", "--images", "60", "--lost-after", "2"]
    command += ["--model-dir", model, "--variants-dir", model, "--disk-mb", "120"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    wanted = ["none", "worker", "workers", "redis", "api", "all", "door"] + (["disk"] if os.geteuid() == 0 else [])
    assert list(rows) == wanted
    assert all("60 results, 0 twice, 0 wrong" in line for line in rows.values())
    assert rows["all"].endswith("left over after the kill: 0")
    assert "disk" not in rows or "503" in rows["disk"]
