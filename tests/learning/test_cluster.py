"""Two worker processes on loopback, through the real entry point."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import InputConfig
from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.learning.dataset import BatchSettings, TrainingInput
from mirada.learning.devices import Devices, choose_devices
from mirada.learning.models import load_model
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from mirada.stages import train
from mirada.stages.training.checks import check_training
from mirada.workers.peers import Cluster
from tests.learning.conftest import write_dataset
from tests.servers import free_ports

PROJECT = Path(__file__).resolve().parents[2]


def start(folder: Path, *arguments: str, each: tuple[list[str], list[str]] = ([], [])) -> list[subprocess.Popen[str]]:
    """The chief and a helper, each in a folder of its own."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = []
    (folder / "tmp").mkdir(exist_ok=True)
    for index in (0, 1):
        cwd = folder / f"cwd-{index}"
        cwd.mkdir(exist_ok=True)
        task = {"type": "worker", "index": index}
        environment = os.environ | {
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": task}),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / f'mlflow-{index}.db'}",
            "TMPDIR": str(folder / "tmp"),
        }
        command = [sys.executable, str(PROJECT / "src/train.py"), *arguments]
        processes.append(
            subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    return processes


def losses(folder: Path) -> list[float]:
    with (folder / "history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_workers_are_one_and_a_killed_one_ends_the_other_and_resumes(train_config, tmp_path):
    """Batch statistics, the share of each worker and their order are all in the loss; 1e-3 of it is the tolerance."""
    dataset = write_dataset(tmp_path / "classes", task="classification")
    config = replace(train_config, data_dir=str(dataset.folder), epochs=3, output_dir=str(tmp_path / "one"))
    train.run(config)
    together = tmp_path / "two"
    arguments = [
        "model=tiny", "model.width=8", "model.head_depth=1", f"data_dir={config.data_dir}", f"output_dir={together}",
        "epochs=3", "batch_size=4", "deterministic=true", "learning_rate=1e-3", "freeze_epochs=0",
    ]  # fmt: skip
    workers = start(tmp_path, *arguments, "tracking.enabled=false")
    deadline = time.monotonic() + 120
    while not (together / "checkpoints/state.json").is_file():
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(workers[1].pid, signal.SIGKILL)
    killed_at = time.monotonic()
    out, err = workers[0].communicate(timeout=60)
    workers[1].communicate()
    assert time.monotonic() - killed_at < 30
    assert workers[0].returncode == 1 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: worker 1 (127.0.0.1:") and "resume=true" in err
    assert not (together / "model.keras").exists()

    workers = start(tmp_path, *arguments, "resume=true")
    (out, err), (helper_out, helper_err) = (worker.communicate(timeout=180) for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], err + helper_err
    assert "resuming after epoch" in out and "epoch 3/3" in out and "this is worker 0" in out
    assert "epoch" not in helper_out and "which helps the chief and writes nothing" in helper_out
    assert losses(together) == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    check_what_was_written(tmp_path, together)


def check_what_was_written(folder: Path, together: Path) -> None:
    names = {path.name for path in together.iterdir()}
    assert names == {"batch.png", "checkpoints", "history.csv", "model.json", "model.keras"}
    assert list((folder / "cwd-1").iterdir()) == []  # not even Hydra's folder
    assert not (folder / "mlflow-1.db").exists()
    with sqlite3.connect(folder / "mlflow-0.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        params = dict(database.execute("select key, value from params"))
    assert params["cluster_workers"] == params["replicas"] == "2" and params["gpus"] == "1"
    assert load_card(together).labels == ["red", "blue"]
    ours, theirs = (load_model(path / "model.keras") for path in (together, folder / "one"))
    assert [layer.get_config() for layer in ours.layers] == [layer.get_config() for layer in theirs.layers]


def test_workers_that_were_told_different_things_are_refused(train_config, squares, monkeypatch):
    """As if another worker had answered with another number."""
    devices = choose_devices(1)
    trainer = Trainer(train_config, squares, devices, make_card(train_config, squares))
    monkeypatch.setattr(Devices, "gather", lambda self, number: [number, number + 1])
    with pytest.raises(MiradaError, match="The workers of TF_CONFIG have different settings or data"):
        Trainer(train_config, squares, devices, trainer.card)
    with pytest.raises(
        MiradaError, match="the chief finds epoch 0, another one 1: output_dir must be a folder that all"
    ):
        trainer.restore()


@pytest.mark.parametrize(
    ("gpus", "batch_size", "of"),
    [(0, 3, r"the 2 workers of TF_CONFIG, got 3\."), (2, 6, r"gpus=2 times the 2 workers of TF_CONFIG, got 6\.")],
)
def test_a_batch_that_workers_cannot_share_is_refused(gpus, batch_size, of, train_config, squares):
    config = replace(train_config, gpus=gpus, batch_size=batch_size)
    with pytest.raises(MiradaError, match=rf"^batch_size is the global batch and must be a multiple of {of}$"):
        check_training(config, squares, Cluster(("a:1", "b:1"), 0))


@pytest.mark.parametrize("settings", [InputConfig(), InputConfig(cache=False, vectorize=False)])
def test_workers_share_the_batches_that_one_would_see(settings, train_config, squares):
    def batches(part: tuple[int, int]) -> list[dict[str, np.ndarray]]:
        wanted = BatchSettings(batch_size=4, seed=3, augmentation=train_config.augment, accumulate=2, part=part)
        source = TrainingInput(squares, wanted, config=settings)
        return [{key: value.numpy() for key, value in batch.items()} for batch in source.epoch(1)]

    whole, first, second = batches((0, 1)), batches((0, 2)), batches((1, 2))
    assert len(whole) == len(first) == len(second) == 4  # 12 images: 2 steps of 2 batches
    for all_of_it, *parts in zip(whole, first, second, strict=True):
        assert parts[0]["image"].shape == (2, 64, 64, 3)
        for key, value in all_of_it.items():
            np.testing.assert_array_equal(value, np.concatenate([part[key] for part in parts]))
