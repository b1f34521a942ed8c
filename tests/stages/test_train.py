"""What the stage settles after training, with a trainer that has seen what it is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mirada.config import TrainConfig
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.prediction import Detections
from mirada.stages.train import _choose_min_score
from tests.cards import CARD

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


@pytest.mark.parametrize("changes", [{"tune_min_score": "best"}, {"min_score_share": 1.5}])
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MiradaError, match=next(iter(changes))):
        TrainConfig(data_dir="data", output_dir="out", **changes)
