import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirada.config import TrackingConfig, UiConfig
from mirada.errors import MiradaError
from mirada.tracking import ui
from mirada.tracking.notes import MAIN_METRIC, NOTE, Noted
from mirada.tracking.overview import compose, describe_run, tell_runs, told_once
from tests.servers import MlflowServer, free_port


def record(settings: TrackingConfig, epochs: int, parent: str | None = None) -> str:
    """A run as a job of a sweep leaves it."""
    from mirada.tracking import start_run

    tags = {MAIN_METRIC: "map50"} | ({"mlflow.parentRunId": parent} if parent else {})
    with start_run(settings, f"epochs={epochs}", tags=tags) as run:
        run.log_params({"epochs": epochs, "gpus": 1, "seed": 0, "data_dir": f"/data/{epochs}", "dataset": "trees"})
        figures = {"float32": (0.5, 12e6, 10.0), "int8": (0.49, 3e6, 4.0)}
        for name, (value, size, p50) in figures.items():
            run.log_metrics({f"{name}/map50": value, f"{name}/size_bytes": size, f"{name}/latency_ms_p50": p50})
        run.log_metrics({"int8/drop": 0.01, "int8/drop_low": -0.02, "int8/drop_high": 0.04, "train_seconds": 90})
    assert run.id is not None
    return run.id


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingConfig]:
    """One store: a new database takes MLflow seconds."""
    yield TrackingConfig(uri=f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", experiment="board")
    import mlflow

    mlflow.set_tracking_uri(None)


def test_columns_are_main_figures_costs_and_what_differs() -> None:
    params = {"epochs": "5", "batch_size": "8", "output_dir": "a", "model.name": "tiny"}
    others = params | {"epochs": "9", "output_dir": "b", "model.name": "lite0"}
    metrics = {"float32/map50": 0.5, "int8/map50": 0.4, "int8/size_bytes": 1.0, "loss": 3.0}
    runs = [Noted(name, name, of, metrics, {MAIN_METRIC: "map50"}) for name, of in (("a", params), ("b", others))]
    found = compose("key", "title", runs, "")
    assert found.params == ["epochs", "batch_size", "model.name"]
    assert found.metrics == ["float32/map50", "int8/map50", "int8/size_bytes"]
    assert [chart["type"] for chart in found.charts] == ["SCATTER", "PARALLEL", "BAR"]
    assert found.charts[1]["selectedParams"] == ["epochs", "model.name"]
    assert found.folded == ["Model metrics", "float32", "int8"]


def test_a_description_holds_the_table_and_never_replaces_a_persons(settings: TrackingConfig) -> None:
    from mlflow import MlflowClient

    run_id = record(settings, 3)
    describe_run(run_id, "/there/index.html")
    tell_runs(settings)
    client = MlflowClient()
    note = client.get_run(run_id).data.tags[NOTE]
    assert "| int8 | 0.490 | +0.010 [−0.020, +0.040] | 3.00 | 4.0 |" in note and "`/there/index.html`" in note
    experiment = client.get_experiment_by_name("board")
    assert (
        "| epochs=3 | trees | map50 | 0.500 | 0.490 | +0.010 [−0.020, +0.040] | 3.00 | 4.0 | 1.5 |"
        in (experiment.tags[NOTE])
    )
    client.set_tag(run_id, NOTE, "mine")
    client.set_experiment_tag(experiment.experiment_id, NOTE, "ours")
    describe_run(run_id, "/there/index.html")
    tell_runs(settings)
    assert client.get_run(run_id).data.tags[NOTE] == "mine"
    assert client.get_experiment_by_name("board").tags[NOTE] == "ours"


def test_a_taken_port_is_refused_with_what_to_do(settings: TrackingConfig) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(MiradaError, match=rf"port {port} .* can't be had .* UI=port="):
            ui.run(UiConfig(uri=settings.uri, port=port))


def test_a_server_that_is_away_costs_a_line(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tell_runs(TrackingConfig(uri=f"http://127.0.0.1:{free_port()}"))
    assert capsys.readouterr().out.startswith("MLflow did not take the view of its runs: ")


def test_what_many_stages_tell_is_told_once_at_their_end(
    settings: TrackingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    record(settings, 3)
    capsys.readouterr()
    with told_once():
        with told_once():
            tell_runs(settings)
            tell_runs(settings)
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out.count("the runs: ") == 1
    with pytest.raises(MiradaError), told_once():
        tell_runs(settings)
        raise MiradaError("a stage failed")
    assert "the runs: " not in capsys.readouterr().out
    tell_runs(settings)
    assert capsys.readouterr().out.count("the runs: ") == 1


@pytest.mark.browser
def test_the_address_opens_on_the_chosen_columns(
    settings: TrackingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on the PATH: install Debian's package chromium")
    record(settings, 1)
    parent = MlflowClient().create_run("1", run_name="sweep epochs=3,5", tags={"sweep": "epochs=3,5"}).info.run_id
    for epochs in (3, 5):
        record(settings, epochs, parent)
    capsys.readouterr()
    with MlflowServer(tmp_path, settings.uri) as server, sync_playwright() as playwright:
        tell_runs(settings, sweep=parent, server=server.uri)
        table, charts = (line.split()[-1] for line in capsys.readouterr().out.splitlines())
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1900, "height": 900})
        page.goto(table)
        for column in ("epochs", "float32/map50", "int8/map50"):
            page.get_by_role("columnheader", name=column, exact=True).first.wait_for(timeout=20_000)
        names = page.locator("[col-id='attributes.`Run Name`'] a").all_inner_texts()
        assert sorted(names) == [
            "epochs=3",
            "epochs=5",
        ]  # the jobs, neither folded into the sweep nor beside other runs
        page.goto(charts)
        page.get_by_text("int8/size_bytes vs. int8/map50").first.wait_for(timeout=20_000)
        browser.close()
