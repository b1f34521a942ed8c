from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.config import QatConfig, QuantizeConfig, TrainConfig
from mirada.data.records import load_dataset
from mirada.inference.card import load_card
from mirada.learning.devices import choose_devices
from mirada.learning.models import load_model
from mirada.learning.quantization import tuning, variants
from mirada.learning.training import Trainer


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
