"""Launchers of sweeps: several jobs at once on this machine, and queues."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

import mirada.config  # noqa: F401, Hydra learns the schemas
from mirada.sweeps import parallel_jobs
from mirada.sweeps.parallel_jobs import ParallelJobs
from mirada.workers import cores

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = PROJECT / "src"
linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux holds processes on cores")


def sweep_config(*overrides: str) -> DictConfig:
    """What a callback gets of `python src/train.py -m` with these words."""
    hydra_words = [word for word in overrides if word.lstrip("+").startswith("hydra")]
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=hydra_words, return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.overrides.task = [word for word in overrides if word not in hydra_words]
        cfg.hydra.runtime.output_dir = "out"
    return cfg


@pytest.mark.parametrize(
    ("things", "jobs", "shares"),
    [
        ([0, 1], 2, [[0], [1]]),
        ([0, 1, 2, 3, 4, 5, 6], 3, [[0, 1], [2, 3], [4, 5]]),  # as many each; one stays unused
        ([4, 7], 8, [[4], [7], [4], [7], [4], [7], [4], [7]]),
        ([], 2, [[], []]),
    ],
)
def test_cores_are_shared_out_evenly(things: list[int], jobs: int, shares: list[list[int]]) -> None:
    assert [cores.share(things, jobs, number) for number in range(jobs)] == shares


@linux
def test_processes_that_live_at_the_same_time_have_different_shares_and_a_share_is_free_again() -> None:
    code = (
        "import sys; from mirada.workers.cores import available_cores, take_share\n"
        "cores = available_cores()\n"
        "for _ in range(2): print(take_share(sys.argv[1], 2, cores), flush=True)\n"
        "sys.stdin.readline()"
    )
    name, started = f"test {os.getpid()}", []

    def start() -> tuple[subprocess.Popen[str], str]:
        arguments = [sys.executable, "-c", code, name]
        process = subprocess.Popen(arguments, cwd=SOURCES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        first, again = process.stdout.readline(), process.stdout.readline()
        assert first == again  # a process keeps its share
        return process, first

    try:
        (first, one), (_, two) = start(), start()
        if len(cores.available_cores()) > 1:
            assert one != two
        first.kill()
        first.wait()
        assert start()[1] == one
    finally:
        for process in started:
            process.kill()
            process.communicate()


@linux
def test_gpus_are_counted_from_another_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    held, seen = [], []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, mask: None)
    for _ in range(2):  # as two processes would
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
        monkeypatch.setattr(cores, "_seat", None)
        cores.take_share(f"gpus {os.getpid()}", 2, [0, 1])
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        held.append(cores._seat)
    for seat in held:
        assert seat is not None
        seat.close()
    assert seen == ["0,1,2,3", "2,3,0,1"]


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["epochs=1,2", "gpus=1,2"], 1),  # one after the other
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=8", "epochs=1,2", "gpus=1,2"], 4),  # no more than there are
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "epochs=range(1,9)"], 2),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "epochs=1,2", "data_dir=${hydra:runtime.cwd}/x"], 2),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model=glob(*)"], 2),
        (["hydra/launcher=local_queue", "epochs=1,2,3"], 3),
        (["hydra/launcher=slurm", "epochs=1,2,3"], 1),  # Slurm gives each its cores
    ],
)
def test_jobs_at_the_same_time(words: list[str], jobs: int) -> None:
    assert parallel_jobs._jobs_at_once(sweep_config(*words)) == jobs


def test_an_error_that_can_not_be_pickled_is_sent_as_one_that_can() -> None:
    class Odd(Exception):
        def __init__(self, one: str, other: str) -> None:
            super().__init__(f"{one} {other}")

    job = JobReturn(status=JobStatus.FAILED, _return_value=Odd("no", "luck"))
    callback = ParallelJobs()
    callback._sweep = -1  # this process is a job's
    callback.on_job_end(sweep_config(), job)
    assert str(pickle.loads(pickle.dumps(job._return_value))) == "Odd: no luck"


def test_local_queue_and_ray_are_told_apart_from_typos() -> None:
    def refused(launcher: str) -> str:
        command = [sys.executable, SOURCES / "train.py", "-m", f"hydra/launcher={launcher}", "epochs=1,2"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr.strip()

    assert "choose one of basic, joblib, local_queue" in refused("jobslib")
    if not has_ray():
        expected = "error: hydra/launcher/ray needs a package that is not installed: pip install hydra-ray-launcher."
        assert refused("ray_cluster") == expected


def has_ray() -> bool:
    try:
        import hydra_plugins.hydra_ray_launcher  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(not has_ray(), reason="hydra-ray-launcher is not installed (mirada[ray])")
def test_ray_takes_the_keys_of_ray_cluster() -> None:
    cfg = sweep_config("hydra/launcher=ray_cluster", "hydra.launcher.ray.remote.num_cpus=2")
    HydraConfig.instance().set_config(cfg)
    assert instantiate(cfg.hydra.launcher).ray_cfg.remote.num_cpus == 2


FAKE_SLURM = {
    "srun": 'while [ $# -gt 0 ]; do case "$1" in --output|--error) shift 2;; -*) shift;; *) break;; esac; done; exec "$@"',
    "sacct": 'echo "JobID|State|NodeList"; for i in 0 1; do echo "77_$i|COMPLETED|here"; done',
    "sbatch": 'cp "$1" "$FAKE_SLURM/sbatch.sh"; for i in 0 1; do '
    "SLURM_JOB_ID=77$i SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$i "
    "SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here "
    'bash "$FAKE_SLURM/sbatch.sh" > "$FAKE_SLURM/job$i.log" 2>&1 & done; echo "Submitted batch job 77"',
}


def test_slurm_gets_the_keys_and_each_job_runs_in_its_process(tmp_path: Path) -> None:
    """A Slurm of three scripts stands in for the real one: what is asked of it, and that its jobs find Mirada."""
    for name, script in FAKE_SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    words = "hydra/launcher=slurm hydra.launcher.partition=gpu hydra.launcher.gpus_per_node=2 hydra.launcher.mem_gb=16"
    words += " data=shapes data.source.images=4,-1 hydra.sweep.dir=sweep"
    done = subprocess.run(
        [sys.executable, SOURCES / "fetch.py", "-m", *words.split()],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAKE_SLURM": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    asked = re.findall(r"#SBATCH --(\S+)", (tmp_path / "sbatch.sh").read_text())
    assert {"partition=gpu", "gpus-per-node=2", "mem=16GB", "cpus-per-task=8", "time=720", "array=0-1%2"} <= set(asked)
    assert (tmp_path / "data/raw/shapes/SOURCE.json").is_file(), done.stdout + done.stderr
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: jobs that failed in this sweep: 1")


@pytest.mark.slow
@linux
def test_joblib_jobs_share_the_cores_and_end_with_their_sweep(tmp_path: Path, squares_folder: Path) -> None:
    """Two jobs fail before they begin, two train at the same time; Ctrl-C ends everything."""
    words = "hydra/launcher=joblib hydra.launcher.n_jobs=2 gpus=1,2 epochs=500 batch_size=4000,4 model=tiny"
    words += " warmup_epochs=0"
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlruns/mlflow.db"}
    output = tmp_path / "output"
    with output.open("w") as file:
        sweep = subprocess.Popen(
            [sys.executable, SOURCES / "train.py", "-m", *words.split(), f"data_dir={squares_folder / 'data'}"],
            cwd=tmp_path,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 480
        while not {"1", "3"} <= set(re.findall(r"^\[(\d)\] epoch 1/500", output.read_text(), re.M)):
            assert sweep.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.5)
        family = psutil.Process(sweep.pid).children(recursive=True)
        affinities = [set(process.cpu_affinity()) for process in family if "LokyProcess" in " ".join(process.cmdline())]
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(timeout=30) == 130
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
    finally:
        for process in [*family, psutil.Process()]:
            if process.pid != os.getpid() and process.is_running():
                process.kill()
        sweep.kill()
        sweep.wait()
    text = output.read_text()
    print(text)
    check_output(text, affinities)
    check_runs(environment["MLFLOW_TRACKING_URI"])


def check_output(text: str, affinities: list[set[int]]) -> None:
    if len(cores.available_cores()) > 1:
        assert len(affinities) == 2 and not affinities[0] & affinities[1]
    assert len(re.findall(r"^job \d \(.*batch_size=4000.*\) failed: .*, fewer than batch_size=4000", text, re.M)) == 2
    assert "Traceback" not in text and "Warning" not in text and text.endswith("left half-written.\n")


def check_runs(uri: str) -> None:
    import mlflow

    runs: list[Any] = mlflow.MlflowClient(uri).search_runs(["1"], "tags.cores LIKE '%'")
    assert {run.data.params["gpus"] for run in runs} == {"1", "2"}
    share = max(1, len(cores.available_cores()) // 2)
    assert {run.data.tags["cores"] for run in runs} == {str(share)}
