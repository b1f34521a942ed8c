"""test_preprocess.py's other half: the stage as a process, interrupted or with a worker killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from mirada.data.records import Box
from mirada.stages import preprocess
from tests.stages.test_preprocess import config, contents, draw, save

ROOT = Path(__file__).parents[2]


def slow_raw(raw_dir: Path) -> Path:
    """Two images and many copies of one: enough work to be interrupted."""
    noise = np.random.default_rng(0).integers(0, 255, (500, 500, 3)).astype(np.uint8)
    save(raw_dir / "train" / "0.png", Image.fromarray(noise), [Box(1, 1, 99, 99, "x")])
    save(raw_dir / "test" / "t.png", Image.fromarray(noise[::-1]), [Box(1, 1, 99, 99, "x")])
    for number in range(1, 600):
        for suffix in (".png", ".xml"):
            os.link(raw_dir / "train" / f"0{suffix}", raw_dir / "train" / f"{number}{suffix}")
    return raw_dir


def start_slow(tmp_path: Path, workers: int) -> "subprocess.Popen[str]":
    """Start the stage as a user does and return in the middle of its work."""
    raw = slow_raw(tmp_path / "slow")
    keys = [f"raw_dir={raw}", f"data.path={raw}", f"output_dir={tmp_path / 'out'}", "data.split.val=0"]
    keys += [f"workers={workers}", "chunk_images=4", f"hydra.run.dir={tmp_path / 'hydra'}"]
    command = [sys.executable, "-W", "ignore", str(ROOT / "src" / "preprocess.py"), "data=voc", *keys]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    spool = tmp_path / f".out.partial-{process.pid}" / "spool"
    deadline = time.monotonic() + 60
    while not (spool.is_file() and spool.stat().st_size):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interruption_leaves_the_old_output_whole(tmp_path: Path, number: signal.Signals) -> None:
    draw(tmp_path / "raw", 6)
    preprocess.run(config(tmp_path))
    before = contents(tmp_path / "out")
    process = start_slow(tmp_path, workers=2)
    family = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches the workers too
    else:
        process.kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0 and "Traceback" not in errors
    assert contents(tmp_path / "out") == before
    assert not psutil.wait_procs(family, timeout=10)[1], "workers outlive the stage"
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert left == ([f".out.partial-{process.pid}"] if number == signal.SIGKILL else [])
    preprocess.run(config(tmp_path))
    assert contents(tmp_path / "out") == before
    assert not list(tmp_path.glob(".out*"))


def test_a_worker_that_dies_names_its_file_and_leaves_no_output(tmp_path: Path) -> None:
    process = start_slow(tmp_path, workers=2)
    family = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in family if child.ppid() != process.pid]
    assert len(workers) == 2
    workers[0].kill()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: A worker process died" in errors and "Traceback" not in errors
    assert "while it worked on train/" in errors or "between two files" in errors
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
