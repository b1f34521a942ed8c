"""Jobs of a sweep that run at the same time, in processes of their own (joblib, submitit, Ray)."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import sys
import threading
import time
import warnings
from typing import Any, TextIO

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mirada.project import SOURCES
from mirada.workers.cores import available_cores, take_share

_WATCH = "mirada follows the sweep"


class ParallelJobs(Callback):
    """Gives each job its cores and its name on its lines, and ends it with the sweep; does nothing for single jobs.

    Hydra pickles its callbacks into the processes of the jobs, with what `on_multirun_start` notes here.
    """

    def __init__(self) -> None:
        self._sweep = os.getpid()
        self._cores: list[int] = []
        self._jobs = 1  # at the same time on this machine

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """In the sweep's own process: note how many jobs will share the machine."""
        self._sweep, self._cores = os.getpid(), available_cores()
        self._jobs = _jobs_at_once(config)
        if launcher_of(config) == "SlurmLauncher" and shutil.which("srun") is None:
            sys.exit(
                "error: hydra/launcher=slurm found no srun here: type it where Slurm is, or try local_queue instead."
            )
        if launcher_of(config) != "BasicLauncher":  # processes that are started elsewhere import Mirada, too
            path = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
            os.environ["PYTHONPATH"] = os.pathsep.join(path)
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing phones home
        # joblib starts a process anew when TensorFlow has made it grow, which is nothing to worry about
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """In the job's process: take a share of the cores, before TensorFlow counts them."""
        launcher = launcher_of(config)
        if os.getpid() == self._sweep:
            return
        if launcher == "RayLauncher":  # on whichever machine Ray chose
            cores = available_cores()
            take_share(f"ray {self._sweep}", int(len(cores) // config.hydra.launcher.ray.remote.num_cpus) or 1, cores)
        if self._jobs > 1:
            take_share(str(self._sweep), self._jobs, self._cores)
        if launcher == "JoblibLauncher":  # the jobs write on the sweep's terminal
            os.environ["TTY_COMPATIBLE"] = "0"  # no progress bars, which would overwrite each other
            _end_with(self._sweep)
            sys.stdout = _Named(_bare(sys.stdout), f"[{config.hydra.job.num}] ")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """See that a failure can be sent to the sweep's process: not every library's error can be pickled."""
        sys.stdout = _bare(sys.stdout)
        if job_return.status is not JobStatus.FAILED or os.getpid() == self._sweep:
            return
        error = job_return._return_value
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            job_return.return_value = RuntimeError(f"{type(error).__name__}: {error}")


def launcher_of(config: DictConfig) -> str:
    """The class of the launcher: BasicLauncher, JoblibLauncher, LocalLauncher and SlurmLauncher (submitit), RayLauncher."""
    return str(config.hydra.launcher._target_).rpartition(".")[2]


def _jobs_at_once(config: DictConfig) -> int:
    """How many jobs run at the same time on this machine; 1 where they run elsewhere."""
    launcher, jobs = launcher_of(config), _count_jobs(config)
    if launcher == "JoblibLauncher":
        from joblib import effective_n_jobs

        return min(effective_n_jobs(config.hydra.launcher.n_jobs), jobs or sys.maxsize)
    return jobs or 1 if launcher == "LocalLauncher" else 1  # submitit starts all at once


def _count_jobs(config: DictConfig) -> int | None:
    """The number of combinations on the command line; None where Hydra's own sweeper doesn't make them, or by a glob."""
    if not str(config.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return None
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    words: Any = OmegaConf.to_container(config.hydra.overrides.task)  # as typed: nothing in them is looked up yet
    said = OverridesParser.create().parse_overrides([*params, *(str(word) for word in words)])
    swept = {override.get_key_element(): override for override in said if override.is_sweep_override()}
    if any(override.value_type is ValueType.GLOB_CHOICE_SWEEP for override in swept.values()):
        return None
    return math.prod(len(list(override.sweep_string_iterator())) for override in swept.values())


def _end_with(parent: int) -> None:
    """End this process, from now on, when the sweep's is gone: killed, it can tell nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.getppid() == parent and not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=watch, name=_WATCH, daemon=True).start()


class _Named:
    """A text stream that puts a name before each line, so that lines of several jobs can be told apart."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream, self._name, self._line = stream, name, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        if lines:
            self.stream.write("".join(f"{self._name}{line}\n" for line in lines))  # at once: jobs share the terminal
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _bare(stream: Any) -> Any:
    return stream.stream if isinstance(stream, _Named) else stream
