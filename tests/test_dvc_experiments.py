"""DVC's own experiments: queued, run in copies of the project, shown side by side."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.types import Quote, QuotedString
from PIL import Image

from mirada import project, tracking
from mirada.config import TrackingConfig

PROJECT = Path(__file__).resolve().parents[1]
SMALL = ("fetch.data=shapes", "preprocess.input_size=64", "preprocess.workers=1", "train.model=tiny")


def test_a_copy_that_dvc_made_records_in_the_project_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for copy in (".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/standalone/tmpabc"):
        monkeypatch.setattr(project, "PROJECT", Path("/home/me/project") / copy)
        assert tracking.tracking_uri(TrackingConfig()) == "sqlite:////home/me/project/mlruns/mlflow.db"
        assert tracking.pending_dir(TrackingConfig()) == Path("/home/me/project/mlruns/pending")
    monkeypatch.setattr(project, "PROJECT", Path("/home/me/.dvc/project"))
    assert tracking.project_root() == Path("/home/me/.dvc/project")


class Project:
    """A repository of its own with this one's files, as they are now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc"),
            "DVC_SITE_CACHE_DIR": str(folder / "dvc"),
            **{f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self.environment.pop("MLFLOW_TRACKING_URI", None)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).is_file() and name != "dvc.lock":  # what it names is not in this cache
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, self.folder / name)
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "as it is")

    def run(self, *command: str) -> str:
        """Run a command in it, and give what it printed; it must succeed. Its daemons may outlive it."""
        output = self.folder.parent / "output"
        with output.open("w") as file:  # not a pipe, which a daemon would hold open
            done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=file, stderr=subprocess.STDOUT)
        text = output.read_text()
        assert done.returncode == 0, text
        return text

    def work_off_queue(self, timeout_s: float) -> str:
        """Start DVC's queue, wait until it is empty and give its last state."""
        deadline = time.monotonic() + timeout_s
        self.run("dvc", "queue", "start")
        while True:
            time.sleep(2)
            status = self.run("dvc", "queue", "status")
            if "Queued" not in status and "Running" not in status:
                return status
            assert time.monotonic() < deadline, status


@pytest.mark.slow
def test_queued_experiments_run_in_copies_and_are_compared(tmp_path: Path) -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    project = Project(tmp_path)
    settings = [word for setting in (*SMALL, "train.epochs=1,2") for word in ("-S", setting)]
    project.run("dvc", "exp", "run", *settings, "--queue", "train")
    try:
        status = project.work_off_queue(timeout_s=600)
    finally:
        project.run("dvc", "queue", "stop", "--kill")
    assert status.count("Success") == 2, status
    shown = ("dvc", "exp", "show", "--csv", "--no-pager", "--drop", ".*", "--keep", r"Experiment|State|train\.")
    rows = list(csv.DictReader(project.run(*shown).splitlines()))
    assert sorted((row["train.epochs"], row["train.model"]) for row in rows if row["State"] == "Success") == [
        ("1", "tiny"),
        ("2", "tiny"),
    ]
    assert project.run("git", "status", "--porcelain") == ""  # the project itself was not touched
    check_runs(f"sqlite:///{project.folder}/mlruns/mlflow.db")


ODD = 'é (1) #=it\'s "so" [x], $HOME 50% ~&'


@pytest.mark.slow
def test_a_folder_of_any_name_by_params_and_by_dvc(tmp_path: Path) -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    project, folder = Project(tmp_path), tmp_path / ODD
    for number in range(12):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (20 * number, 9, 9)).save(folder / "ab"[number % 2] / f"{number}.png")
    params = project.folder / "params.yaml"
    chosen = yaml.safe_load(params.read_text())
    chosen["fetch"] = {"data": "folder", "path": str(folder)}
    params.write_text(yaml.safe_dump(chosen, allow_unicode=True))
    assert "6 a, 6 b" in project.run("dvc", "repro", "preprocess")
    project.run("git", "checkout", "-q", "params.yaml")
    other = folder.rename(tmp_path / f"{ODD} 2")
    # DVC reads -S by Hydra's grammar, which wants quotes round such a path.
    quoted = QuotedString(str(other), Quote.single).with_quotes()
    said = project.run("dvc", "exp", "run", "-S", "fetch.data=folder", "-S", f"fetch.path={quoted}", "fetch")
    assert "12 files" in said
    assert yaml.safe_load(params.read_text())["fetch"]["path"] == str(other)


def check_runs(uri: str) -> None:
    """The copies are gone; their runs are in the project."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs: list[Any] = client.search_runs(experiments)
    assert sorted((run.data.params["epochs"], run.info.status) for run in runs) == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]
    assert all(client.list_artifacts(run.info.run_id, "train") for run in runs)
