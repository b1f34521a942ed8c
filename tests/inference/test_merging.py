import numpy as np
import pytest

from mirada.inference.boxes import suppress
from mirada.inference.merging import suppress_wide


@pytest.mark.parametrize("count", [0, 1, 2, 60, 900])
@pytest.mark.parametrize("classes", [1, 3])
def test_it_keeps_the_very_boxes_of_plain_suppression(count: int, classes: int) -> None:
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 700, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (count, 2))], axis=1).astype(np.float32)
    scores = rng.choice(np.linspace(0.1, 0.9, 40), count).astype(np.float32)  # some are equal
    labels = rng.integers(0, classes, count)
    wide = suppress_wide(boxes, scores, labels, 0.3)
    assert wide.tolist() == suppress(boxes, scores, labels, 0.3, max(count, 1)).tolist()
    if count == 900:
        assert len(wide) < count


def test_one_huge_box_among_small_ones_is_compared_with_all() -> None:
    boxes = np.array([[0, 0, 1000, 1000], [0, 0, 990, 990], [5, 5, 9, 9], [900, 900, 905, 905]], np.float32)
    kept = suppress_wide(boxes, np.array([0.5, 0.9, 0.8, 0.7]), np.zeros(4, int), 0.5)
    assert kept.tolist() == [1, 2, 3]
