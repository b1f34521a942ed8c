"""Train and test that can be told apart, and two that can't."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.inspection.checks.shift import find_shift, single_auc
from mirada.inspection.survey import Survey
from tests.inspection.surveys import box, image, seen, survey


def data(brighter: float) -> Survey:
    rng = np.random.default_rng(1)
    splits = {f"{n}.jpg": "test" if n % 3 == 0 else "train" for n in range(150)}
    looks = {}
    for source, split in splits.items():
        light = rng.normal(100 + brighter * (split == "test"), 10)
        thumbnail = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        looks[source] = seen(source, thumbnail, mean=(light, light, light), contrast=rng.normal(40, 5))
    return survey(*(image(source, box(0, 0, 50, 50)) for source in splits), splits=splits, looks=looks)


def test_a_brighter_test_is_told_with_what_tells_it() -> None:
    [finding] = find_shift(data(60))
    assert (finding.id, finding.severity, finding.count) == ("splits_differ", "warning", 50)
    assert finding.rows[0] == ("median of", "train", "test", "AUC alone")
    assert {row[0] for row in finding.rows[1:]} >= {"brightness", "red", "green"}
    train, test = (float(value) for value in finding.rows[1][1:3])
    assert train == pytest.approx(100, abs=5) and test == pytest.approx(160, abs=5)


def test_one_distribution_is_no_finding() -> None:
    assert find_shift(data(0)) == []


def test_few_images_tell_nothing() -> None:
    made = data(60)
    made.splits = {source: split for source, split in made.splits.items() if split == "train" or source < "2"}
    made.splits |= dict.fromkeys([s for s, split in made.splits.items() if split == "test"][19:], "train")
    assert find_shift(made) == []


def test_auc_by_hand() -> None:
    # Of the pairs (1, 2), (3, 2), (1, 0), (3, 0) three are in order.
    assert single_auc(np.array([2.0, 0.0, 1.0, 3.0]), np.array([0, 0, 1, 1])) == 0.75
    assert single_auc(np.array([1.0, 1.0]), np.array([0, 1])) == 0.5
