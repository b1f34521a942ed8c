import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mirada.inference.boxes import iou_matrix, suppress
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


@settings(deadline=None)
@given(
    arrays.arrays(np.int16, st.tuples(st.integers(0, 90), st.just(4)), elements=st.integers(0, 24)),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.25, 0.5, 0.6, 1.0]),
)
def test_wide_plain_and_textbook_suppression_are_one(numbers: np.ndarray, classes: int, max_iou: float) -> None:
    # Small whole numbers: many boxes are equal, without area or swapped, and many overlap by just the limit.
    boxes = numbers.astype(np.float32)
    scores = (numbers.sum(axis=1) % 5 / 10).astype(np.float32)
    labels = numbers[:, 0] % classes
    expected: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        rivals = [j for j in expected if labels[j] == labels[i]]
        if not rivals or not (iou_matrix(boxes[[i]], boxes[rivals]) > max_iou).any():
            expected.append(i)
    assert suppress(boxes, scores, labels, max_iou, len(boxes)).tolist() == expected
    assert suppress_wide(boxes, scores, labels, max_iou).tolist() == expected
    assert suppress(boxes, scores, labels, max_iou, 3).tolist() == expected[:3]
