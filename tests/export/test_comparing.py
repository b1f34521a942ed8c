"""Differences between two runtimes, worked out by hand."""

import numpy as np
import pytest

from mirada.export.comparing import compare_tensors, count_different, count_objects, largest_gaps, same_answer
from mirada.inference.file_tables import OutputTensor
from mirada.inference.prediction import Classification, Detections, Localization

CODES = OutputTensor("scores", "scores", 0, (1, 2), "int8", 0.5, 3)
FLOATS = OutputTensor("box", "box", 1, (1, 2), "float32", 0.0, 0)


def detections(*rows: tuple[float, float, int]) -> Detections:
    """Squares of 10 pixels at x, with a score and a label."""
    boxes = np.array([[x, 0, x + 10, 10] for x, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score, _ in rows]), np.array([label for *_, label in rows]))


def test_codes_are_apart_by_steps_of_one_code() -> None:
    reference = [np.array([[-128, 127], [0, 0], [5, 6]], np.int8), np.array([[0.0, 51.0], [1, 1], [1, 1]], np.float32)]
    values = [np.array([[127, 127], [0, 0], [5, 4]], np.int8), reference[1].copy()]
    gap = compare_tensors([CODES, FLOATS], reference, values)
    assert (gap.equal_images, gap.max_steps, gap.output, gap.share) == (1, 255, "scores", pytest.approx(2 / 12))


def test_floats_are_apart_by_shares_of_their_range() -> None:
    reference = [np.array([[0, 51]], np.float32)]
    gap = compare_tensors([FLOATS], reference, [np.array([[0.5, 51]], np.float32)])
    assert (gap.max_steps, gap.output, gap.equal_images) == (pytest.approx(2.5), "box", 0)


def test_equal_tensors_differ_nowhere() -> None:
    values = [np.array([[1, 2]], np.int8)]
    gap = compare_tensors([CODES], values, values)
    assert (gap.equal_images, gap.max_steps, gap.output, gap.share) == (1, 0, "", 0)


@pytest.mark.parametrize(
    "other, different",
    [
        (detections((0, 0.9, 0), (50, 0.6, 1)), 0),
        (detections((2, 0.8, 0), (50, 0.5, 1)), 0),  # overlaps by 80 / 120
        (detections((5, 0.8, 0), (50, 0.5, 1)), 2),  # by 50 / 150: one lost, one new
        (detections((0, 0.9, 0), (50, 0.6, 0)), 2),  # another label
        (detections((0, 0.9, 0), (50, 0.24, 1)), 1),  # below what is shown
        (detections((0, 0.9, 0), (50, 0.6, 1), (0, 0.7, 0)), 1),  # found twice
        (detections(), 2),
    ],
)
def test_objects_of_one_alone_are_counted(other: Detections, different: int) -> None:
    mine = detections((0, 0.9, 0), (50, 0.6, 1), (90, 0.1, 0))
    assert count_objects(mine) == 2
    assert count_different(mine, other) == count_different(other, mine) == different


def test_the_answer_is_the_same_only_to_the_last_bit() -> None:
    mine, other = detections((0, 0.9, 0)), detections((0, 0.9, 0))
    assert same_answer(mine, other)
    other.scores[0] = np.nextafter(other.scores[0], 1)
    assert not same_answer(mine, other)
    assert not same_answer(mine, detections())


def test_one_answer_an_image_differs_by_label_or_by_place() -> None:
    shares, box = np.array([0.3, 0.7]), np.array([0, 0, 10, 10], np.float32)
    mine = Localization(shares, 1, box, 32)
    assert count_different(mine, Localization(shares, 1, box + 1, 32)) == 0
    assert count_different(mine, Localization(shares, 1, box + 9, 32)) == 1
    assert count_different(mine, Localization(shares, 0, box, 32)) == 1
    assert same_answer(mine, Localization(shares.copy(), 1, box.copy(), 32))
    assert not same_answer(mine, Localization(shares, 1, box + 1, 32))
    assert count_different(Classification(shares, 1), Classification(shares, 0)) == 1
    assert count_objects(mine) == 1


def test_what_both_find_is_apart_by_a_corner_and_a_score() -> None:
    ours, theirs = detections((0, 0.9, 0), (50, 0.6, 1), (90, 0.1, 0)), detections((50, 0.5, 1), (2, 0.85, 0))
    assert largest_gaps(ours, theirs) == (2, pytest.approx(0.1))
    assert largest_gaps(ours, detections()) == (0, 0)
