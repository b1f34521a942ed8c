import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mirada.inference import merging
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


def test_it_does_not_matter_where_the_photograph_begins() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 300, (200, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 60, (200, 2))], axis=1).astype(np.float32)
    scores, labels = rng.uniform(size=200), np.zeros(200, int)
    kept = suppress_wide(boxes, scores, labels, 0.3).tolist()
    assert 20 < len(kept) < 180
    assert suppress_wide(boxes - 1000, scores, labels, 0.3).tolist() == kept
    assert suppress_wide(boxes + 1000, scores, labels, 0.3).tolist() == kept


@pytest.mark.parametrize("axes", [[0, 1, 2, 3], [1, 0, 3, 2]])
def test_long_boxes_are_compared_as_far_as_they_reach(axes: list[int]) -> None:
    boxes = np.array([[1000, 0, 1400, 10], [1150, 0, 1550, 10], [1400, 0, 1800, 10]], np.float32)[:, axes]
    # The second shares 250 of 550 with the first, the third nothing with it.
    assert suppress_wide(boxes, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.4).tolist() == [0, 2]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs were compared at a time."""
    counts: list[int] = []

    def count(better: np.ndarray, worse: np.ndarray, max_iou: float) -> np.ndarray:
        counts.append(better.shape[1])
        return overlap_more(better, worse, max_iou)

    overlap_more = merging.overlap_more
    monkeypatch.setattr(merging, "overlap_more", count)
    return counts


@pytest.mark.parametrize(
    ("corners", "pairs"),
    [
        ([(20 * x, 20 * y) for x in range(30) for y in range(30)], 0),  # a grid with gaps as wide as the boxes
        ([(0, 0), (10.1, 0)], 0),  # a bit more than two cells of 5 apart
        ([(10.1, 0), (0, 5.1)], 0),  # two to the left, one down
        ([(0, 0), (10.1, 5.1)], 0),
        ([(0, 0), (5.1, 0), (0, 5.1), (5.1, 5.1)], 6),  # each beside each other
    ],
)
def test_boxes_too_far_apart_to_overlap_too_much_are_not_compared(
    corners: list[tuple[float, float]], pairs: int, compared: list[int]
) -> None:
    boxes = np.array([(x, y, x + 10, y + 10) for x, y in corners], np.float32)
    assert len(suppress_wide(boxes, np.ones(len(boxes)), np.zeros(len(boxes), int), 0.5)) == len(boxes)
    assert sum(compared) == pairs


def test_a_heap_of_boxes_is_compared_in_parts(compared: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_PAIRS", 100)
    boxes, labels = np.tile(np.array([[0, 0, 10, 10]], np.float32), (40, 1)), np.arange(40)
    assert suppress_wide(boxes, np.linspace(1, 0.5, 40), labels, 0.5).tolist() == list(range(40))
    # A part is full with the box that brings it to a hundred pairs, of which one has 39 at most.
    assert sum(compared) == 40 * 39 / 2 and max(compared) < 139 and len(compared) <= 8
