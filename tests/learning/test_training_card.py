"""What a model's card takes over from its data."""

from dataclasses import replace
from pathlib import Path

from mirada.data.records import Dataset
from mirada.learning.training_card import make_card
from tests.learning.conftest import small_training


def test_the_card_tells_the_range_of_deep_images(tmp_path: Path) -> None:
    data = Dataset(tmp_path, "drawn", "classification", ["cat", "dog"], 32, 3, "stretch", {}, "0", {})
    config = small_training(data, tmp_path)
    assert make_card(config, data).depth_range is None
    assert make_card(config, replace(data, about={"depth_range": [7.5, 9.0]})).depth_range == [7.5, 9.0]
