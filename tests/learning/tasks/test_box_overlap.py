import numpy as np
import pytest
import tensorflow as tf

from mirada.learning.tasks.box_overlap import iou_and_ciou, iou_and_giou


def test_iou_and_giou_by_hand():
    iou, giou = iou_and_giou(np.array([[0, 0, 2, 2.0]], "f4"), np.array([[1, 0, 3, 2.0]], "f4"))
    assert iou.numpy()[0] == pytest.approx(2 / 6)
    assert giou.numpy()[0] == pytest.approx(2 / 6)  # the hull of the two is their union
    iou, giou = iou_and_giou(np.array([[0, 0, 1, 1.0]], "f4"), np.array([[2, 0, 3, 1.0]], "f4"))
    assert iou.numpy()[0] == 0 and giou.numpy()[0] == pytest.approx(-1 / 3)


def test_complete_iou_counts_how_far_the_centres_are_apart():
    iou, ciou = iou_and_ciou(np.array([[0, 0, 2, 2.0]], "f4"), np.array([[1, 0, 3, 2.0]], "f4"))
    # a third overlaps; centres 1 apart, what holds both is 3 x 2, its squared diagonal 13; the same proportions
    assert float(iou[0]) == pytest.approx(1 / 3) and float(ciou[0]) == pytest.approx(1 / 3 - 1 / 13)
    iou, ciou = iou_and_ciou(np.array([[0, 0, 1, 1.0]], "f4"), np.array([[2, 0, 3, 1.0]], "f4"))
    assert float(iou[0]) == 0 and float(ciou[0]) == pytest.approx(-4 / 10)  # 2 apart in 3 x 1


def test_complete_iou_counts_other_proportions():
    iou, ciou = iou_and_ciou(np.array([[0, 0, 4, 4.0]], "f4"), np.array([[0, 0, 4, 2.0]], "f4"))
    shape = 4 / np.pi**2 * (np.arctan(1) - np.arctan(2)) ** 2
    assert float(iou[0]) == 0.5
    assert float(ciou[0]) == pytest.approx(0.5 - 1 / 32 - shape**2 / (0.5 + shape))


@pytest.mark.parametrize("overlap", [iou_and_giou, iou_and_ciou])
def test_equal_boxes_overlap_wholly_and_nothing_pulls_at_them(overlap):
    box = tf.constant([[3.0, 4.0, 20.0, 9.0]])
    with tf.GradientTape() as tape:
        tape.watch(box)
        found = overlap(box, tf.constant([[3.0, 4.0, 20.0, 9.0]]))
    assert [float(value[0]) for value in found] == [1, 1]
    assert np.isfinite(tape.gradient(found[1], box)).all()
