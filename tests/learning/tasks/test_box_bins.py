"""Sides as shares of bins, against numbers worked out by hand."""

import numpy as np
import pytest
import tf_keras as keras

from mirada.learning.tasks.box_bins import distribution_loss, last_bin, mean_distances, with_bins

LAST = 5.0  # with 8 bins they are -2, -1 … 5 before the softplus


def test_the_last_bin_is_as_far_as_a_levels_boxes_reach() -> None:
    # half of 80 pixels in strides of 8, and 1.5 strides; with one level boxes are at most the input
    assert last_bin(80, 8, 320) == 6.5 and last_bin(1e8, 32, 320) == 6.5 and last_bin(1e8, 8, 96) == 7.5


def test_the_mean_of_one_bin_is_that_bin_and_of_two_alike_lies_between_them() -> None:
    features = keras.Input((2, 3, 1))
    model = keras.Model(features, {"far": mean_distances(features, 8, LAST, "far")})
    logits = np.zeros((4, 8), np.float32)
    for side, bins in enumerate([(0,), (7,), (3,), (5, 6)]):
        logits[side, list(bins)] = 50
    model.get_layer("far_bins").set_weights([np.zeros((1, 1, 1, 32), np.float32), logits.reshape(-1)])
    found = with_bins(model)(np.ones((1, 2, 3, 1), np.float32))
    assert found["far"].shape == (1, 2, 3, 4)
    assert found["far"].numpy()[0, 1, 2] == pytest.approx([-2, 5, 1, 3.5], abs=1e-5)
    assert np.array_equal(found["far_bins"].numpy()[0, 1].reshape(3, 4, 8)[2], logits)
    assert set(model.output) == {"far"} and not model.get_layer("far_mean").trainable


@pytest.mark.parametrize(
    ("side", "sure", "cost"),  # before the softplus; where the logit is high; the others are 0
    [
        (1.0, {3: 50}, 0.0),  # it is the bin
        (1.0, {}, np.log(8)),
        (1.25, {3: 50, 4: 50 - np.log(3)}, 3 / 4 * np.log(4 / 3) + 1 / 4 * np.log(4)),  # as near as can be
        (1.25, {3: 50, 4: 50}, np.log(2)),
        (9.0, {7: 50}, 0.0),  # beyond the bins
        (-9.0, {0: 50}, 0.0),
    ],
)
def test_a_side_costs_what_its_two_bins_lack(side: float, sure: dict[int, float], cost: float) -> None:
    logits = np.zeros((1, 1, 4, 8), np.float32)
    for bin, logit in sure.items():
        logits[..., bin] = logit
    distance = np.full((1, 1, 4), np.logaddexp(0, side), np.float32)
    found = distribution_loss(logits, distance, np.array([LAST], np.float32)).numpy()
    assert found.shape == (1, 1) and found[0, 0] == pytest.approx(cost, abs=1e-4)


def test_where_a_box_is_not_around_the_cell_nothing_becomes_infinite() -> None:
    distances = np.array([[[-3, 0, 1e4, 1e-30]]], np.float32)
    assert np.isfinite(distribution_loss(np.zeros((1, 1, 4, 8), np.float32), distances, np.array([LAST], "f4"))).all()
