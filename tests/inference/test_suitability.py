"""Whether data suits a model: what is refused, what is only told, and what the words are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.inference.suitability import check_suits, find_misfits
from tests.cards import CARD

DATASET = Dataset(Path("data"), "drawn", "classification", ["cat", "dog"], 32, 3, "stretch", {}, "0", {})


def test_data_like_the_trainings_suits() -> None:
    assert find_misfits(CARD, DATASET) == {}
    assert check_suits(CARD, DATASET, "data", "model") == []


def test_what_hinders_most_comes_first() -> None:
    other = replace(DATASET, fit="letterbox", channels=1, task="detection")
    assert list(find_misfits(CARD, other).items()) == [
        ("task", ("classification", "detection")),
        ("channels", (3, 1)),
        ("fit", ("stretch", "letterbox")),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"task": "detection"},
            "data is for detection, the model in model for classification: take data for the same ",
        ),
        (
            {"classes": ["cat"]},
            "data has the classes cat, the model in model was trained for cat, dog: take data with ",
        ),
        (
            {"input_size": 48},
            "data has images of 48 pixels, the model in model takes 32: preprocess with input_size=32,",
        ),
        (
            {"channels": 1},
            "data has images of 1 channels, the model in model takes 3: preprocess with channels=3, or tr",
        ),
    ],
)
def test_data_that_can_not_be_answered_for_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MiradaError, match=f"^{sentence}"):
        check_suits(CARD, replace(DATASET, **changes), "data", "model")


def test_who_only_looks_at_the_images_takes_other_classes() -> None:
    other = replace(DATASET, task="detection", classes=["tree"])
    assert check_suits(CARD, other, "data", "model", for_answers=False) == []
    with pytest.raises(MiradaError, match="takes 3"):
        check_suits(CARD, replace(other, channels=1), "data", "model", for_answers=False)


def test_what_a_reader_has_to_know_is_told() -> None:
    about = {"depth_range": [1000.0, 3000.0]}
    other = replace(DATASET, digest="f" * 64, fit="letterbox", enhance="equalize", about=about)
    assert check_suits(CARD, other, "data", "model") == [
        "The model was trained on other data (drawn, digest 0).",
        "The images were prepared with fit=letterbox, those of the training with fit=stretch.",
        "The images were prepared with enhance=equalize, those of the training with enhance=none.",
        "The images were prepared with depth_range=[1000.0, 3000.0], those of the training with depth_range=None.",
    ]
