import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mirada.config import TASKS, AugmentConfig, InputConfig, ModelConfig, TrainConfig
from mirada.config.idle import Facts, idle_settings
from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.inference.litert import Model, float_operators
from mirada.learning.devices import choose_devices
from mirada.learning.models import load_model
from mirada.learning.quantization.conversion import convert
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from mirada.stages import train
from mirada.sweeps.search import pruning
from mirada.tasks import get_task
from tests.learning.conftest import make_example, write_dataset

PROJECT = Path(__file__).resolve().parents[2]


def history(folder):
    with (Path(folder) / "history.csv").open() as file:
        return [{key: row[key] for key in ("epoch", "loss", "val_map50")} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_one_stage_leaves_model_card_and_history(train_config, capsys):
    train.run(train_config)
    folder = Path(train_config.output_dir)
    card = load_card(folder)
    assert card.labels == ["red", "blue"] and card.input_size == 64 and card.run_id is None
    assert set(card.outputs) == {"objectness", "classes", "distances"}
    assert len(history(folder)) == 2
    model = load_model(folder / "model.keras")
    out = model(np.zeros((1, 64, 64, 3), np.float32))
    assert out["distances_8"].shape == (1, 8, 8, 4) and out["classes_32"].shape == (1, 2, 2, 2)
    assert "epoch 2/2: loss" in capsys.readouterr().out


@pytest.mark.slow
def test_a_hopeless_training_stops_and_leaves_no_model(train_config, tmp_path, monkeypatch):
    watch = pruning.TrialWatch(tmp_path / "curves.jsonl", after_trials=1, after_epochs=1)
    monkeypatch.setattr(pruning, "watch", lambda: watch)
    watch.finish([{"epoch": 1, "val_map50": 0.0}, {"epoch": 2, "val_map50": 1.1}], "val_map50")
    with pytest.raises(pruning.Pruned, match="stopped after epoch 2"):
        train.run(replace(train_config, epochs=3))
    assert len(history(train_config.output_dir)) == 2
    assert not (Path(train_config.output_dir) / "model.keras").exists()


@pytest.mark.slow
def test_it_learns(train_config):
    config = replace(train_config, epochs=60, learning_rate=1e-2, val_every=10, freeze_epochs=0)
    config.augment = replace(config.augment, scale_min=0.9, scale_max=1.1)
    train.run(config)
    rows = history(config.output_dir)
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert float(rows[-1]["val_map50"]) > 0.3


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_very_same_figures(train_config, tmp_path):
    train.run(replace(train_config, epochs=4, output_dir=str(tmp_path / "unbroken")))
    broken = tmp_path / "broken"
    command = [
        sys.executable, str(PROJECT / "src/train.py"), "model=tiny", "model.width=8", f"data_dir={train_config.data_dir}",
        f"output_dir={broken}", "epochs=4", "batch_size=4", "deterministic=true", "tracking.enabled=false",
        f"hydra.run.dir={tmp_path / 'hydra'}", "warmup_epochs=1.0", "learning_rate=1e-3", "freeze_epochs=0",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    deadline = time.monotonic() + 120
    while not (broken / "checkpoints/state.json").is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (broken / "model.keras").exists()
    done = subprocess.run([*command, "resume=true"], capture_output=True, cwd=tmp_path, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch" in done.stdout
    assert history(broken) == history(tmp_path / "unbroken")
    first, second = (load_model(folder / "model.keras") for folder in (broken, tmp_path / "unbroken"))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_resume_refuses_other_settings(trained, tmp_path):
    shutil.copytree(trained.output_dir, tmp_path / "train")
    again = replace(trained, output_dir=str(tmp_path / "train"), resume=True)
    with pytest.raises(MiradaError, match=rf"learning_rate={trained.learning_rate} then, learning_rate=0.5 now"):
        train.run(replace(again, learning_rate=0.5))
    with pytest.raises(MiradaError, match=rf"has finished {trained.epochs} epochs: set epochs to that"):
        train.run(replace(again, epochs=trained.epochs - 1))


@pytest.mark.slow
def test_a_finished_training_goes_on_with_more_epochs(train_config, tmp_path, capsys):
    constant = replace(train_config, schedule="constant", deterministic=True)
    train.run(replace(constant, epochs=4, output_dir=str(tmp_path / "whole")))
    train.run(replace(constant, epochs=2))
    capsys.readouterr()
    train.run(replace(constant, epochs=4, resume=True))
    assert "resuming after epoch 2, to epochs=4 where 2 were planned\n" in capsys.readouterr().out
    assert history(constant.output_dir) == history(tmp_path / "whole")  # with a constant rate it is the very same
    first, second = (load_model(folder / "model.keras") for folder in (Path(constant.output_dir), tmp_path / "whole"))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_more_epochs_bend_the_cosine_from_there_on_and_that_is_told(train_config, capsys):
    plain = replace(train_config, learning_rate=1e-3, warmup_epochs=0.0)
    train.run(replace(plain, epochs=1))
    train.run(replace(plain, epochs=2, resume=True))
    assert "from here the learning rate follows the cosine of 2 epochs" in capsys.readouterr().out
    with (Path(train_config.output_dir) / "history.csv").open() as file:
        first, second = (float(row["learning_rate"]) for row in csv.DictReader(file))
    # At an epoch's last step: 0.01 + 0.99 (1 + cos(pi t)) / 2, with t = 1 - 1/steps of 1, then (2 - 1/steps) / 2 of 2.
    steps = 12 // train_config.batch_size
    assert first == pytest.approx(1e-3 * (0.01 + 0.99 * (1 + np.cos(np.pi * (1 - 1 / steps))) / 2), rel=1e-4)
    assert second == pytest.approx(1e-3 * (0.01 + 0.99 * (1 + np.cos(np.pi * (2 - 1 / steps) / 2)) / 2), rel=1e-4)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_names_step_and_files(train_config):
    with pytest.raises(MiradaError, match=r"The loss became .* in epoch 1, step \d+, with the images square \d+.png"):
        train.run(replace(train_config, learning_rate=1e30, warmup_epochs=0, clip_norm=1e30, epochs=3))


@pytest.mark.slow
def test_patience_ends_a_training_that_does_not_get_better(train_config, capsys):
    train.run(replace(train_config, epochs=40, patience=1, learning_rate=1e-9))
    assert "stopped early: no better val map50 in 1 epochs" in capsys.readouterr().out
    found = [float(row["val_map50"]) for row in history(train_config.output_dir)]
    assert len(found) < 40 and found[-1] <= found[-2]


def test_fewer_images_than_a_batch(train_config):
    with pytest.raises(MiradaError, match="12 training images, fewer than batch_size=16"):
        train.run(replace(train_config, batch_size=16))


def test_a_damaged_shard_is_named_before_anything_is_trained(train_config, squares):
    shard = squares.shards("train")[1]
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(MiradaError, match="train-00001-of-00002.tfrecord is corrupt"):
        train.run(train_config)


@pytest.mark.slow
def test_two_replicas_take_the_same_first_step_as_one(train_config, squares, tmp_path):
    losses = []
    for gpus in (1, 2):
        config = replace(train_config, gpus=gpus, epochs=1, output_dir=str(tmp_path / str(gpus)))
        devices = choose_devices(gpus)
        assert devices.replicas == gpus == devices.strategy.num_replicas_in_sync
        trainer = Trainer(config, squares, devices, make_card(config, squares))
        trainer.model.trainable = True
        batch = next(iter(devices.strategy.experimental_distribute_dataset(trainer.input.epoch(0))))
        # batch statistics differ between a batch of 4 and two of 2, so compare the loss without them
        parts = devices.strategy.run(lambda b, t=trainer: t.loss(t.model(b["image"], training=False), b), (batch,))
        total = {k: devices.strategy.reduce("SUM", v, axis=None).numpy() for k, v in parts.items()}
        losses.append(total)
    for key in losses[0]:
        assert losses[1][key] == pytest.approx(losses[0][key], rel=1e-4)


def test_devices_say_what_they_are():
    devices = choose_devices(2)
    assert devices.gpus_physical == len(tf.config.list_physical_devices("GPU")[:2])
    assert "2 logical CPU devices stand in for 2 GPUs" in devices.sentence or devices.gpus_physical == 2


@pytest.mark.slow
def test_every_variant_answers_to_the_same_names_and_nearly_the_same(trained, tmp_path):
    folder = Path(trained.output_dir)
    model, card = load_model(folder / "model.keras"), load_card(folder)
    images = [np.asarray(tf.io.decode_image(make_example(n, 2).image)) for n in range(8)]
    expected = model(images[0][None] / np.float32(127.5) - 1)
    sizes = {}
    for variant in ("float32", "float16", "dynamic", "int8"):
        path = tmp_path / f"{variant}.tflite"
        path.write_bytes(convert(model, variant, lambda: images))
        sizes[variant] = path.stat().st_size
        found = Model(path, card).predict(images[0])
        assert set(found) == set(expected)
        for name, value in expected.items():
            spread = float(np.ptp(value.numpy())) + 1e-2
            tolerance = {"float32": 1e-4, "float16": 0.2, "dynamic": 0.5, "int8": 0.5}[variant] * spread
            assert found[name].shape == value.shape
            assert np.abs(found[name] - value.numpy()).max() < tolerance, (variant, name)
    assert sizes["int8"] < sizes["float32"]
    assert float_operators(tmp_path / "int8.tflite") == []
    assert float_operators(tmp_path / "float32.tflite") != []


@pytest.mark.slow
def test_a_training_leaves_a_picture_of_its_first_batch(trained):
    with Image.open(Path(trained.output_dir) / "batch.png") as sheet:
        assert sheet.size == (4 * 326 - 6, 320)  # four images


def test_the_card_is_plain_json(trained):
    content = json.loads((Path(trained.output_dir) / "model.json").read_text())
    assert content["format"] == 3 and content["data_digest"] and {"map50", "map50_95"} <= content["metrics"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "localization"])
def test_every_task_trains_and_resumes_to_the_very_same_figures(task, train_config, tmp_path):
    """With dropout, whose random state has to be part of the checkpoint."""
    dataset = write_dataset(tmp_path / "data", task=task, channels=1)
    config = replace(train_config, data_dir=str(dataset.folder), epochs=3, input=InputConfig(), label_smoothing=0.1)
    config.model = replace(config.model, dropout=0.5)
    train.run(replace(config, output_dir=str(tmp_path / "unbroken")))
    broken = replace(config, output_dir=str(tmp_path / "broken"))
    trainer = Trainer(broken, dataset, choose_devices(1), make_card(broken, dataset))
    next(trainer.fit())
    del trainer
    train.run(replace(broken, resume=True))
    first, second = (load_model(tmp_path / name / "model.keras") for name in ("broken", "unbroken"))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    card = load_card(tmp_path / "broken")
    assert card.task == task and card.channels == 1 and 0 <= card.metrics[get_task(task).main_metric] <= 1
    assert card.training["model"]["dropout"] == 0.5


@pytest.mark.slow
def test_classification_learns(train_config, tmp_path):
    dataset = write_dataset(tmp_path / "data", task="classification", train=24, val=8)
    config = replace(train_config, data_dir=str(dataset.folder), epochs=25, learning_rate=1e-2, freeze_epochs=0)
    config.augment = replace(config.augment, hue=0.0, scale_min=0.9, scale_max=1.1)
    train.run(replace(config, tune_threshold="balanced_accuracy", measure_train=True))
    card = load_card(config.output_dir)
    assert card.metrics["accuracy"] == 1.0 and 0 < card.threshold < 1
    with (Path(config.output_dir) / "history.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["train_accuracy"]) > 0.9


def test_a_network_of_another_task_is_refused(train_config):
    config = replace(train_config, model=ModelConfig(name="study3", backbone="study3", weights=None))
    with pytest.raises(MiradaError, match="model=study3 is a network for classification, .* is made for detection"):
        train.run(config)


@pytest.mark.parametrize(
    ("task", "settings", "sentence"),
    [
        (
            "detection",
            {"stages": 3, "head_stride": 16},
            "stages=3 leaves no map at stride 16, .* with model.head_stride=16",
        ),
        (
            "detection",
            {"stages": 5},
            "leaves no map at stride 32, .* model.head_stride=null needs: set it to 6 or more.",
        ),
        ("localization", {"stages": 3}, "no map at stride 16, which localization needs: set it to 4 or more."),
    ],
)
def test_a_cut_before_the_map_that_the_head_needs_is_refused(task, settings, sentence, train_config, tmp_path):
    dataset = write_dataset(tmp_path / "data", task=task)
    network = ModelConfig("lite0", weights=None, **settings)
    with pytest.raises(MiradaError, match=sentence):
        train.run(replace(train_config, data_dir=str(dataset.folder), model=network))


_LABELS = {"augment.name", "input.name", "model.name"}  # they say which file of conf/ was chosen
_SWEEPS = {"force"}  # read in a sweep


@pytest.mark.slow
@pytest.mark.parametrize(("task", "network"), [(task, "tiny") for task in TASKS] + [("localization", "study1")])
def test_a_key_that_no_training_of_a_task_reads_is_one_that_is_told(task, network, train_config, tmp_path, monkeypatch):
    """By noting which fields are read, save those that `asdict` and the like read all together."""
    read, sections = set(), {"": TrainConfig, "model.": ModelConfig, "augment.": AugmentConfig, "input.": InputConfig}
    for prefix, schema in sections.items():
        names = {entry.name for entry in fields(schema)}

        def note(self, name, prefix=prefix, names=names):
            file = sys._getframe(1).f_code.co_filename
            if name in names and not file.endswith(("dataclasses.py", "copy.py", "idle.py", "<string>")):
                read.add(prefix + name)
            return object.__getattribute__(self, name)

        monkeypatch.setattr(schema, "__getattribute__", note)
    dataset = write_dataset(tmp_path / task, task=task)
    plain = replace(train_config, data_dir=str(dataset.folder), deterministic=False, epochs=1, peer_wait_s=9.0)
    unlike = replace(
        plain, model=ModelConfig("x", network, None, width=24, head_depth=3, dropout=0.1, pool_after=[1, 2, 3, 4, 5],
                                 head_stride=None if task == "detection" else 16, stem_stride=4, stem_width=8,
                                 multiplier=0.5, blocks=1, expansion=2, stages=5, dfl_bins=8,
                                 scores="class_wise"),
        teacher_weight=0.7, teacher_temperature=3.0, threshold_precision=0.7,
        threshold_recall=0.7, tune_min_score="recall", min_score_share=0.8, guard_epochs=3, guard_returns=4,
        assigner="task_aligned", box_loss="ciou",
        augment=AugmentConfig("x", mosaic=0.5, mixup=0.5, copy_paste=0.5, keep_sizes=True,
                              rand_operations=1, rand_strength=0.5),
    )  # fmt: skip
    read.clear()
    train.run(unlike)
    unread = {prefix + entry.name for prefix, schema in sections.items() for entry in fields(schema)} - read
    told = {key for key, _ in idle_settings(unlike, Facts(task))}
    assert unread - _LABELS - _SWEEPS <= told
    assert not told & (
        read
        - {
            "model.frozen_blocks",
            "freeze_epochs",
            "backbone_lr_scale",
            "guard_epochs",
            "sync_batch_norm",
            "peer_wait_s",
        }
    )
