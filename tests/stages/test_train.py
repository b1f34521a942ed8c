"""What the stage settles after training, with a trainer that has seen what it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mirada.config import TrainConfig
from mirada.data.images import decode
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.inference.prediction import Classification, Detections
from mirada.learning.models import load_model
from mirada.stages import train
from mirada.stages.train import _choose_min_score, _choose_threshold
from tests.cards import CARD
from tests.learning.conftest import small_training, write_dataset

BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 90, 90]], np.float32)
TRUTH = Example("x", b"", BOXES[:2], np.array([0, 0]), np.array([False, False]), "x")
FOUND = Detections(BOXES[[0, 2, 1]], np.array([0.9, 0.75, 0.6], np.float32), np.array([0, 0, 0]))  # right, wrong, right
DETECTION = replace(CARD, task="detection", labels=["a"])


def trainer(images: int = 1, **settings: Any) -> Any:
    config = SimpleNamespace(**({"tune_min_score": "f1", "min_score_share": 0.9} | settings))
    dataset = SimpleNamespace(splits={"val": {"images": images}})
    return SimpleNamespace(config=config, dataset=dataset, predict=lambda split: ([TRUTH], [FOUND]))


@pytest.mark.parametrize(
    ("settings", "score"),
    [
        ({}, 0.3),  # F1 4 / 5 with all three, from 0.01 to 0.60; 2 / 3 with the first alone
        ({"tune_min_score": "precision"}, 0.76),
        ({"tune_min_score": "recall", "min_score_share": 0.5}, 0.89),
    ],
)
def test_the_card_gets_the_score_that_validation_chose(settings: dict[str, Any], score: float) -> None:
    card = replace(DETECTION)
    _choose_min_score(trainer(**settings), card)
    assert card.min_score == score


def test_a_goal_out_of_reach_leaves_it_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    card = replace(DETECTION)
    missing = trainer(tune_min_score="recall", min_score_share=0.9)
    missing.predict = lambda split: ([TRUTH], [FOUND[:1]])
    _choose_min_score(missing, card)
    assert card.min_score == 0.25
    assert "no score has the recall that tune_min_score wants on val: 0.25 stays" in capsys.readouterr().out


def test_nothing_is_chosen_without_validation_images_or_boxes() -> None:
    card, other = replace(DETECTION), replace(CARD)
    _choose_min_score(trainer(images=0), card)
    _choose_min_score(trainer(), other)
    assert card.min_score == other.min_score == 0.25


def test_a_precision_out_of_reach_leaves_the_threshold_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    card, wanted = replace(CARD, labels=["well", "ill"], threshold=0.5), {"tune_threshold": "precision"}
    wrong = [replace(TRUTH, labels=np.array([0])), replace(TRUTH, labels=np.array([1]))]
    said = [Classification(np.array([1 - p, p]), 1) for p in (0.9, 0.8)]  # at 0.8 one of two is right, at 0.9 none
    for share, threshold in ((0.6, 0.5), (0.5, 0.8)):
        chooser = trainer(**wanted, threshold_precision=share, threshold_recall=1.0)
        chooser.predict = lambda split: (wrong, said)
        _choose_threshold(chooser, card)
        assert card.threshold == threshold
    note = "note: no threshold has the precision that tune_threshold wants on val: 0.5 stays.\n"
    assert capsys.readouterr().out == note


@pytest.mark.parametrize(
    "changes", [{"tune_min_score": "best"}, {"min_score_share": 1.5}, {"threshold_precision": 0.3}]
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MiradaError, match=next(iter(changes))):
        TrainConfig(data_dir="data", output_dir="out", **changes)


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["recall", "precision"])
def test_the_stage_chooses_the_threshold_by_what_the_network_says_of_validation_images(
    goal: str, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "data", task="classification", train=4, val=7)  # three of seven are blue
    config = replace(small_training(dataset, tmp_path / "out"), epochs=1, seed=1, tune_threshold=goal)
    train.run(replace(config, threshold_recall=0.6, threshold_precision=0.5))
    card, model = load_card(tmp_path / "out"), load_model(tmp_path / "out" / "model.keras")
    pixels = np.array([decode(example.image) for example in dataset.examples("val")])
    blue = np.array([example.labels[0] == 1 for example in dataset.examples("val")])
    logits = np.asarray(model(pixels * np.float32(card.input_scale) + np.float32(card.input_offset))["classes"])
    second = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    if goal == "recall":  # 0.6 of three are two
        wanted = max(p for p in second if (second[blue] >= p).sum() >= 2)
    else:
        wanted = min((p for p in second if blue[second >= p].mean() >= 0.5), default=0.5)
    assert card.threshold == pytest.approx(wanted, abs=1e-6)
