import numpy as np
import pytest

from mirada.evaluation.weaknesses.reliability import measure_reliability, plot_reliability, reliability_table


def test_the_error_is_the_weighted_distance_of_said_and_true() -> None:
    # four say 0.9, three of them are right; two say 0.5, none is: (4 · 0.15 + 2 · 0.5) / 6
    certainty = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    found = measure_reliability(certainty, np.array([1, 1, 1, 0, 0, 0], bool))
    assert found is not None
    assert found.error == pytest.approx((4 * 0.15 + 2 * 0.5) / 6)
    assert found.excess == pytest.approx((4 * 0.9 + 2 * 0.5) / 6 - 0.5)
    assert found.counts.tolist() == [0] * 7 + [2] + [0] * 5 + [4, 0]  # 0.5 · 15 = 7.5, 0.9 · 15 = 13.5
    assert found.right[[7, 13]].tolist() == [0, 0.75]
    assert np.isnan(found.certainty[0])


def test_too_sure_and_too_unsure_do_not_cancel_in_the_error() -> None:
    found = measure_reliability(np.array([0.75, 0.25]), np.array([False, True]))
    assert found is not None
    assert (found.error, found.excess) == (0.75, 0.0)


def test_certainty_of_one_is_in_the_last_bin_and_what_is_below_the_least_is_left_out() -> None:
    found = measure_reliability(np.array([1.0, 0.05, 0.01]), np.array([True, False, False]), 1 / 15)
    assert found is not None
    assert (int(found.counts.sum()), int(found.counts[14]), found.error) == (1, 1, 0)
    assert measure_reliability(np.array([0.01]), np.array([True]), 0.5) is None


def test_it_is_told() -> None:
    found = measure_reliability(np.array([0.75, 0.75]), np.array([True, False]))
    assert found is not None
    assert reliability_table({"int8": found}).rows == [["int8", "2", "0.250", "+0.250"]]
    assert plot_reliability({"int8": found}).startswith(b"\x89PNG")
