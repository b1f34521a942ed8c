"""A sweep of experiments in real processes: what jobs share, what a killed sweep need not do again, what is recorded."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "src" / "experiment.py"
FAST = [
    *("-m", "data=shapes", "data.source.images=24", "preprocess.input_size=64", "preprocess.workers=1", "model=tiny"),
    *("epochs=1", "variants=[float32,int8]", "max_drop=null", "evidence_images=0", "calibration_images=4"),
    *("latency_runs=2", "bootstrap_samples=5", "pictures=1"),
]
JOBS = "+evaluate.limits={},{min_map50: 2}"  # the second job's limit can't be kept


def start(folder: Path, *overrides: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPT), *FAST, *overrides]
    pipe, environment = subprocess.PIPE, os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep of two jobs, killed after the first and typed again."""
    folder = tmp_path_factory.mktemp("sweep")
    with start(folder, JOBS, "hydra.sweep.dir=killed") as killed:
        assert killed.stdout is not None
        first = []
        for line in killed.stdout:
            first.append(line)
            if line.startswith("sweep: 1 of 2 done"):
                break
        os.killpg(killed.pid, signal.SIGKILL)
    with start(folder, JOBS, "hydra.sweep.dir=killed") as again:
        second, errors = again.communicate(timeout=300)
    return {"folder": folder, "first": "".join(first), "second": second, "errors": errors, "code": again.returncode}


@pytest.fixture(scope="module")
def runs(sweep: dict[str, Any]) -> list[Any]:
    """The parent, then the jobs."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{sweep['folder']}/mlflow.db")
    experiment = client.get_experiment_by_name("mirada")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def test_the_first_job_runs_every_stage(sweep: dict[str, Any]) -> None:
    assert "taken from the store" not in sweep["first"]
    assert "epoch 1/1" in sweep["first"]


def test_typed_again_it_skips_what_has_finished_and_makes_nothing_twice(sweep: dict[str, Any]) -> None:
    assert "has finished before" in sweep["second"]
    for stage in ("fetch", "preprocess", "train", "quantize"):
        assert f"{stage}: as in killed/0, taken from the store" in sweep["second"]
    assert "epoch 1/1" not in sweep["second"]


def test_a_job_that_fails_has_one_line_and_the_sweep_says_so(sweep: dict[str, Any]) -> None:
    lines = [line for line in sweep["errors"].splitlines() if "failed" in line]
    assert len(lines) == 2, sweep["errors"]
    assert lines[0].startswith("job 1 (") and "map50" in lines[0]
    assert lines[1].startswith("error: ") and "1" in lines[1]
    assert sweep["code"] == 1
    assert "Traceback" not in sweep["errors"]


def test_each_job_has_a_folder_of_its_own_with_everything(sweep: dict[str, Any]) -> None:
    first, second = sweep["folder"] / "killed/0", sweep["folder"] / "killed/1"
    for name in (
        "raw/SOURCE.json",
        "processed/dataset.json",
        "models/train/model.keras",
        "models/quantize/int8.tflite",
    ):
        assert (first / name).samefile(second / name)
    assert not (first / "models/train/model.json").samefile(second / "models/train/model.json")
    assert not (first / "reports/evaluate/metrics.json").samefile(second / "reports/evaluate/metrics.json")


def test_each_job_has_a_run_of_its_own_with_everything(sweep: dict[str, Any], runs: list[Any]) -> None:
    parent, first, second = runs
    assert [run.data.tags.get("mlflow.parentRunId") for run in runs] == [None, *2 * [parent.info.run_id]]
    assert [run.info.status for run in runs] == ["FAILED", "FINISHED", "FAILED"]
    assert second.data.tags["trained_in"] == second.data.tags["quantized_in"] == first.info.run_id
    assert "min_map50" in second.data.tags["error"]
    card = (sweep["folder"] / "killed/1/models/train/model.json").read_text()
    assert second.info.run_id in card and first.info.run_id not in card
    own = ("data_dir", "evaluate.limits")
    assert {k: v for k, v in first.data.params.items() if k not in own} == {
        k: v for k, v in second.data.params.items() if k not in own
    }
    assert second.data.params["data_dir"].endswith("killed/1/processed")
    assert first.data.tags["output_dir"].endswith("killed/0")
    assert {name for name in first.data.metrics if not name.startswith("system/")} == {
        name for name in second.data.metrics if not name.startswith("system/")
    }
    for name in ("train_seconds", "quantize_seconds", "int8/size_bytes", "best_map50", "preprocess_images"):
        assert first.data.metrics[name] == second.data.metrics[name]
    assert "job_key" in first.data.tags and "job_key" not in second.data.tags


def test_curves_and_files_of_a_training_are_in_both_runs(sweep: dict[str, Any], runs: list[Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{sweep['folder']}/mlflow.db")
    of: Callable[[Any], Any] = lambda run: [  # noqa: E731
        (point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")
    ]
    assert of(runs[1]) == of(runs[2]) != []
    for folder in ("train", "quantize"):
        first, second = ([file.path for file in client.list_artifacts(run.info.run_id, folder)] for run in runs[1:])
        assert first == second != []


def test_the_sweep_ends_with_a_comparison_of_all_jobs(sweep: dict[str, Any], runs: list[Any]) -> None:
    from mlflow import MlflowClient

    page = (sweep["folder"] / "killed/index.html").read_text()
    for run in runs[1:]:
        assert run.info.run_id[:8] in page
        assert run.info.run_id[:8] in (sweep["folder"] / "killed/compare.csv").read_text()
    client = MlflowClient(f"sqlite:///{sweep['folder']}/mlflow.db")
    recorded = {file.path for file in client.list_artifacts(runs[0].info.run_id, "compare")}
    assert recorded == {"compare/index.html", "compare/compare.csv", "compare/plots"}


def test_a_typo_ends_the_sweep_before_its_first_job(tmp_path: Path) -> None:
    with start(tmp_path, "learning_rate=1e-3,-1") as refused:
        printed, errors = refused.communicate(timeout=60)
    assert errors.startswith("error: in the section train: learning_rate must be greater than 0, got -1"), errors
    assert (refused.returncode, printed) == (1, "")
    assert not (tmp_path / "mlflow.db").exists()
