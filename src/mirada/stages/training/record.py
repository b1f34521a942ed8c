"""What MLflow, and the table of a sweep, get to know of a training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada import tracking
from mirada.config.influence import teacher_digest
from mirada.data.folds import common_digest, fold_settings
from mirada.data.records import Dataset
from mirada.stages.training.batch_sheet import BATCH
from mirada.sweeps import job as sweep_job
from mirada.tasks import get_task
from mirada.tracking.notes import MAIN_METRIC
from mirada.workers.cores import available_threads

if TYPE_CHECKING:
    from mirada.learning.training import Trainer

TIMINGS = ("input_timing.csv", "input_timeline.png")
RESUMED_FROM = "resumed_from"
"""Tag of a run that trained on, for more epochs: the run that its model was begun in."""
RANGE_TEST = "learning_rate.png"
FOUND = ("learning_rate", "backbone_lr_scale")  # what `auto` stood for
_FILES = ("model.json", "model.keras", "history.csv", BATCH, *TIMINGS, RANGE_TEST)


@contextmanager
def record_training(trainer: Trainer, key: str) -> Iterator[tracking.Run]:
    """A run of MLflow around a training; state, card and sweep know its id.

    A resumed training goes on in the run that it began with; with another number of epochs it gets one of its own, which
    tells of all its epochs, as MLflow lets no parameter change.

    Args:
        trainer: before its first step.
        key: of `fingerprint.job_key`.
    """
    config, dataset, card, state = trainer.config, trainer.dataset, trainer.card, trainer.state
    name = f"{dataset.name} {config.model.name} epochs={config.epochs} gpus={config.gpus}"
    tags = sweep_job.job_tags(key, config.output_dir)
    begun, longer = state.run_id, config.epochs != trainer.begun_epochs
    if begun and longer:
        tags |= {RESUMED_FROM: begun}
    resumed = None if longer else begun
    with tracking.start_run(config.tracking, sweep_job.job_name(name), resume_id=resumed, tags=tags) as mlflow_run:
        state.run_id = card.run_id = mlflow_run.id
        card.tracking_uri = mlflow_run.uri
        sweep_job.note(mlflow_run.id, {"gpus_physical": trainer.devices.gpus_physical})
        if not resumed:
            mlflow_run.log_params(_params(trainer))
        for row in state.history if longer else ():
            mlflow_run.log_metrics({key: value for key, value in row.items() if key != "epoch"}, step=int(row["epoch"]))
        _record_settings(mlflow_run, trainer)
        yield mlflow_run


def _params(trainer: Trainer) -> dict[str, Any]:
    dataset, devices, teacher = trainer.dataset, trainer.devices, trainer.config.teacher
    return (
        sweep_job.params_of(trainer.config)
        | {"dataset": dataset.name, "input_size": dataset.input_size, "gpus_physical": devices.gpus_physical}
        | {"replicas": devices.replicas, "cluster_workers": devices.workers}
        | fold_settings(dataset)
        | ({"teacher_sha256": teacher_digest(teacher)} if teacher is not None else {})
    )


def _record_settings(mlflow_run: tracking.Run, trainer: Trainer) -> None:
    config, dataset, card = trainer.config, trainer.dataset, trainer.card
    mlflow_run.set_tags(
        {
            "data_digest": dataset.digest,
            "data_common": common_digest(dataset),
            "git_commit": card.git_commit or "unknown",
            "git_dirty": str(card.git_dirty),
            "task": dataset.task,
            MAIN_METRIC: get_task(dataset.task).main_metric,
            "cores": str(available_threads()),  # times over different numbers of cores are no comparison
        }
    )
    mlflow_run.log_dataset(dataset)
    mlflow_run.log_text(json.dumps(asdict(config), indent=2), "config/train.json")


def record_results(mlflow_run: tracking.Run, trainer: Trainer, seconds: float) -> None:
    """Record what came out: the best epoch's figures, what it took, and the files.

    Args:
        mlflow_run: of `record_training`.
        trainer: after its last epoch, everything written.
        seconds: that the epochs took.
    """
    state = trainer.state
    best = {"best_epoch": state.best_epoch, "train_seconds": seconds}
    best |= {f"best_{key}": value for key, value in trainer.card.metrics.items()}
    steady = state.history[1:] or state.history
    best["train_images_per_s"] = sum(row["images_per_s"] for row in steady) / len(steady)
    best |= {f"found_{key}": rate for key in FOUND if (rate := getattr(state, key)) is not None}
    best |= {"went_back": float(state.guard.returns)} if state.guard.figure is not None else {}
    best |= _preprocess_timing(trainer.dataset)
    mlflow_run.log_metrics(best)
    if state.events:
        mlflow_run.log_text("\n".join(state.events) + "\n", "train/decisions.txt")
    sweep_job.note(figures=best)
    for path in (Path(trainer.config.output_dir) / name for name in _FILES):
        if path.is_file():
            mlflow_run.log_artifacts(path, "train")


def _preprocess_timing(dataset: Dataset) -> dict[str, Any]:
    """What the preprocess stage noted of its own speed, beside its output."""
    path = Path(f"{dataset.folder}.timing.json")
    if not path.is_file():
        return {}
    return {f"preprocess_{key}": value for key, value in json.loads(path.read_text()).items()}
