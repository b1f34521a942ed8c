import numpy as np
import pytest

from mirada.learning.course.range_test import RangeTest, choose_rate, draw_range_test, running_mean


def test_a_running_mean_begins_with_the_first_loss():
    assert running_mean([4.0, 4.0, 4.0]) == pytest.approx([4.0, 4.0, 4.0])
    assert running_mean([1.0, 2.9]) == pytest.approx([1.0, 2.0])


def test_the_rate_is_a_tenth_of_that_with_the_lowest_mean():
    rates = [float(rate) for rate in np.geomspace(1e-4, 1e0, 41)]
    losses = [3.0 - step / 20 for step in range(31)] + [9.0] * 10
    assert choose_rate(rates, losses) == pytest.approx(rates[30] / 10, rel=0.05)


def test_the_curve_is_drawn():
    assert draw_range_test(RangeTest([1e-4, 1e-3], [2.0, 1.0], 1e-4)).startswith(b"\x89PNG")
