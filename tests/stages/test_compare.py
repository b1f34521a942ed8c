import csv
import subprocess
import sys
from pathlib import Path

import pytest

from mirada.config import CompareConfig
from mirada.errors import MiradaError
from mirada.stages import compare
from tests.test_imports import loaded

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A sweep of two jobs, one of which failed, and a run of other data; returns (uri, ids)."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("mirada", artifact_location=(folder / "artifacts").as_uri())
    figures = {"map50": 0.5, "drop": 0.0, "drop_low": 0.0, "drop_high": 0.0, "size_bytes": 2e6, "latency_ms_p50": 4.0}

    def add(name, status, params, tags, metrics):
        run = client.create_run(experiment, tags=tags | {"mlflow.runName": name})
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        for key, value in metrics.items():
            client.log_metric(run.info.run_id, key, value)
        client.set_terminated(run.info.run_id, status)
        return run.info.run_id

    def figures_of(variant):
        return {f"{variant}/{key}": value for key, value in figures.items()}

    sweep = add("sweep", "FAILED", {}, {"sweep": "epochs=1,2"}, {})
    tags = {"task": "detection", "data_digest": "aaaa", "mlflow.parentRunId": sweep}
    good = add("good", "FINISHED", {"epochs": 1}, tags, figures_of("float32") | {"train_seconds": 60.0})
    bad = add("bad", "FAILED", {"epochs": 2}, tags | {"error": "no luck"}, {})
    other = add("other", "FINISHED", {"epochs": 3}, {"task": "detection", "data_digest": "bbbb"}, figures_of("float32"))
    return uri, {"sweep": sweep, "good": good, "bad": bad, "other": other}


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's own warnings


def rows(folder):
    with (folder / "compare.csv").open() as file:
        return [(row["run_name"], row["variant"], row["remark"]) for row in csv.DictReader(file)]


def test_a_sweep_is_compared_and_the_result_kept_in_its_run(store, tmp_path, capsys):
    uri, ids = store
    page = compare.run(CompareConfig(uri=uri, parent=ids["sweep"][:12], output_dir=str(tmp_path / "out")))
    assert rows(tmp_path / "out") == [("good", "float32", ""), ("bad", "", "failed: no luck")]
    assert page.read_text().count("failed: no luck") == 1
    assert {path.name for path in (tmp_path / "out" / "plots").iterdir()} == {"latency.png", "size.png"}
    said = capsys.readouterr().out
    assert f"{ids['bad'][:8]}: failed: no luck" in said and "0.500" in said
    from mlflow import MlflowClient

    kept = {entry.path for entry in MlflowClient(uri).list_artifacts(ids["sweep"], "compare")}
    assert kept == {"compare/compare.csv", "compare/index.html", "compare/plots"}


def test_all_runs_are_grouped_by_data_and_a_sweeps_parent_is_none_of_them(store, tmp_path, capsys):
    compare.run(CompareConfig(uri=store[0], output_dir=str(tmp_path)))
    assert [name for name, _, _ in rows(tmp_path)] == ["good", "bad", "other"]
    assert "differ in task or in the images" in capsys.readouterr().out
    assert len(list((tmp_path / "plots").iterdir())) == 2


def test_ids_and_filters_choose(store, tmp_path):
    uri, ids = store
    compare.run(CompareConfig(uri=uri, runs=[ids["other"], ids["good"][:10]], output_dir=str(tmp_path / "a")))
    assert [name for name, _, _ in rows(tmp_path / "a")] == ["other", "good"]
    compare.run(CompareConfig(uri=uri, filter="params.epochs = '3'", output_dir=str(tmp_path / "b")))
    assert [name for name, _, _ in rows(tmp_path / "b")] == ["other"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"experiment": "nothing"}, "experiment=nothing is not in the store: choose one of .*mirada"),
        ({"runs": ["ffff0000ffff"]}, "0 runs of experiment mirada have an id that begins with 'ffff0000ffff'"),
        ({"runs": ["0" * 32]}, "There is no run 0000"),
        ({"filter": "no sense"}, "MLflow refuses to search for 'no sense'"),
        ({"filter": "params.epochs = '77'"}, "No run of experiment 'mirada' is filter=params.epochs = '77'"),
        ({"uri": "sqlite:////no/such/file.db"}, "/no/such/file.db is not there: train a model first"),
    ],
)
def test_a_mistake_is_one_sentence(store, tmp_path, settings, message):
    with pytest.raises(MiradaError, match=message):
        compare.run(CompareConfig(**{"uri": store[0], "output_dir": str(tmp_path)} | settings))


def test_a_sweep_is_no_run(store, tmp_path):
    with pytest.raises(MiradaError, match="is a sweep, no training: compare its jobs with parent="):
        compare.run(CompareConfig(uri=store[0], runs=[store[1]["sweep"]], output_dir=str(tmp_path)))


def test_the_stage_is_light_until_it_runs():
    assert loaded("import mirada.stages.compare, mirada.export.registry") == set()


def test_ids_and_a_parent_exclude_each_other():
    with pytest.raises(MiradaError, match="leave out parent and filter"):
        CompareConfig(runs=["a"], parent="b", output_dir="o")


def test_the_command_line_composes(store, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SOURCE / "compare.py"), f"uri={store[0]}", f"parent={store[1]['sweep']}", "record=false"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("index.html"))) == 1
