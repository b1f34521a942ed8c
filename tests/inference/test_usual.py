"""Histograms of validation and the population stability index, by hand."""

from __future__ import annotations

import math

import pytest

from mirada.inference.usual import Histogram, count_parts, stability_index


def test_parts_hold_equal_shares_and_ties_stay_together() -> None:
    assert count_parts([float(value) for value in range(40)]) == Histogram([19.0], [20, 20])
    assert count_parts([0.0] * 50 + [1.0] * 10) == Histogram([0.0], [50, 10])
    assert count_parts([0.5] * 400) == Histogram([], [400]), "nothing to tell apart"
    assert len(count_parts([float(value) for value in range(1000)]).counts) == 10
    assert [Histogram([1.0, 2.0], [1, 1, 1]).part(value) for value in (1.0, 1.1, 2.5)] == [0, 1, 2]


def test_the_index_is_that_of_the_formula() -> None:
    # With half an image more in each part the shares are 1/4 and 3/4 then, 3/4 and 1/4 now.
    assert stability_index([0, 1], [1, 0]) == pytest.approx(0.5 * math.log(3) * 2)
    assert stability_index([30, 30], [300, 300]) == pytest.approx(0.0)
