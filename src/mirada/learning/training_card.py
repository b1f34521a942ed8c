"""The card that a model has from the start of its training."""

from __future__ import annotations

from dataclasses import asdict

from mirada.config import TASKS, TrainConfig
from mirada.config.influence import shaping_settings, teacher_digest
from mirada.data.records import Dataset
from mirada.inference.card import Card
from mirada.learning.models import input_scaling
from mirada.learning.tasks import learning_task
from mirada.project import git_state


def make_card(config: TrainConfig, dataset: Dataset) -> Card:
    """The card of a model that is yet to be trained: all that is known of it before.

    Args:
        config: the training's settings; which network, and how it is trained.
        dataset: what it is trained on.
    """
    learning, (scale, offset) = learning_task(dataset.task), input_scaling(config.model)
    commit, dirty = git_state()
    training = shaping_settings(config)
    if config.teacher is not None:
        training["teacher"] = {"model_dir": config.teacher, "sha256": teacher_digest(config.teacher)}
    return Card(
        task=dataset.task,
        labels=dataset.classes,
        input_size=dataset.input_size,
        channels=dataset.channels,
        fit=dataset.fit,
        enhance=dataset.enhance,
        tile_size=dataset.tile[0],
        tile_overlap=dataset.tile[1],
        depth_range=dataset.depth_range,
        object_sizes=dataset.object_sizes() if TASKS[dataset.task] != "label" else [],
        input_scale=scale,
        input_offset=offset,
        strides=learning.strides(config.model),
        outputs=learning.output_names(config.model, len(dataset.classes)),
        dataset=dataset.name,
        data_digest=dataset.digest,
        model=asdict(config.model),
        training=training,
        git_commit=commit,
        git_dirty=dirty,
    )
