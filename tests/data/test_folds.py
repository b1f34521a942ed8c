from pathlib import Path

import pytest

from mirada.data.folds import common_digest, fold_settings
from mirada.data.records import Dataset
from tests.singles import write_singles


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_singles(tmp_path, "classification")


def folded(dataset: Dataset, fold: int, seed: int = 0, digest: str = "") -> Dataset:
    split = {"kfold": 3, "fold": fold, "seed": seed}
    dataset.about = {"settings": {"input_size": 64, "split": split}, "split": {"folds": {"a.png": 0, "b.png": 1}}}
    dataset.digest = digest or f"digest of fold {fold}"
    return dataset


def test_without_folds_a_data_set_has_its_own_digest(dataset: Dataset) -> None:
    assert fold_settings(dataset) == {} and common_digest(dataset) == dataset.digest


def test_folds_of_one_data_set_have_one_digest(dataset: Dataset) -> None:
    first = common_digest(folded(dataset, 0))
    assert fold_settings(dataset) == {"kfold": 3, "fold": 0}
    assert common_digest(folded(dataset, 2)) == first != "digest of fold 0"
    assert fold_settings(dataset)["fold"] == 2


def test_other_folds_and_other_test_images_have_another(dataset: Dataset) -> None:
    first = common_digest(folded(dataset, 0))
    assert common_digest(folded(dataset, 0, seed=1)) != first
    folded(dataset, 0)
    dataset.splits["test"]["shards"][0]["sha256"] = "0" * 64
    assert common_digest(dataset) != first
