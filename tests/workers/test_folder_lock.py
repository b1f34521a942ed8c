"""Two processes on one folder of results."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mirada.errors import MiradaError
from mirada.workers.folder_lock import alone_in, alone_in_output_dir

SOURCE = Path(__file__).resolve().parents[2] / "src"
HOLD = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mirada.workers.folder_lock import alone_in
with alone_in(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_writes_is_refused_until_that_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "train"
    command = [sys.executable, "-c", HOLD, str(SOURCE), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(MiradaError, match=r"train is being written by another process: wait for it, or give"):
            alone_in_output_dir(lambda config: pytest.fail("it ran"))(SimpleNamespace(output_dir=str(folder)))
        other.kill()
    assert alone_in_output_dir(lambda config: 7)(SimpleNamespace(output_dir=str(folder))) == 7
    assert folder.is_dir(), "it was there before"


def test_a_folder_into_which_nothing_came_goes_again(tmp_path: Path) -> None:
    with pytest.raises(MiradaError), alone_in(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
        raise MiradaError("a mistake.")
    assert list(tmp_path.iterdir()) == []
    with alone_in(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "model").touch()
    assert (tmp_path / "a" / "b" / "model").is_file()


def test_what_cannot_be_locked_is_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for name in ("file", "s3://bucket/results"):
        with alone_in(Path(name)):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
