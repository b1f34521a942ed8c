import math

import numpy as np
import pytest

from mirada.tasks.outcomes import FoundObjects, RightImages, pool_outcomes, read_outcomes
from mirada.tasks.resampling import Matches


def found(*classes: tuple[list[float], list[int], list[bool], list[int]]) -> FoundObjects:
    """A class a tuple: scores, images, correct; boxes to be found of each image."""
    kept = []
    for scores, images, correct, truths in classes:
        ignored = np.zeros(len(scores), bool)
        kept.append(
            Matches(np.array(scores), np.array(images, int), np.array(correct, bool), ignored, np.array(truths))
        )
    return FoundObjects(kept)


ONE = found(([0.9], [0], [True], [1]))
OTHER = found(([0.95, 0.5], [0, 0], [False, True], [1]))


def test_pooled_detections_are_ranked_together() -> None:
    assert ONE.value == pytest.approx(1.0)
    assert OTHER.value == pytest.approx(0.5)  # the one object is found after one mistake
    pooled = pool_outcomes([ONE, OTHER])
    # 0.95 wrong, 0.9 right (1 of 2, half of the objects), 0.5 right (2 of 3, all): the envelope is 2/3 everywhere
    assert pooled.value == pytest.approx(2 / 3)
    (match,) = pooled.matches
    assert match.images.tolist() == [1, 0, 1] and match.truths.tolist() == [1, 1]


def test_a_class_stays_a_class() -> None:
    first = found(([0.9], [0], [True], [1]), ([], [], [], [0]))
    second = found(([], [], [], [0]), ([0.8], [0], [False], [1]))
    assert pool_outcomes([first, second]).value == pytest.approx((1.0 + 0.0) / 2)


def test_images_that_came_out_right_follow_one_another() -> None:
    pooled = pool_outcomes([RightImages(np.array([True, False])), RightImages(np.array([True, True]))])
    assert pooled.value == 0.75 and pooled.right.tolist() == [True, False, True, True]


def test_of_two_images_one_lost_the_interval_is_that_of_a_binomial() -> None:
    # of two draws 0, 1 or 2 are the lost image with 1/4, 1/2, 1/4: 2.5 % and 97.5 % are 0 and 1
    before, after = RightImages(np.array([True, True])), RightImages(np.array([True, False]))
    # its low end lies further out: 1 of 2 is 0.0126 to 0.9874, 0 of 2 at most 0.8419
    assert before.drop_to(after, 1000, 0) == (0.5, pytest.approx(0.5 - math.hypot(0.4874, 0.8419), abs=1e-4), 1.0)


@pytest.mark.parametrize(
    "kept",
    [OTHER, found(([0.9], [0], [True], [1]), ([], [], [], [0])), RightImages(np.array([True, False]))],
)
def test_what_is_kept_is_read_back(kept: FoundObjects | RightImages) -> None:
    again = read_outcomes(kept.arrays())
    assert again.value == kept.value and type(again) is type(kept)
    for name, array in kept.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_nothing_to_find_is_worth_nothing() -> None:
    assert found(([0.5], [0], [False], [0])).value == 0.0 and RightImages(np.zeros(0, bool)).value == 0.0
