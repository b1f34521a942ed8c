"""Sweeps as they are typed: killed and typed again, with failures, in processes side by side."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mirada.config import TrackingConfig
from mirada.sweeps import runs as sweep_runs

SOURCE = Path(__file__).resolve().parents[2] / "src"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own warnings


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "COLUMNS": "200"}


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(SOURCE / f"{script}.py"), *arguments]


def run(folder: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(script, *arguments), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=400
    )


def kill_after(folder: Path, line: str, words: Sequence[str]) -> str:
    """Start a sweep and kill its whole process group once the line is printed and the next run is open."""
    from mlflow import MlflowClient

    process = subprocess.Popen(
        words, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    output = ""
    try:
        for text in process.stdout:
            output += text
            if text.startswith(line):
                break
        client, until = MlflowClient(f"sqlite:///{folder}/mlflow.db"), time.monotonic() + 60
        while len(runs(client)) < 3 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return output


def runs(client: Any, experiment: str = "mirada") -> list[Any]:
    """All runs of an experiment, the oldest first."""
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))


def table(folder: Path) -> list[dict[str, str]]:
    """The CSV of the last sweep."""
    paths = sorted((folder / "multirun").glob("*/*/sweep.csv"), key=lambda path: path.stat().st_mtime)
    with paths[-1].open() as file:
        return list(csv.DictReader(file))


def test_a_killed_sweep_goes_on_where_it_was_and_a_failed_job_does_not_end_it(tmp_path: Path, squares_folder: Path):
    from mlflow import MlflowClient

    words = [
        "-m",
        f"data_dir={squares_folder / 'data'}",
        "model=tiny",
        "val_every=9",
        "batch_size=4,1000",
        "epochs=1,2",
    ]
    killed = kill_after(tmp_path, "sweep: 1 of 4 done (0 skipped, 0 failed)", command("train", *words))
    assert "sweep: 1 of 4 done" in killed
    done = run(tmp_path, "train", *words)
    assert done.returncode == 1, done.stderr  # two of the four jobs ask for more images than there are

    lines = [line.split(",")[0] for line in done.stdout.splitlines() if line.startswith("sweep: ")]
    assert lines == [
        "sweep: 1 of 4 done (1 skipped", "sweep: 2 of 4 done (1 skipped", "sweep: 3 of 4 done (1 skipped",
        "sweep: 4 of 4 done (1 skipped",
    ]  # fmt: skip
    assert "job 0 (batch_size=4 epochs=1) has finished before: run " in done.stdout
    assert "training images, fewer than batch_size=1000" in done.stderr

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    parent, first, dead, second, *refused = runs(client)
    assert (first.info.status, first.info.run_name) == ("FINISHED", "batch_size=4 epochs=1")
    assert (dead.info.status, dead.data.tags["error"]) == ("KILLED", "ended without a word")
    assert (second.info.status, second.info.run_name) == ("FINISHED", "batch_size=4 epochs=2")
    assert {r.info.status for r in refused} == {"FAILED"}
    assert all("fewer than batch_size=1000" in r.data.tags["error"] for r in refused)
    assert [r.data.params["epochs"] for r in refused] == ["1", "2"]
    assert {r.data.tags["mlflow.parentRunId"] for r in (first, dead, second, *refused)} == {parent.info.run_id}
    assert second.data.metrics["job_seconds"] > second.data.metrics["train_seconds"]
    assert parent.info.status == "FAILED"
    ended = {key: parent.data.metrics[key] for key in ("jobs", "done", "skipped", "failed")}
    assert ended == {"jobs": 4, "done": 1, "skipped": 1, "failed": 2}
    kept = {entry.path for entry in client.list_artifacts(parent.info.run_id, "sweep")}
    assert kept == {"sweep/sweep.csv", "sweep/sweep.png", "sweep/index.html"}

    rows = table(tmp_path)
    assert [row["status"] for row in rows] == ["skipped", "done", "failed", "failed"]
    assert [row["run_id"] for row in rows] == [r.info.run_id for r in (first, second, *refused)]
    assert float(rows[0]["train_images_per_s"]) == pytest.approx(first.data.metrics["train_images_per_s"])
    assert (Path(rows[0]["output_dir"]) / "model.keras").is_file()


def test_preprocessing_is_swept_in_processes_side_by_side_and_not_done_twice(tmp_path: Path):
    from mlflow import MlflowClient

    assert run(tmp_path, "fetch", "data=shapes", "data.source.images=24", "output_dir=raw").returncode == 0
    words = ["-m", "data=shapes", "raw_dir=raw", "input_size=64", "workers=1,2"]
    beside = run(tmp_path, "preprocess", *words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert beside.returncode == 0, beside.stderr
    assert "sweep: 2 of 2 done (0 skipped, 0 failed)" in beside.stdout
    first, second = table(tmp_path)
    speeds = float(first["images_per_s"]), float(second["images_per_s"])
    assert float(second["scaling_efficiency"]) == pytest.approx(speeds[1] / (2 * speeds[0]))
    assert float(first["peak_memory_mb"]) > 0

    (Path(second["output_dir"]) / "dataset.json").unlink()  # what was made is no longer there
    again = run(tmp_path, "preprocess", *words)
    assert "sweep: 2 of 2 done (1 skipped, 0 failed)" in again.stdout, again.stderr
    assert [row["status"] for row in table(tmp_path)] == ["skipped", "done"]
    assert table(tmp_path)[0]["run_id"] == first["run_id"]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    parents = [r for r in runs(client, "mirada-preprocess") if sweep_runs.SWEEP in r.data.tags]
    assert [r.info.status for r in parents] == ["FINISHED", "FINISHED"]  # the first had ended: it is not taken up

    forced = run(tmp_path, "preprocess", *words[:-1], "workers=1", "force=true")
    assert "sweep: 1 of 1 done (0 skipped, 0 failed)" in forced.stdout, forced.stderr


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Made once: its tables take seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def store(database: str, request: pytest.FixtureRequest) -> Any:
    """An experiment of its own: its configuration, a client and its id."""
    config = TrackingConfig(uri=database, experiment=request.node.name)
    return config, *sweep_runs.connect(config)


def ended_process() -> str:
    """The name of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        name = sweep_runs.this_process().split()
        return f"{name[0]} {process.pid} {name[2]}"


def test_two_sweeps_at_once_have_each_their_parent(store: Any):
    config, client, _ = store
    ours = sweep_runs.open_parent(config, "train", "epochs=1,2")
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") != ours  # its process, this one, is alive
    client.set_tag(ours, sweep_runs.PROCESS, "another-host 1 0")
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") != ours  # nobody knows whether that one is


def test_only_the_same_sweep_that_did_not_end_well_is_taken_up(store: Any):
    config, client, _ = store
    dead = sweep_runs.open_parent(config, "train", "epochs=1,2")
    client.set_tag(dead, sweep_runs.PROCESS, ended_process())
    assert sweep_runs.open_parent(config, "train", "epochs=1,3") != dead
    assert sweep_runs.open_parent(config, "preprocess", "epochs=1,2") != dead
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") == dead
    client.set_terminated(dead, "FAILED")
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") == dead
    assert client.get_run(dead).info.status == "RUNNING"
    client.set_terminated(dead, "FINISHED")
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") != dead


def test_force_begins_anew(store: Any):
    config, client, _ = store
    killed = sweep_runs.open_parent(config, "train", "epochs=1,2")
    client.set_terminated(killed, "KILLED")
    assert sweep_runs.open_parent(config, "train", "epochs=1,2", fresh=True) != killed


def test_what_a_dead_sweep_left_open_is_closed_and_what_is_at_work_is_not(store: Any):
    config, client, experiment = store
    parent = sweep_runs.open_parent(config, "train", "epochs=1,2")
    client.set_terminated(parent, "KILLED")
    tags = {"mlflow.parentRunId": parent}
    dead = client.create_run(experiment, tags=tags | {sweep_runs.PROCESS: ended_process()}).info.run_id
    alive = client.create_run(experiment, tags=tags | {sweep_runs.PROCESS: sweep_runs.this_process()}).info.run_id
    assert sweep_runs.open_parent(config, "train", "epochs=1,2") == parent
    assert client.get_run(dead).info.status == "KILLED"
    assert client.get_run(alive).info.status == "RUNNING"


def test_a_finished_run_is_found_by_its_key_the_latest_of_several(store: Any):
    config, client, experiment = store
    ids = []
    for number, status in enumerate(["FINISHED", "FINISHED", "FAILED"]):
        tags = {sweep_runs.JOB_KEY: "abc", sweep_runs.OUTPUT_DIR: f"/out/{number}"}
        ids.append(client.create_run(experiment, tags=tags, start_time=number + 1).info.run_id)
        client.log_metric(ids[-1], "best_map50", number / 10)
        client.set_terminated(ids[-1], status)
    found = sweep_runs.find_finished(config, "abc")
    assert found is not None
    assert (found.id, found.output_dir, found.metrics) == (ids[1], "/out/1", {"best_map50": 0.1})
    assert sweep_runs.find_finished(config, "abd") is None
    assert sweep_runs.find_finished(TrackingConfig(enabled=False), "abc") is None


def test_a_number_that_another_process_has_now_is_a_process_that_is_gone():
    host, number, start = sweep_runs.this_process().split()
    assert not sweep_runs.is_gone(f"{host} {number} {start}")
    assert sweep_runs.is_gone(f"{host} {number} {float(start) - 60:.0f}")
    assert sweep_runs.is_gone(None)
