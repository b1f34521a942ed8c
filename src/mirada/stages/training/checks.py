"""What the stage train refuses before it loads TensorFlow."""

from __future__ import annotations

from mirada.config import BACKBONES, TrainConfig
from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.inference.suitability import check_teacher
from mirada.sweeps import job as sweep_job
from mirada.workers.peers import Cluster


def check_training(config: TrainConfig, dataset: Dataset, cluster: Cluster | None = None) -> None:
    """Refuse a training that can't be.

    Args:
        config: the stage's settings.
        dataset: the processed data.
        cluster: the workers of TF_CONFIG; None: this process trains alone.

    Raises:
        MiradaError: too few images for a step, workers that can't share a batch or the rest of the work, settings that
            exclude one another, a network that is not made for the data's task, or a teacher that is not.
    """
    _check_images(config, dataset)
    if cluster:
        _check_workers(config, cluster)
    _check_xla(config, cluster)
    _check_task(config, dataset)
    if config.teacher is not None:
        check_teacher("teacher", config.teacher, dataset, config.output_dir)


def _check_images(config: TrainConfig, dataset: Dataset) -> None:
    images, taken = dataset.splits["train"]["images"], config.batch_size * config.accumulate
    if images >= taken:
        return
    what = f"batch_size={config.batch_size}" + f" times accumulate={config.accumulate}" * (config.accumulate > 1)
    fewer = f"batch_size to {images // config.accumulate}"
    if images < config.accumulate:
        fewer = f"accumulate to {max(1, images // config.batch_size)}"
    raise MiradaError(f"{config.data_dir} has {images} training images, fewer than {what}: set {fewer} or less.")


def _check_workers(config: TrainConfig, cluster: Cluster) -> None:
    if config.batch_size % (cluster.workers * max(config.gpus, 1)):
        each = f"gpus={config.gpus} times " * (config.gpus > 1)
        raise MiradaError(
            f"batch_size is the global batch and must be a multiple of {each}the {cluster.workers} workers of TF_CONFIG, "
            f"got {config.batch_size}."
        )
    if config.compare_epochs or sweep_job.in_recorded_sweep():
        what = "compare_epochs times the input" if config.compare_epochs else "a sweep trains in processes"
        raise MiradaError(
            f"{what} of one worker, and TF_CONFIG names {cluster.workers}: leave that out, or unset TF_CONFIG."
        )


def _check_xla(config: TrainConfig, cluster: Cluster | None) -> None:
    synchronized = config.sync_batch_norm and config.gpus > 1 or config.sync_batch_norm is not False and cluster
    if config.xla and synchronized:
        raise MiradaError(
            "xla=true compiles what one replica computes by itself, so batch statistics over all replicas can't be in it: "
            "set sync_batch_norm=false, or xla=false, or train with one replica."
        )


def _check_task(config: TrainConfig, dataset: Dataset) -> None:
    tasks = BACKBONES[config.model.backbone]
    if dataset.task not in tasks:
        raise MiradaError(
            f"model={config.model.name} is a network for {' or '.join(tasks)}, {config.data_dir} is made for "
            f"{dataset.task}: use model=lite0, or preprocess with data.task={tasks[0]}."
        )
    if missing := config.model.missing_map(dataset.task):
        raise MiradaError(missing)
