import numpy as np
import pytest

from mirada.learning.tasks.assignment import ALIGNED_CELLS, assign, assign_by_task
from mirada.learning.tasks.detection import cell_centres
from tests.learning.tasks.test_detection import targets


def test_a_cell_answers_for_the_smallest_box_around_its_centre():
    goal = targets([[0, 0, 40, 40], [14, 14, 26, 26]], [0, 1])
    chosen, positive, _ = assign(goal["boxes_xyxy"], goal["labels"], goal["ignore"], *cell_centres(64))
    cell = 8 * 2 + 2  # centre (20, 20), inside both
    assert positive.numpy()[0, cell] and chosen.numpy()[0, cell] == 1
    edge = 8 * 1 + 1  # centre (12, 12): only in the large box, 8 from its centre
    assert positive.numpy()[0, edge] and chosen.numpy()[0, edge] == 0
    assert not positive.numpy()[0, 8 * 7 + 7]


def test_large_boxes_belong_to_coarse_levels():
    goal = targets([[0, 0, 120, 120]], [0])
    _, positive, _ = assign(goal["boxes_xyxy"], goal["labels"], goal["ignore"], *cell_centres(128))
    levels = np.split(positive.numpy()[0], [256, 256 + 64])
    assert [bool(level.any()) for level in levels] == [False, True, True]


def test_padding_is_no_box_and_ignored_boxes_are_neither_object_nor_background():
    goal = targets([[8, 8, 40, 40], [0, 0, 0, 0]], [0, -1], [True, True])
    _, positive, unsure = assign(goal["boxes_xyxy"], goal["labels"], goal["ignore"], *cell_centres(64))
    assert not positive.numpy().any()
    assert unsure.numpy()[0, 8 * 2 + 2] and not unsure.numpy()[0, 0]


CELLS = np.array([[4, 4], [12, 4], [4, 12], [12, 12], [28, 4]], np.float32)
NOWHERE = [50, 50, 51, 51]


def by_task(goal, scores, found, points=CELLS):
    scores = np.array(scores, np.float32)
    scores = scores[None, :, None] if scores.ndim == 1 else scores[None]
    results = assign_by_task(
        goal["boxes_xyxy"], goal["labels"], goal["ignore"], points, scores, np.array([found], np.float32)
    )
    return [result.numpy()[0] for result in results]


def test_a_cell_scores_by_its_alignment_and_the_best_by_its_overlap():
    # score * IoU ** 6: 0.5 * (3 / 4) ** 6, 0.8 * (1 / 2) ** 6, and none; the last lies outside
    found = [[0, 0, 16, 12], [0, 0, 16, 8], NOWHERE, NOWHERE, [0, 0, 16, 16]]
    _, quality, unsure = by_task(targets([[0, 0, 16, 16]], [0]), [0.5, 0.8, 0.9, 0.9, 0.9], found)
    second = (0.8 / 64) / (0.5 * 0.75**6) * 0.75
    assert quality.tolist() == pytest.approx([0.75, second, 0, 0, 0], rel=1e-5) and not unsure.any()


def test_the_score_that_counts_is_that_of_the_box_s_own_class():
    found = [[0, 0, 16, 16]] * 4 + [NOWHERE]
    scores = [[0.9, 0.1], [0.1, 0.4], [0.9, 0.2], [0.9, 0.0], [0.9, 0.9]]
    _, quality, _ = by_task(targets([[0, 0, 16, 16]], [1]), scores, found)
    assert quality.tolist() == pytest.approx([0.25, 1, 0.5, 0, 0])


def test_a_cell_that_two_boxes_want_goes_to_the_one_it_overlaps_most():
    goal = targets([[0, 0, 16, 16], [0, 0, 8, 16]], [0, 0])
    found = [[0, 0, 8, 16], [0, 0, 16, 16], [0, 0, 16, 16], NOWHERE, NOWHERE]
    chosen, quality, _ = by_task(goal, [0.5] * 5, found)
    # cells 0 and 2 lie in both; 0 is the second's box, 2 the first's
    assert chosen[[0, 1, 2]].tolist() == [1, 0, 0] and quality.tolist() == pytest.approx([1, 1, 1, 0, 0])


def test_a_box_has_so_many_cells_and_no_more():
    points, *_ = cell_centres(64)
    scores = np.linspace(0.2, 0.9, len(points))
    _, quality, _ = by_task(targets([[0, 0, 64, 64]], [0]), scores, [[0, 0, 64, 64]] * len(points), points)
    assert np.flatnonzero(quality).tolist() == list(range(len(points) - ALIGNED_CELLS, len(points)))


def test_ignored_boxes_and_padding_have_no_cells():
    goal = targets([[0, 0, 8, 8], [8, 0, 16, 8], [0, 0, 0, 0]], [0, 0, -1], [True, False, True])
    _, quality, unsure = by_task(goal, [0.5] * 5, [[0, 0, 8, 8], [8, 0, 16, 8], NOWHERE, NOWHERE, NOWHERE])
    assert quality.tolist() == pytest.approx([0, 1, 0, 0, 0]) and unsure.tolist() == [True, False, False, False, False]
    _, quality, _ = by_task(targets([[0, 0, 0, 0]], [-1], [True]), [0.5] * 5, [NOWHERE] * 5)
    assert not quality.any()
