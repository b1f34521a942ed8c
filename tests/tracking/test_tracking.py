import subprocess
import sys
from pathlib import Path

import pytest

from mirada import tracking
from mirada.config import ModelConfig, TrackingConfig, TrainConfig
from mirada.errors import MiradaError
from mirada.inference.card import Card

PROJECT = Path(__file__).resolve().parents[2]


def card(run_id):
    return Card(
        task="detection",
        labels=["a"],
        input_size=64,
        channels=3,
        fit="letterbox",
        strides=[8],
        outputs={"distances": ["d"]},
        dataset="x",
        data_digest="0",
        model={},
        run_id=run_id,
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return TrackingConfig(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db", experiment="test")


def read_run(store, run_id):
    import mlflow

    return mlflow.MlflowClient(store.uri).get_run(run_id)


def test_nested_settings_become_flat_names():
    config = TrainConfig(model=ModelConfig(name="tiny"), data_dir="d", output_dir="o")
    flat = tracking.flatten(config)
    assert flat["epochs"] == config.epochs and flat["model.name"] == "tiny" and flat["augment.flip_horizontal"] is True


def test_the_config_wins_over_the_environment_and_that_over_the_project(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert tracking.tracking_uri(TrackingConfig(uri="sqlite:///mine.db")) == "sqlite:///mine.db"
    assert tracking.tracking_uri(TrackingConfig()) == "sqlite:///elsewhere.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.tracking_uri(TrackingConfig()) == f"sqlite:///{PROJECT}/mlruns/mlflow.db"


def test_off_means_that_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracking.start_run(TrackingConfig(enabled=False)) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_params({"epochs": 1})
        assert run.id is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_run_takes_what_all_stages_record(store, tmp_path):
    (tmp_path / "page.html").write_text("hello")
    with tracking.start_run(store) as run:
        run.log_params({"epochs": 2})
        run.log_metrics({"loss": 3.0}, step=1)
    with tracking.resume_run(store, card(run.id)) as again:
        again.log_metrics({"int8/map50": 0.5})
        again.log_artifacts(tmp_path / "page.html", "evaluate")
        assert again.id == run.id
    found = read_run(store, run.id)
    assert found.data.params["epochs"] == "2"
    assert found.data.metrics["loss"] == 3.0 and found.data.metrics["int8/map50"] == 0.5
    assert found.info.status == "FINISHED"
    assert (tmp_path / "mlruns/artifacts" / run.id / "artifacts/evaluate/page.html").read_text() == "hello"


@pytest.mark.slow
def test_more_metrics_params_and_tags_arrive_than_mlflow_takes_in_one_request(store):
    """MLflow takes 1000 metrics, 100 params, 100 tags at once."""
    names = [f"name{number}" for number in range(1001)]
    with tracking.start_run(store) as run:
        run.log_metrics(dict.fromkeys(names, 2.0))
        run.log_params(dict.fromkeys(names[:101], "a"))
        run.set_tags(dict.fromkeys(names[:101], "b"))
    data = read_run(store, run.id).data
    assert [data.metrics[name] for name in names] == [2.0] * 1001
    assert [data.params[name] for name in names[:101]] == ["a"] * 101
    assert [data.tags[name] for name in names[:101]] == ["b"] * 101


@pytest.mark.slow
def test_a_failed_job_ends_as_failed_with_its_reason(store):
    with pytest.raises(ValueError, match="no luck"), tracking.start_run(store) as run:
        raise ValueError("no luck")
    found = read_run(store, run.id)
    assert found.info.status == "FAILED" and found.data.tags["error"] == "no luck"


@pytest.mark.slow
def test_eight_processes_on_a_fresh_store_lose_no_run(store):
    code = (
        "import os, sys, time, mlflow; from mirada import tracking; from mirada.config import TrackingConfig\n"
        "begin, children = time.monotonic() + 0.5, []\n"
        "for number in range(8):\n"
        "    if pid := os.fork():\n"
        "        children.append(pid)\n"
        "        continue\n"
        "    time.sleep(max(0, begin - time.monotonic()))\n"
        f"    with tracking.start_run(TrackingConfig(uri={store.uri!r}, experiment='test')) as run:\n"
        "        run.log_metrics({'x': number}); print(run.id, flush=True)\n"
        "    os._exit(0)\n"
        "sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, cwd=PROJECT / "src"
    )
    assert done.returncode == 0, done.stderr
    runs = [read_run(store, run_id) for run_id in done.stdout.split()]
    assert sorted(run.data.metrics["x"] for run in runs) == list(range(8))
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_database_that_is_none_is_a_sentence(tmp_path, store):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(b"no pages of sqlite " * 300)
    with pytest.raises(
        MiradaError, match=r"mlflow\.db is no whole database of MLflow \(.*\): put back a copy, or move"
    ):
        tracking.connect(store)
