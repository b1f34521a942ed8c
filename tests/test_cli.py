"""What a user's mistake looks like at the command line: real processes, their stderr and their exit status."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from mirada import cli

SOURCE = Path(__file__).resolve().parents[1] / "src"


def run(folder: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SOURCE / f"{script}.py"), *arguments]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train epohcs=3", "unknown key epohcs: did you mean epochs?"),
        ("train augment.huee=0.1", "unknown key augment.huee: did you mean augment.hue?"),
        ("train qqq=1", "unknown key qqq: --help lists every key."),
        ("train +qqq=1", "unknown key qqq: --help lists every key."),
        ("train -m epohcs=1,2", "unknown key epohcs: did you mean epochs?"),
        ("preprocess -m qualty=80,90", "unknown key qualty: did you mean quality?"),
        ("train epochs=ten", "epochs: Value 'ten' of type 'str' could not be converted to Integer."),
        ("train epochs=0", "epochs must be at least 1, got 0; set epochs to 1 or more."),
        (
            "train model=huge",
            "model=huge: there is no such option, choose one of lite0, lite1, lite2, mcu, mobilenet_v2, study1, study3, "
            "tiny.",
        ),
        (
            "train epochs=[1,",
            "'epochs=[1,' can't be read: write key=value, and quote a value that holds brackets or commas.",
        ),
        ("train --epochs=3", "--epochs=3 is no option: write epochs=3, without dashes."),
        ("fetch data=voc", "data=voc needs your own files: add data.path=<folder or .tar/.tar.gz/.zip archive>."),
        ("experiment data=shapes train.epohcs=3", "in the section train: unknown key epohcs: did you mean epochs?"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: str, sentence: str) -> None:
    before = time.monotonic()
    done = run(tmp_path, *arguments.split())
    assert done.stderr == f"error: {sentence}\n"
    assert done.returncode == 1
    assert not (tmp_path / "mlflow.db").exists()
    assert time.monotonic() - before < 10  # 0.7 s alone; the machine may be busy


def test_missing_earlier_stage_names_the_command_to_run(tmp_path: Path) -> None:
    done = run(tmp_path, "train")
    assert done.stderr == (
        "error: data/processed/dataset.json is missing: run the preprocess stage first (`dvc repro preprocess`).\n"
    )
    assert done.returncode == 1


def test_every_failed_job_of_a_sweep_is_named_once(tmp_path: Path) -> None:
    done = run(tmp_path, "train", "-m", "epochs=0,1", "tracking.enabled=false")
    assert done.stderr.splitlines() == [
        "job 0 (epochs=0 tracking.enabled=False) failed: epochs must be at least 1, got 0; set epochs to 1 or more.",
        "job 1 (epochs=1 tracking.enabled=False) failed: data/processed/dataset.json is missing: run the preprocess "
        "stage first (`dvc repro preprocess`).",
        "error: jobs that failed in this sweep: 2, named above with the reason.",
    ]
    assert done.returncode == 1


def ended(mode: RunMode, error: Exception) -> JobReturn:
    """What Hydra holds of job 3, which failed."""
    hydra_cfg = OmegaConf.create({"hydra": {"mode": mode, "job": {"num": 3}}})
    job = JobReturn(overrides=["epochs=1"], hydra_cfg=hydra_cfg, status=JobStatus.FAILED)
    job.return_value = error
    cli.FailedJobs().on_job_end(hydra_cfg, job)
    return job


def test_a_failed_job_of_another_process_is_counted_once_in_that_of_the_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_failed", set())
    sent = pickle.dumps(ended(RunMode.MULTIRUN, cli.MiradaError("no data.")))
    assert not cli._failed
    job = pickle.loads(sent)
    assert (job.return_value, job.return_value) == (None, None)
    assert cli._failed == {3}
    assert job.status is JobStatus.FAILED  # as other callbacks and a search see it
    assert str(job._return_value) == "no data."
    assert capsys.readouterr().err == "job 3 (epochs=1) failed: no data.\n"


def test_a_failed_single_run_raises_its_error_and_adds_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    job = ended(RunMode.RUN, cli.MiradaError("no data."))
    with pytest.raises(cli.MiradaError, match=r"^no data\.$"):
        _ = job.return_value
    assert capsys.readouterr().err == ""


def test_a_defect_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import hydra\nfrom mirada.cli import launch\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(cfg):\n    raise ZeroDivisionError('ours')\n"
        "launch(main)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "hydra.run.dir=out"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: ours" in done.stderr
    assert done.returncode == 1


def test_a_stage_of_dvc_leaves_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/dvc/train").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["train.py", "hydra.run.dir=outputs/dvc/train"])
    cli.launch(lambda: time.sleep(0.3))
    name, seconds = (tmp_path / "outputs/dvc/train/seconds.txt").read_text().split()
    assert name == "train" and 0.3 <= float(seconds) < 5


def run_unread(folder: Path, *command: str) -> tuple[int, str]:
    """Status and stderr of a Python process whose stdout is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, *command], cwd=folder, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    return done.returncode, done.stderr.decode()


def launched(body: str) -> tuple[str, str]:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from mirada.cli import launch; {body}"
    return "-c", code


@pytest.mark.parametrize(
    "arguments",
    ["train --help", "train --info config"],
)
def test_a_command_whose_reader_has_left_ends_without_a_word(tmp_path: Path, arguments: str) -> None:
    script, *rest = arguments.split()
    assert run_unread(tmp_path, str(SOURCE / f"{script}.py"), *rest) == (141, "")


def test_a_table_whose_reader_has_left_ends_without_a_word(tmp_path: Path) -> None:
    body = "from mirada.tables import Table; launch(lambda: Table(['a'], [['b']]).show('c'))"
    assert run_unread(tmp_path, *launched(body)) == (141, "")


def test_a_sweep_whose_reader_has_left_begins_no_further_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_closed", lambda: [1])
    job = ended(RunMode.MULTIRUN, BrokenPipeError())
    with pytest.raises(BrokenPipeError):
        _ = job.return_value
    assert capsys.readouterr().err == ""


def test_a_mistake_is_told_though_nobody_reads_the_output(tmp_path: Path) -> None:
    status = run_unread(tmp_path, str(SOURCE / "train.py"), "epochs=0")
    assert status == (1, "error: epochs must be at least 1, got 0; set epochs to 1 or more.\n")


def test_another_broken_pipe_is_a_defect_with_its_traceback(tmp_path: Path) -> None:
    body = "import os; r, w = os.pipe(); os.close(r); launch(lambda: os.write(w, b'x'))"
    done = subprocess.run([sys.executable, *launched(body)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "BrokenPipeError: [Errno 32] Broken pipe")
