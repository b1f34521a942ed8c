import math
from dataclasses import dataclass

import numpy as np
import pytest

from mirada.quantization.verdict import answer_of, choose, more_images


@dataclass
class Measured:
    rung: str
    answer: str
    drop_high: float
    size_bytes: int
    latency_ratio: float


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (-0.02, 0.01, "within"),
        (-0.02, 0.01 + 1e-12, "within"),  # a share of images, computed a hair off
        (-0.02, 0.01 + 1e-9, "within"),
        (0.01 + 1e-9, 0.03, "cannot_tell"),
        (0.0, 0.011, "cannot_tell"),
        (0.01, 0.03, "cannot_tell"),
        (0.011, 0.03, "beyond"),
    ],
)
def test_an_interval_has_three_answers(low, high, answer):
    assert answer_of(low, high, 0.01) == answer


def test_half_the_interval_takes_four_times_the_images():
    # 0.02 from the drop to the upper end, 0.01 to the budget: the interval has to halve
    assert more_images(0.0, -0.02, 0.02, 0.01, 50) == 150
    # above the budget it is the lower half that counts: 0.03 to 0.01
    assert more_images(0.02, -0.01, 0.03, 0.01, 50) == 400
    assert more_images(0.01, 0.0, 0.03, 0.01, 50) is None
    assert more_images(0.0, -1.0, 1.0, 1e-9, 50) is None, "a hair from the budget is at it"
    # the half on the other side does not count
    assert more_images(0.0, -0.5, 0.02, 0.01, 50) == 150 and more_images(0.02, -0.01, 0.5, 0.01, 50) == 400
    assert more_images(0.0, -0.02, 0.0101, 0.01, 10) == 1, "11 of 10.2"
    assert more_images(0.0, -0.02, 0.005, 0.01, 10) == 1, "at least"


def test_what_no_image_has_shown_shrinks_with_their_number():
    # 39 images without a loss leave 0.0903 open, 0.99 ** 368 is below 0.025
    unseen = 1 - 0.025 ** (1 / 39)
    assert more_images(0.0, -unseen, unseen, 0.01, 39, lambda half: half) == 368 - 39
    # with 0.05 of scatter beside: 1239 images leave 0.0030 and 0.05 * sqrt(39 / 1239) = 0.0089 a tenth above 0.0094
    total = 39 + more_images(0.0, -0.2, math.hypot(unseen, 0.05), 0.01, 39, lambda half: unseen)
    assert math.hypot(3.689 / total, 0.05 * math.sqrt(39 / total)) == pytest.approx(0.01, abs=1e-5)


def test_so_many_images_do_decide():
    """The estimate, held against intervals of means of so many normal drops."""
    images, budget, drop, sd = 40, 0.01, 0.004, 0.03
    half = 1.96 * sd / np.sqrt(images)
    more = more_images(drop, drop - half, drop + half, budget, images)
    assert answer_of(drop - half, drop + half, budget) == "cannot_tell"
    half = 1.96 * sd / np.sqrt(images + more)
    assert answer_of(drop - half, drop + half, budget) == "within"
    half = 1.96 * sd / np.sqrt(images + more - 1)
    assert answer_of(drop - half, drop + half, budget) == "cannot_tell"


def test_the_smallest_or_the_fastest_of_those_within_is_best():
    small = Measured("small", "within", 0.009, 300, 0.9)
    fast = Measured("fast", "within", 0.008, 400, 0.4)
    sure = Measured("sure", "cannot_tell", 0.0, 100, 0.1)
    assert choose([small, fast, sure], "size") is small and choose([small, fast, sure], "speed") is fast


def test_files_of_one_size_are_told_apart_by_their_drop():
    first = Measured("int8", "within", 0.009, 1000, 0.4)
    other = Measured("qat", "within", 0.002, 1005, 0.4)
    assert choose([first, other], "size") is other
    other.size_bytes = 1010
    assert choose([first, other], "size") is other
    other.size_bytes = 1020
    assert choose([first, other], "size") is first


def test_where_none_is_within_the_lowest_upper_end_is_best_of_equal_ones_the_first():
    rungs = [Measured(name, "cannot_tell", high, 1, 1.0) for name, high in (("a", 0.03), ("b", 0.02), ("c", 0.02))]
    assert choose(rungs, "size").rung == "b"
