import csv
from pathlib import Path

import numpy as np
import pytest

from mirada.quantization.out_of_fold import OUTCOMES_FILE, ValOutcomes, write_val_outcomes
from mirada.sweeps.comparing import compare_untracked, record_of
from mirada.sweeps.table import DONE, FAILED, JobRecord
from mirada.tasks.outcomes import RightImages

COSTS = {"drop": 0.0, "drop_low": 0.0, "drop_high": 0.0, "size_bytes": 1e6, "latency_ms_p50": 2.0}


def job(folder: Path, fold: int, accuracy: float, right: bool) -> JobRecord:
    """Of two folds, an image each."""
    own = folder / str(fold) / "models/quantize"
    own.mkdir(parents=True)
    rungs = {"float32": RightImages(np.array([True])), "int8": RightImages(np.array([right]))}
    write_val_outcomes(own / OUTCOMES_FILE, ValOutcomes("accuracy", 0.1, "int8", ["a"], [f"{fold}.png"], rungs))
    figures = {f"{variant}/{key}": value for variant in ("float32", "int8") for key, value in COSTS.items()}
    figures |= {"float32/accuracy": accuracy, "int8/accuracy": accuracy, "train_seconds": 60.0}
    overrides = ["data=voc", "data.split.kfold=2", f"data.split.fold={fold}", "train.epochs=3"]
    return JobRecord(
        fold, overrides, DONE, "", output_dir=str(folder / str(fold)), figures=figures, task="classification"
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_jobs_that_nobody_recorded_are_compared_and_their_folds_pooled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job(tmp_path, 0, 0.5, right=False), job(tmp_path, 1, 0.7, right=True)]
    failed = JobRecord(2, ["data=voc", "train.epochs=-1"], FAILED, "no luck", output_dir=str(tmp_path / "2"))
    compare_untracked([*jobs, failed], tmp_path)
    mean = rows(tmp_path / "repeats.csv")[0]
    assert float(mean["value_mean"]) == pytest.approx(0.6) and float(mean["value_sd"]) == pytest.approx(0.02**0.5)
    pooled = rows(tmp_path / "pooled.csv")[0]
    assert (pooled["rung"], pooled["images"], pooled["drop"], pooled["answer"]) == ("int8", "2", "0.5", "cannot_tell")
    said = capsys.readouterr().out
    assert "0.600 ± 0.141" in said and "no luck" in said
    assert "compared within" not in said, "what failed is of the same task and data"
    assert "not recorded in MLflow" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_jobs_keys_are_named_as_those_of_a_run(tmp_path: Path) -> None:
    record = record_of(job(tmp_path, 1, 0.5, right=True))
    assert (record.params["fold"], record.params["kfold"], record.params["epochs"]) == ("1", "2", "3")
    assert record.params["evaluate.split"] == "test" and record.data[0] == "classification"
