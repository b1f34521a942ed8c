"""The Makefile, with a DVC that only writes down how it was called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
NO_SCM = "config --local core.no_scm true"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without Git, whose name has what shells take for something else."""
    folder = tmp_path / "d'\xe9t\xe9 (2) & more"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".dvc").mkdir()
    (folder / "requirements.lock").touch()
    shutil.copy(PROJECT / "Makefile", folder)
    dvc = folder / ".venv" / "bin" / "dvc"
    dvc.write_text('#!/bin/sh\necho "$@" >> called\n[ "$1" != config ] || echo no_scm > .dvc/config.local\n')
    dvc.chmod(0o755)
    (folder / ".venv" / ".made").touch()
    return folder


def make_run(folder: Path) -> tuple[list[str], str]:
    """How DVC was called, and what was printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "GIT_"))}
    ended = subprocess.run(["make", "run"], cwd=folder, env=env, capture_output=True, text=True, check=True)
    calls = (folder / "called").read_text().splitlines()
    (folder / "called").unlink()
    return calls, ended.stdout


def test_a_folder_without_git_is_told_to_dvc_once(folder: Path) -> None:
    calls, printed = make_run(folder)
    assert calls == [NO_SCM, "repro"]
    assert printed.startswith("no Git repository here: DVC goes on without")
    assert f"the page: {folder}/reports/evaluate/index.html" in printed
    assert make_run(folder) == (["repro"], printed.partition("\n")[2])


def test_a_folder_that_became_a_repository_is_one_to_dvc(folder: Path) -> None:
    make_run(folder)
    (folder / ".git").mkdir()
    assert make_run(folder)[0] == ["config --local --unset core.no_scm", "repro"]


def test_a_step_that_fails_ends_make(folder: Path) -> None:
    (folder / ".venv" / "bin" / "dvc").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(subprocess.CalledProcessError):
        make_run(folder)
