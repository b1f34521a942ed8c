import numpy as np
import pytest

from mirada.inference.boxes import (
    box_areas,
    clip_boxes,
    coverage_matrix,
    iou_matrix,
    overlap_columns,
    pair_ious,
    suppress,
    xywh_to_xyxy,
    xyxy_to_xywh,
)


def test_iou_of_known_boxes():
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 20]], float)
    b = np.array([[5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 10]], float)
    # the first pair shares 50 of 150; boxes that only touch share nothing
    np.testing.assert_allclose(iou_matrix(a, b), [[1 / 3, 0, 1], [50 / 250, 0, 0.5]])


def test_boxes_without_area_overlap_nothing():
    point = np.array([[5, 5, 5, 5]], float)
    assert iou_matrix(point, point)[0, 0] == 0
    assert coverage_matrix(point, np.array([[0, 0, 10, 10]], float))[0, 0] == 0


def test_coverage_is_the_share_of_the_first_box():
    small, big = np.array([[0, 0, 10, 10]], float), np.array([[5, 0, 100, 100]], float)
    assert coverage_matrix(small, big)[0, 0] == pytest.approx(0.5)


def test_formats_are_each_others_inverse():
    boxes = np.array([[1, 2, 4, 8]], float)
    np.testing.assert_array_equal(xyxy_to_xywh(boxes), [[1, 2, 3, 6]])
    np.testing.assert_array_equal(xywh_to_xyxy(xyxy_to_xywh(boxes)), boxes)
    assert xyxy_to_xywh(np.zeros((0, 4))).shape == xywh_to_xyxy(np.zeros((0, 4))).shape == (0, 4)


def test_areas_and_clipping():
    boxes = np.array([[-5, -5, 5, 5], [4, 4, 2, 9]], np.float32)
    np.testing.assert_array_equal(box_areas(boxes), [100, 0])
    np.testing.assert_array_equal(clip_boxes(boxes, 4, 3)[0], [0, 0, 4, 3])
    assert clip_boxes(boxes, 4, 3).dtype == np.float32


def test_suppress_keeps_the_best_of_each_label():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    scores, labels = np.array([0.6, 0.9, 0.8, 0.1]), np.array([0, 0, 1, 0])
    # 0 and 1 overlap by 90/110; 2 has another label
    assert suppress(boxes, scores, labels, 0.5, 10).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, labels, 0.9, 10).tolist() == [1, 2, 0, 3]
    assert suppress(boxes, scores, labels, 0.5, 2).tolist() == [1, 2]


def test_a_suppressed_box_suppresses_no_other():
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)  # IoU of neighbours 6/14
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.4, 10).tolist() == [0, 2]


def test_whole_numbers_and_boxes_without_area_are_boxes_too():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [5, 5, 5, 5], [5, 5, 5, 5], [9, 9, 2, 2]])
    scores = np.linspace(0.9, 0.5, 5)
    # 90 of 110 shared; nothing overlaps a point, not even another one
    assert suppress(boxes, scores, np.zeros(5, int), 0.5, 10).tolist() == [0, 2, 3, 4]
    assert suppress(boxes, scores, np.zeros(5, int), 0.5, 0).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 127, 300])
def test_suppress_equals_the_textbook_loop(count):
    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 80, (count, 2))], axis=1)
    scores, labels = rng.uniform(size=count).round(2), rng.integers(0, 3, count)
    expected: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [j for j in expected if labels[j] == labels[i]]
        if not rivals or iou_matrix(boxes[[i]], boxes[rivals]).max() <= 0.5:
            expected.append(int(i))
    assert suppress(boxes, scores, labels, 0.5, 1000).tolist() == expected


def test_pairs_overlap_as_the_matrix_says_each_with_its_fellow():
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 20], [5, 5, 5, 5], [9, 9, 2, 2], [0, 0, 0.5, 0.5], [0, 0, 10, 10]], float)
    b = np.array(
        [[5, 2, 15, 12], [0, 0, 10, 10], [5, 5, 5, 5], [0, 0, 10, 10], [0, 0, 0.5, 0.25], [10, 0, 20, 10]], float
    )
    # 40 of 160; half; two points; swapped corners; an eighth of a quarter of a pixel; side by side
    np.testing.assert_allclose(pair_ious(a, b), [0.25, 0.5, 0, 0, 0.5, 0])
    np.testing.assert_allclose(pair_ious(b, a), [0.25, 0.5, 0, 0, 0.5, 0])


def test_overlaps_are_computed_as_exactly_as_boxes_are_given():
    for given, computed in ((np.int16, np.float32), (np.float32, np.float32), (np.float64, np.float64)):
        columns = overlap_columns(np.array([[1, 2, 4, 8], [9, 9, 2, 2]], given))
        assert columns.dtype == computed
        np.testing.assert_allclose(columns, [[1, 9], [2, 9], [4, 2], [8, 2], [18, 0]], atol=1e-20)
