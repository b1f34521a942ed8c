"""A teacher beside the labels: without weight it is not there, to itself it says nothing, all ways of training hear it."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from mirada.config import TASKS, AugmentConfig, InputConfig, ModelConfig, TrainConfig
from mirada.data.records import Dataset, load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card, save_card
from mirada.learning.devices import choose_devices
from mirada.learning.models import build_model
from mirada.learning.tasks import learning_task
from mirada.learning.teacher import Teacher
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from mirada.stages import train
from tests.learning.conftest import write_dataset

TINY = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_depth=1)


def untrained(task: str) -> keras.Model:
    return build_model(TINY, task, 64, 3, 2)


def card_of(task: str, **changes: object) -> Card:
    learning = learning_task(task)
    outputs, strides = learning.output_names(TINY, 2), learning.strides(TINY)
    return replace(Card(task, ["red", "blue"], 64, 3, "letterbox", strides, outputs, "d", "0", {}), **changes)


@pytest.fixture
def config(train_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """Of a classifier, which is made in a moment, and of a folder with an untrained one, for a teacher."""
    dataset = write_dataset(tmp_path / "classes", task="classification", train=16, val=0)
    settings = replace(train_config, data_dir=str(dataset.folder), batch_size=8, input=InputConfig(), epochs=1)
    (tmp_path / "large").mkdir()
    untrained("classification").save(tmp_path / "large/model.keras")
    save_card(make_card(settings, dataset), tmp_path / "large/model.json")
    return settings


def epoch_of(config: TrainConfig) -> tuple[dict[str, float], list[np.ndarray]]:
    dataset = load_dataset(config.data_dir)
    trainer = Trainer(config, dataset, choose_devices(config.gpus), make_card(config, dataset))
    return trainer.train_epoch(0), trainer.model.get_weights()


@pytest.mark.slow
def test_without_weight_a_teacher_changes_no_bit(config: TrainConfig, tmp_path: Path) -> None:
    (alone, weights), teacher = epoch_of(config), str(tmp_path / "large")
    idle, same = epoch_of(replace(config, teacher=teacher, teacher_weight=0.0))
    assert (idle["loss"], idle["classes"], idle["teacher"]) == (alone["loss"], alone["classes"], 0.0)
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_to_itself_a_teacher_says_nothing(task: str) -> None:
    network, card = untrained(task), card_of(task)
    dataset = Dataset("", "d", task, card.labels, 64, 3, "letterbox", {}, "", {})
    teaching = learning_task(task).make_teaching(TrainConfig(data_dir="", output_dir=""), dataset, card)
    teacher, images = Teacher(network, card, card, teaching), tf.random.uniform((2, 64, 64, 3), -1, 1, seed=1)
    batch = teacher({"image": images, "labels": tf.constant([[0], [1]])})

    def slopes(nudge: float) -> float:
        outputs = {name: value + nudge for name, value in network(images, training=False).items()}
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = teaching(outputs, batch)
        found = [g for g in tape.gradient(loss, list(outputs.values())) if g is not None]
        return max(float(tf.reduce_max(tf.abs(g))) for g in found)

    assert slopes(0.0) < 1e-6
    assert task == "classification" or slopes(0.5) > 1e-3  # to all logits of a classifier 0.5 means nothing


@pytest.mark.parametrize(
    ("size", "scale", "offset", "seen"),
    [(64, 2 / 255, -1.0, 0.2), (128, 1.0, 0.0, 153.0), (32, 1 / 255, 0.0, 0.6)],
)
def test_a_teacher_sees_the_students_pixels_in_its_own_way(size: int, scale: float, offset: float, seen: float) -> None:
    student = card_of("classification", input_scale=2 / 255, input_offset=-1.0)
    card = replace(student, input_size=size, input_scale=scale, input_offset=offset)
    view = Teacher(untrained("classification"), card, student, None).view(tf.fill((1, 64, 64, 3), 0.2))  # pixels of 153
    assert view.shape == (1, size, size, 3)
    np.testing.assert_allclose(view, seen, rtol=1e-5)


@pytest.mark.slow
def test_any_way_of_training_hears_a_teacher_also_when_it_is_resumed(config: TrainConfig, tmp_path: Path) -> None:
    config = replace(
        config, teacher=str(tmp_path / "large"), gpus=2, batch_size=4, accumulate=2, precision="bf16",
        schedule="constant", augment=AugmentConfig(), epochs=2,
    )  # fmt: skip
    train.run(replace(config, epochs=1))
    train.run(replace(config, resume=True))
    with (Path(config.output_dir) / "history.csv").open() as file:
        losses = [[float(row[key]) for key in ("loss", "classes", "teacher")] for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert all(whole == pytest.approx(labels + teacher) and teacher > 0 for whole, labels, teacher in losses)
    told = load_card(config.output_dir).training["teacher"]
    assert told["model_dir"] == str(tmp_path / "large") and len(told["sha256"]) == 64
    untrained("classification").save(tmp_path / "large/model.keras")  # another one at the same place
    with pytest.raises(MiradaError, match="belongs to another training .teacher="):
        train.run(replace(config, resume=True))


def test_a_teacher_of_other_things_is_refused_at_once(config: TrainConfig, tmp_path: Path) -> None:
    taught = replace(config, teacher=str(tmp_path / "large"))
    card = json.loads((tmp_path / "large/model.json").read_text())
    for changes, said in [
        ({"labels": ["red", "green"]}, r"labels=red, green, the data have labels=red, blue: take a teacher"),
        ({"fit": "stretch"}, "fit=stretch, the data have fit=letterbox"),
    ]:
        (tmp_path / "large/model.json").write_text(json.dumps(card | changes))
        with pytest.raises(MiradaError, match=said):
            train.run(taught)
    shutil.copytree(tmp_path / "large", config.output_dir)
    with pytest.raises(MiradaError, match="is output_dir itself"):
        train.run(replace(taught, teacher=config.output_dir))
    with pytest.raises(MiradaError, match=r"teacher=nowhere: there is no nowhere/model.keras: name the folder"):
        train.run(replace(taught, teacher="nowhere"))
