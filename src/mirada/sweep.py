"""Sweeps (`-m`): the parent run of the jobs."""

from __future__ import annotations

import os
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mirada import tracking
from mirada.config import TrackingConfig
from mirada.sweep_runs import FinishedRun, find_finished

__all__ = ["FinishedRun", "SweepRun", "find_finished"]


class SweepRun(Callback):
    """Gives the jobs of `python src/train.py -m ...` a parent run, which ends as FAILED when one of them did."""

    def __init__(self) -> None:
        self._failed = 0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the parent, where the stage records runs of its own."""
        if config.hydra.job.config_name != "train" or not config.tracking.enabled:
            return
        settings = OmegaConf.to_object(config.tracking)
        assert isinstance(settings, TrackingConfig)
        tracking.connect(settings)
        import mlflow

        overrides = " ".join(config.hydra.overrides.task)
        experiment = mlflow.get_experiment_by_name(settings.experiment)
        assert experiment is not None
        tags = {"sweep": overrides, "mlflow.runName": f"sweep {overrides}"}
        run = mlflow.MlflowClient().create_run(experiment.experiment_id, tags=tags)
        os.environ[tracking.PARENT] = run.info.run_id

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Count the failed ones."""
        self._failed += job_return.status is JobStatus.FAILED

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Close the parent."""
        parent = os.environ.pop(tracking.PARENT, None)
        if parent is not None:
            import mlflow

            mlflow.MlflowClient().set_terminated(parent, "FAILED" if self._failed else "FINISHED")
