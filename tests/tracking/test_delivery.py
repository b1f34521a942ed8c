"""MLflow's server in the middle of runs: eight writers on PostgreSQL, a server that goes away and comes back."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirada import tracking
from mirada.config import SyncConfig, TrackingConfig
from mirada.errors import MiradaError
from mirada.stages import sync
from mirada.tracking import delivery as tracking_delivery
from mirada.tracking.store import StoreAway
from tests.servers import Line, MlflowServer, postgres, postgres_binaries, until
from tests.tracking.test_tracking import card

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL: install Debian's package postgresql")
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, MlflowServer(folder, store) as started:
        yield started


@pytest.fixture
def line(server: MlflowServer) -> Iterator[Line]:
    way = Line(server)
    way.mend()
    yield way
    way.cut()


@pytest.fixture
def settings(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingConfig:
    monkeypatch.delenv(tracking.PARENT, raising=False)
    monkeypatch.setattr(tracking, "LAST_WAIT_S", 0.1)
    return TrackingConfig(uri=line.uri, experiment="away", pending_dir=str(tmp_path / "pending"))


def read(server: MlflowServer, run_id: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(server.uri).get_run(run_id)


def losses(server: MlflowServer, run_id: str) -> list[tuple[int, float]]:
    import mlflow

    history = mlflow.MlflowClient(server.uri).get_metric_history(run_id, "loss")
    return sorted((metric.step, metric.value) for metric in history)


def text_of(server: MlflowServer, run_id: str, name: str, folder: Path) -> str:
    import mlflow

    return Path(mlflow.MlflowClient(server.uri).download_artifacts(run_id, name, str(folder))).read_text()


def test_eight_writers_lose_nothing_though_the_server_is_killed_meanwhile(server: MlflowServer, tmp_path: Path) -> None:
    """Eight processes open eight runs at once in a fresh experiment; the server is killed and started in the middle."""
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "import mlflow, mirada.tracking as tracking\nfrom mirada.config import TrackingConfig\n"
        "from mirada.tracking import delivery\ndelivery.RETRY_S = 2.0\n"
        "tracking.LAST_WAIT_S = 90.0\n"
        "folder, uri = Path(sys.argv[1]), sys.argv[2]\n"
        "settings = TrackingConfig(uri=uri, experiment='eight', pending_dir=str(folder / 'pending'))\n"
        "def write(number):\n"
        "    with tracking.start_run(settings, f'writer {number}') as run:\n"
        "        run.log_params({'number': number})\n"
        "        run.log_metrics({'loss': 1.0}, step=1)\n"
        "        (folder / f'open{number}').touch()\n"
        "        while not (folder / 'killed').exists(): time.sleep(0.05)\n"
        "        for step in range(2, 40): run.log_metrics({'loss': 1 / step}, step=step)\n"
        "        (folder / f'file{number}').write_text(str(number))\n"
        "        run.log_artifacts(folder / f'file{number}', 'train')\n"
        "        (folder / f'file{number}').write_text('changed')\n"
        "        run.set_tags({'late': str(number)})\n"
        "children = []\n"
        "for number in range(8):\n"
        "    if not (pid := os.fork()):\n"
        "        write(number); sys.stderr.flush(); os._exit(0)\n"
        "    children.append(pid)\n"
        "sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))\n"
    )
    writers = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), server.uri],
        cwd=SOURCE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(tmp_path.glob("open*"))) < 8:
        assert writers.poll() is None, writers.communicate()
        time.sleep(0.1)
    server.kill()
    (tmp_path / "killed").touch()
    while len(list((tmp_path / "pending").glob("*/journal.jsonl"))) < 8:
        assert writers.poll() is None, writers.communicate()
        time.sleep(0.1)
    server.start()
    out, err = writers.communicate(timeout=150)
    assert writers.returncode == 0, err
    assert err.count(f"MLflow at {server.uri} does not answer: metrics are kept in {tmp_path}/pending/") == 8
    assert err.count(f"MLflow at {server.uri} answers again: ") == 8
    assert len(err.splitlines()) == 16, err
    import mlflow

    client = mlflow.MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("eight")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["number"] for run in runs) == [str(number) for number in range(8)]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert losses(server, run.info.run_id) == [(step, 1 / step) for step in range(1, 40)]
        number = run.data.params["number"]
        assert run.data.tags["late"] == number
        assert text_of(server, run.info.run_id, f"train/file{number}", tmp_path) == number
    assert not list((tmp_path / "pending").iterdir())


def test_what_a_server_missed_is_sent_by_the_run_itself_when_it_is_back(
    server: MlflowServer,
    line: Line,
    settings: TrackingConfig,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with tracking.start_run(settings) as run:
        assert run.id
        run.log_metrics({"loss": 1.0}, step=1)
        line.cut()
        before = time.monotonic()
        for step in (2, 3):
            run.log_metrics({"loss": float(step)}, step=step)
        run.log_params({"epochs": 4})
        assert time.monotonic() - before < 5
        line.mend()
        monkeypatch.setattr(tracking_delivery, "RETRY_S", 0.0)
        run.log_metrics({"loss": 4.0}, step=4)
        assert losses(server, run.id) == [(step, float(step)) for step in (1, 2, 3, 4)]
    assert read(server, run.id).info.status == "FINISHED"
    assert capfd.readouterr().err.splitlines() == [
        f"MLflow at {line.uri} does not answer: metrics are kept in {settings.pending_dir}/{run.id} "
        "and sent when it does.",
        f"MLflow at {line.uri} answers again: 4 entries kept meanwhile were sent.",
    ]


def test_later_stages_add_to_a_run_whose_server_is_still_away_and_sync_sends_all(
    server: MlflowServer, line: Line, settings: TrackingConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run(settings) as run:
        line.cut()
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_text("hello", "config/train.json")
    assert run.id
    assert read(server, run.id).info.status == "RUNNING"
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"MLflow at {line.uri} still does not answer: what this run recorded waits in {settings.pending_dir}/{run.id}; "
        "`python src/sync.py` sends it."
    )
    (tmp_path / "int8.tflite").write_text("model")
    with tracking.resume_run(settings, card(run.id)) as again:
        again.log_artifacts(tmp_path / "int8.tflite", "quantize")
        again.log_metrics({"int8/size_bytes": 5.0})
    (tmp_path / "int8.tflite").unlink()
    command = [sys.executable, str(SOURCE / "sync.py"), f"pending_dir={settings.pending_dir}"]
    away = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (away.returncode, away.stdout) == (1, "")
    assert away.stderr.startswith(f"error: MLflow at {line.uri} does not answer (connection refused): ")
    line.mend()
    sent = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == f"1/1 run {run.id}: 6 entries sent ({line.uri})\n"
    found = read(server, run.id)
    assert found.info.status == "FINISHED" and found.data.metrics["int8/size_bytes"] == 5.0
    assert losses(server, run.id) == [(1, 1.0)]
    assert text_of(server, run.id, "config/train.json", tmp_path) == "hello"
    assert text_of(server, run.id, "quantize/int8.tflite", tmp_path) == "model"
    assert not list(Path(str(settings.pending_dir)).iterdir())
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert capfd.readouterr().out.endswith(f"nothing waits in {settings.pending_dir}\n")


def test_a_server_that_falls_silent_costs_seconds_and_loses_nothing(
    server: MlflowServer, line: Line, settings: TrackingConfig
) -> None:
    """MLflow's own call would wait a minute."""
    with tracking.start_run(settings) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        with server.frozen():
            before = time.monotonic()
            for step in (2, 3):
                run.log_metrics({"loss": float(step)}, step=step)
            assert time.monotonic() - before < 10
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert run.id and losses(server, run.id) == [(step, float(step)) for step in (1, 2, 3)]


def test_figures_of_the_machine_outlive_a_server_that_goes_away(
    server: MlflowServer, line: Line, settings: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own loop ends at the first answer that it misses."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with tracking.start_run(settings) as run:
        line.cut()
        folder = Path(str(settings.pending_dir)) / str(run.id)
        until(lambda: (folder / "journal.jsonl").read_text().count("system/cpu") >= 3, 30)
    line.mend()
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert run.id
    assert read(server, run.id).data.metrics["system/cpu_utilization_percentage"] >= 0
    import mlflow

    history = mlflow.MlflowClient(server.uri).get_metric_history(run.id, "system/cpu_utilization_percentage")
    assert [metric.step for metric in history] == list(range(len(history))) and len(history) >= 3


def test_a_failed_run_whose_server_is_away_ends_as_failed_later(
    server: MlflowServer, line: Line, settings: TrackingConfig
) -> None:
    with pytest.raises(ValueError, match="no luck"), tracking.start_run(settings) as run:
        line.cut()
        raise ValueError("no luck")
    line.mend()
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert run.id
    found = read(server, run.id)
    assert found.info.status == "FAILED" and found.data.tags["error"] == "no luck"


def test_entries_that_arrived_before_a_kill_are_not_doubled(
    server: MlflowServer, line: Line, settings: TrackingConfig
) -> None:
    """`sent.json` is written after an entry has arrived: a kill between the two sends it again."""
    with tracking.start_run(settings) as run:
        line.cut()
        for step in (1, 2):
            run.log_metrics({"loss": float(step)}, step=step)
            run.log_params({"a": 1})
    assert run.id
    folder = Path(str(settings.pending_dir)) / run.id
    journal = (folder / "journal.jsonl").read_bytes()
    header = (folder / "run.json").read_bytes()
    line.mend()
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(journal)
    (folder / "run.json").write_bytes(header)
    sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert losses(server, run.id) == [(1, 1.0), (2, 2.0)]


def test_what_the_server_refuses_is_told_and_set_aside(
    server: MlflowServer, line: Line, settings: TrackingConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run(settings) as run:
        run.log_params({"epochs": 1})
        run.log_params({"epochs": 2})  # MLflow lets no param change
        assert "refuses params, which are left out" in capfd.readouterr().err
        line.cut()
        run.log_params({"epochs": 3})
        run.log_metrics({"loss": 1.0}, step=1)
    assert run.id
    line.mend()
    with pytest.raises(MiradaError, match=rf"Run {run.id}: MLflow refused 1 entries .*refused.jsonl"):
        sync.run(SyncConfig(pending_dir=settings.pending_dir))
    assert losses(server, run.id) == [(1, 1.0)]
    assert read(server, run.id).info.status == "FINISHED"
    refused = (Path(str(settings.pending_dir)) / run.id / "refused.jsonl").read_text()
    assert json.loads(refused)["params"] == {"epochs": "3"}
    sync.run(SyncConfig(pending_dir=settings.pending_dir))  # does not try again


def test_a_server_that_is_down_at_the_start_is_an_error(line: Line, settings: TrackingConfig) -> None:
    line.cut()
    before = time.monotonic()
    with pytest.raises(StoreAway, match=line.uri), tracking.start_run(settings):
        pass
    assert time.monotonic() - before < 10


def test_a_job_of_a_sweep_waits_for_its_server(
    line: Line, settings: TrackingConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, tracking.PARENT, "0" * 32)
    line.cut()
    threading.Timer(1, line.mend).start()
    assert tracking.check(settings) == line.uri
    assert capfd.readouterr().err == f"waiting 120 s for MLflow at {line.uri}, which does not answer\n"


def test_runs_in_a_database_without_a_server(server: MlflowServer, tmp_path: Path) -> None:
    plain = server.store.replace("+psycopg2", "")
    settings = TrackingConfig(uri=plain, experiment="direct", pending_dir=str(tmp_path / "pending"))
    with tracking.start_run(settings) as run:
        run.log_metrics({"loss": 1.0}, step=1)
    assert run.id and losses(server, run.id) == [(1, 1.0)]
