from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import ModelConfig, QatConfig, QuantizeConfig, TrainConfig
from mirada.data.records import load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.learning.course.range_test import RangeTest
from mirada.learning.devices import choose_devices
from mirada.learning.models import build_model, load_model
from mirada.learning.quantization import tuning, variants
from mirada.learning.training import Trainer
from mirada.learning.training_card import make_card
from tests.learning.conftest import write_dataset

MCU = ModelConfig("mcu", "mcu", None, width=16, blocks=1, multiplier=0.25, stem_width=8)


@pytest.fixture
def from_scratch(train_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """Of a classifier without pretrained layers."""
    data = write_dataset(tmp_path / "classes", task="classification", train=8)
    return replace(train_config, model=MCU, data_dir=str(data.folder), output_dir=str(tmp_path / "train"))


def tuned_from_scratch(config: TrainConfig, qat: QatConfig, told: list[str]) -> tuning.Tuned:
    dataset = load_dataset(config.data_dir)
    card, images = make_card(config, dataset), np.zeros((4, 64, 64, 3), np.float32)
    settings = tuning.training_config(card, qat, config.data_dir, Path(config.output_dir) / "checkpoints")
    model = build_model(MCU, "classification", 64, 3, 2)
    return tuning.tune(model, card, dataset, settings, choose_devices(1), [images], tell=told.append)


def test_a_network_without_pretrained_layers_is_guarded_too(
    from_scratch: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, seen, starts = iter([0.9, 0.5, 0.95, 0.8]), [], []

    def spoil(trainer: Trainer, epoch: int, advance: object) -> dict[str, float]:
        weights = trainer.model.trainable_variables[0]
        starts.append(weights.numpy())
        weights.assign_add(np.ones(weights.shape))
        seen.append(trainer.course.learning_rate)
        return {"loss": 1.0}

    monkeypatch.setattr(Trainer, "validate", lambda self: {"val_accuracy": next(values)})
    monkeypatch.setattr(Trainer, "train_epoch", spoil)
    told: list[str] = []
    tuned = tuned_from_scratch(from_scratch, QatConfig(3, 1e-2, guard_returns=1), told)
    assert seen == pytest.approx([1e-2, 1e-2 / 3, 1e-2 / 3]) and (tuned.best_epoch, tuned.learning_rate) == (2, None)
    np.testing.assert_array_equal(starts[1], starts[0])
    assert told == [
        "after epoch 1: val accuracy 0.500 is below the 0.900 before: back to those weights, on with learning_rate=0.0033",
        "after epoch 3: val accuracy 0.800 is below the 0.900 before: back to those weights, no more training",
    ]


def test_a_rate_that_tuning_looked_for_is_told_and_leaves_the_card_alone(
    from_scratch: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tuned after it starts from the float training's rate."""
    found, told, rates = RangeTest([1e-5, 0.02], [1.0, 0.5], 0.002), [], []

    def stand_still(trainer: Trainer, epoch: int, advance: object) -> dict[str, float]:
        rates.append(trainer.course.learning_rate)
        return {"loss": 1.0}

    monkeypatch.setattr("mirada.learning.training.find_rate", lambda stretch, course: found)
    monkeypatch.setattr(Trainer, "train_epoch", stand_still)
    dataset = load_dataset(from_scratch.data_dir)
    card, folder = make_card(from_scratch, dataset), Path(from_scratch.output_dir)
    folder.mkdir()
    build_model(MCU, "classification", 64, 3, 2).save(folder / "model.keras")
    qat = QatConfig(2, "auto", calibration_batches=1, guard_epochs=0)
    config = QuantizeConfig(model_dir=str(folder), data_dir=from_scratch.data_dir, output_dir="", qat=qat)
    made = variants.Conversions(config, card, dataset, tell=lambda variant, text: told.append((variant, text)))
    assert made.tuning_figures("qat")["found_learning_rate"] == 0.002 and rates == [0.002, 0.002]
    assert told == [("qat", "learning_rate=0.002: by a range test of 2 steps up to 0.02")]
    assert card.training["learning_rate"] == from_scratch.learning_rate


@pytest.mark.slow
def test_tuning_that_makes_it_worse_goes_back_and_on_more_gently(
    trained: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, card = load_dataset(trained.data_dir), load_card(trained.output_dir)
    model = load_model(Path(trained.output_dir) / "model.keras")
    values = iter([0.9, 0.5, 0.95, 0.9, 0.8, 0.8])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"val_map50": next(values)})
    settings = tuning.training_config(card, QatConfig(5, 1e-2), trained.data_dir, tmp_path / "checkpoints")
    images, reported, told = np.zeros((4, 64, 64, 3), np.float32), [], []
    tuned = tuning.tune(
        model, card, dataset, replace(settings, schedule="constant"), choose_devices(1), [images],
        lambda epoch, row: reported.append(row), tell=told.append,
    )  # fmt: skip
    rates = [row["learning_rate"] for row in reported if "learning_rate" in row]
    assert rates == pytest.approx([1e-2, 1e-2 / 3, 1e-2 / 3, 1e-2 / 3, 1e-2 / 9])
    assert told == [
        "after epoch 1: val map50 0.500 is below the 0.900 before: back to those weights, on with learning_rate=0.0033",
        "after epoch 4: val map50 0.800 is below the 0.900 before: back to those weights, on with learning_rate=0.0011",
        "after epoch 5: val map50 0.800 is below the 0.900 before: back to those weights, no more training",
    ]
    assert (tuned.best_epoch, tuned.after) == (2, {"val_map50": 0.95})


@pytest.mark.slow
@pytest.mark.parametrize(("teacher", "wanted"), [("float", "the model"), ("large", "large")])
def test_the_float_model_or_another_one_teaches_the_tuned_one(
    trained: TrainConfig,
    to_quantize: QuantizeConfig,
    monkeypatch: pytest.MonkeyPatch,
    teacher: str,
    wanted: str,
) -> None:
    """Whoever taught the float training, and where that lies."""
    dataset, card = load_dataset(trained.data_dir), load_card(trained.output_dir)
    card.training |= {"teacher": {"model_dir": "elsewhere", "sha256": "0"}, "teacher_weight": 0.7}
    made = variants.Conversions(replace(to_quantize, qat=QatConfig(teacher=teacher)), card, dataset)
    seen: list[TrainConfig] = []
    monkeypatch.setattr(variants, "tune", lambda *arguments: seen.append(arguments[3]))
    made.tuned()
    assert seen[0].teacher == (trained.output_dir if wanted == "the model" else wanted)
    assert seen[0].teacher_weight == 0.7


def test_settings_are_the_float_trainings_except_for_those_of_the_tuning() -> None:
    card = Card("detection", ["a", "b"], 64, 3, "letterbox", [], {}, "d", "x", {})
    with pytest.raises(MiradaError, match=r"does not say how it was trained .*train again, or leave qat out"):
        tuning.training_config(card, QatConfig(), "data", "out")
    training = asdict(TrainConfig(model=MCU, data_dir="", output_dir="", batch_size=4, freeze_epochs=3, seed=7))
    card.training = {k: v for k, v in training.items() if k not in ("tracking", "data_dir", "output_dir", "resume")}
    settings = tuning.training_config(card, QatConfig(5, 1e-5, gpus=2), "data", "out")
    assert (settings.epochs, settings.learning_rate, settings.gpus, settings.freeze_epochs) == (5, 1e-5, 2, 0)
    assert (settings.batch_size, settings.seed, settings.model, settings.data_dir) == (4, 7, MCU, "data")
    as_ever = (settings.warmup_epochs, settings.layer_lr_decay, settings.guard_epochs, settings.guard_returns)
    assert as_ever == (0.2, 1.0, 1, 2) and settings.augment.plain_epochs == 5
    own = QatConfig(learning_rate="auto", warmup_epochs=1.5, layer_lr_decay=0.5, guard_epochs=3, guard_returns=0)
    card.training["augment"]["plain_epochs"] = 4
    settings = tuning.training_config(card, own, "data", "out")
    assert (settings.learning_rate, settings.warmup_epochs, settings.layer_lr_decay) == ("auto", 1.5, 0.5)
    assert (settings.guard_epochs, settings.guard_returns, settings.augment.plain_epochs) == (3, 0, 4)
    with pytest.raises(MiradaError, match="multiple of gpus"):
        tuning.training_config(card, QatConfig(gpus=3), "data", "out")
