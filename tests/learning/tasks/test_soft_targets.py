"""What an answer costs beside a teacher's, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from mirada.learning.tasks.soft_targets import box_distance, divergence


def test_the_divergence_of_softened_answers() -> None:
    taught = np.array([[2 * math.log(3), 0], [5, 1]], np.float32)  # at 2 the first one says 3/4 and 1/4
    found = divergence(np.array([[0, 0], [5, 1]], np.float32), taught, 2.0)
    assert found.numpy() == pytest.approx([4 * (3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)), 0])


def test_a_side_counts_by_its_square_at_first_and_then_as_it_is() -> None:
    taught = np.array([[0, 0, 10, 20], [3, 3, 3, 3]], np.float32)
    boxes = np.array([[1, 0, 10, 30], [3, 3, 3, 5]], np.float32)
    # a tenth of the width, half of the height; and two of the one pixel that a box without extent is taken for
    wanted = [0.1**2 * 9 / 2 + 0.5 - 1 / 18, 2 - 1 / 18]
    assert box_distance(boxes, taught).numpy() == pytest.approx(wanted, rel=1e-5)
