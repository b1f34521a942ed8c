"""`folds=2` in real processes: killed after the first fold and typed again, it ends with means and with pooled folds."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mirada.quantization.out_of_fold import OUTCOMES_FILE, read_val_outcomes
from tests.stages.test_experiment_sweep import start

pytestmark = pytest.mark.slow

# What comes later on the command line of that module's sweep counts: here there is a budget.
FOLDS = ("folds=2", "max_drop=0.5", "ladder=[calibration]", "hydra.sweep.dir=killed")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("folds")
    with start(folder, *FOLDS) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if line.startswith("sweep: 1 of 2 done"):
                break
        os.killpg(killed.pid, signal.SIGKILL)
    with start(folder, *FOLDS) as again:
        said, errors = again.communicate(timeout=600)
    assert again.returncode == 0, errors
    return {"folder": folder, "said": said}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def outcomes(folder: Path, fold: int) -> Any:
    return read_val_outcomes(folder / f"killed/{fold}/models/quantize" / OUTCOMES_FILE)


def test_the_fold_that_had_finished_is_not_run_again(sweep: dict[str, Any]) -> None:
    assert "job 0 (" in sweep["said"] and "has finished before" in sweep["said"]
    assert sweep["said"].count("epoch 1/1") == 1
    assert "fetch: as in killed/0, taken from the store" in sweep["said"]


def test_each_image_is_val_once(sweep: dict[str, Any]) -> None:
    first, second = (outcomes(sweep["folder"], fold).images for fold in (0, 1))
    (pooled, *_) = rows(sweep["folder"] / "killed/pooled.csv")
    assert not set(first) & set(second) and int(pooled["images"]) == len(first) + len(second)
    assert (pooled["rung"], pooled["folds"]) == ("int8", "2")


def test_means_are_those_of_the_folds(sweep: dict[str, Any]) -> None:
    figures = [row for row in rows(sweep["folder"] / "killed/compare.csv") if row["variant"] == "int8"]
    (mean,) = [row for row in rows(sweep["folder"] / "killed/repeats.csv") if row["variant"] == "int8"]
    assert [row["fold"] for row in figures] == ["0", "1"] and mean["over"] == "2 folds"
    sizes = [float(row["size_bytes"]) for row in figures]
    assert float(mean["size_bytes_mean"]) == pytest.approx(sum(sizes) / 2)
    assert "2 folds" in sweep["said"] and "all folds together" in sweep["said"]


def test_the_parent_run_has_page_tables_and_figures(sweep: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{sweep['folder']}/mlflow.db")
    experiment = client.get_experiment_by_name("mirada")
    assert experiment is not None
    (parent,) = [
        run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
    ]
    kept = {file.path for file in client.list_artifacts(parent.info.run_id, "compare")}
    assert {"compare/index.html", "compare/repeats.csv", "compare/pooled.csv"} <= kept
    assert {"pooled/int8/drop_high", "pooled/best/drop", "mean/int8/map50"} <= parent.data.metrics.keys()
    assert parent.info.status == "FINISHED"


def test_a_split_without_folds_is_refused_before_the_first_job(tmp_path: Path) -> None:
    with start(tmp_path, "data.split.kind=area", "folds=2") as process:
        printed, errors = process.communicate(timeout=60)
    assert "data.split.kfold=2 shares out photographs" in errors and process.returncode == 1
    assert not (tmp_path / "mlflow.db").exists() and printed == ""
