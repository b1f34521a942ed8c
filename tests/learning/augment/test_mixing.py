import numpy as np
import pytest
import tensorflow as tf

from mirada.config import AugmentConfig
from mirada.learning.augment.mixing import beside, mix_labels, mix_objects, mix_up, mosaic, paste, settle, unmixed

SIDE = 40
RARE = np.array([False, True])


def example(boxes, values, labels=None, ignore=None, ground=0):
    """A picture of one grey with boxes painted in their values, whole pixels each, a spare row behind."""
    image = np.full((SIDE, SIDE, 3), ground, np.uint8)
    for (x1, y1, x2, y2), value in zip(boxes, values, strict=True):
        image[y1:y2, x1:x2] = value
    count = len(boxes)
    return {
        "image": tf.constant(image),
        "boxes_xyxy": tf.constant([*boxes, (0, 0, 0, 0)], tf.float32),
        "labels": tf.constant([*(labels or [0] * count), -1]),
        "ignore": tf.constant([*(ignore or [False] * count), True]),
        "visible": tf.ones(count + 1),
        "id": tf.constant(1, tf.int64),
    }


def painted(image, value):
    """The box around all pixels of a value; None where there is none."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0] == value)
    if not len(rows):
        return None
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def there(mixed):
    """Box, label and visible of the rows with an object."""
    kept = mixed["labels"].numpy() >= 0
    return [mixed[key].numpy()[kept].tolist() for key in ("boxes_xyxy", "labels", "visible")]


def quarters():
    """Four pictures, each with two boxes of values of their own; a box's label is its value's last digit."""
    return [
        example([(3, 5, 15, 21), (22, 18, 37, 36)], [10 * n + 1, 10 * n + 2], [1, 2], ground=10 * n)
        for n in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_in_a_mosaic_each_box_is_where_its_pixels_are(seed):
    draws = np.random.default_rng(seed).random(10).astype(np.float32)
    mixed = mosaic(quarters(), draws)
    boxes, labels, visible = there(mixed)
    found = {}
    for n in (1, 2, 3, 4):
        for label in (1, 2):
            seen = painted(mixed["image"], 10 * n + label)
            if seen and (seen[2] - seen[0]) * (seen[3] - seen[1]) > 1:
                found[10 * n + label] = seen
    assert sorted(labels) == sorted(value % 10 for value in found)
    assert sorted(boxes) == sorted(found.values())
    whole = {1: 12 * 16, 2: 15 * 18}
    for box, label, share in zip(boxes, labels, visible, strict=True):
        assert share == pytest.approx((box[2] - box[0]) * (box[3] - box[1]) / whole[label])


def test_a_mosaic_has_each_picture_in_its_corner_at_its_own_scale():
    # they meet at (40 * (0.25 + 0.5 * 0.5), 40 * (0.25 + 0.5 * 0)) = (20, 10); all parts start at their picture's corner
    mixed = mosaic(quarters(), np.array([0.5, 0.0] + [0.0] * 8, np.float32))
    image = mixed["image"].numpy()[..., 0]
    assert [image[0, 0], image[0, 39], image[39, 0], image[39, 39]] == [10, 20, 30, 40]
    boxes, labels, visible = there(mixed)
    # of the first picture (3, 5, 15, 21) shows down to row 10: 12 x 5 of its 12 x 16 pixels
    assert boxes[0] == [3, 5, 15, 10] and visible[0] == pytest.approx(5 / 16)
    # the second's lies 20 to the right
    assert [23, 5, 35, 10] in boxes
    # the third's and fourth's lie 10 down; (22, 18, 37, 36) of the third is beyond its 20 x 30
    assert [3, 15, 15, 31] in boxes and [23, 15, 35, 31] in boxes and labels == [1, 1, 1, 1]


def test_all_of_a_mixture_is_to_be_found():
    first, second = example([(0, 0, 10, 10)], [100]), example([(20, 20, 30, 40)], [200], [1])
    mixed = mix_up(first, second, tf.constant(0.4))
    assert there(mixed)[:2] == [[[0, 0, 10, 10], [20, 20, 30, 40]], [0, 1]]
    image = mixed["image"].numpy()[..., 0]
    assert (image[0, 0], image[25, 25], image[0, 39]) == (60, 80, 0)  # 0.6 * 100, 0.4 * 200


@pytest.mark.parametrize("seed", range(20))
def test_a_pasted_object_has_its_box_around_it_and_covers_others(seed):
    under = example([(10, 10, 30, 30)], [50])
    donor = example([(2, 3, 14, 11), (20, 20, 36, 30)], [90, 91], [0, 1])  # the second is rare
    draws = np.random.default_rng(seed).random(4).astype(np.float32)
    mixed = paste(under, donor, RARE, draws)
    boxes, labels, visible = there(mixed)
    assert labels == [0, 1] and boxes[1] == painted(mixed["image"], 91) and visible[1] == 1
    assert [boxes[1][2] - boxes[1][0], boxes[1][3] - boxes[1][1]] == [16, 10]
    assert painted(mixed["image"], 90) is None
    assert visible[0] == pytest.approx((mixed["image"].numpy()[..., 0] == 50).sum() / 400, abs=1e-6)


def test_what_else_is_in_a_cut_out_comes_with_its_box():
    # a common object lies in the rare one's box by a half: (20, 10, 30, 20) of which x < 25
    donor = example([(5, 5, 25, 25), (20, 10, 30, 20)], [91, 90], [1, 0])
    mixed = paste(example([], []), donor, RARE, np.zeros(4, np.float32))
    assert there(mixed) == [[[0, 0, 20, 20], [15, 5, 20, 15]], [1, 0], [1, 0.5]]
    assert painted(mixed["image"], 90) == [15, 5, 20, 15]


def test_no_ignored_object_is_pasted():
    donor = example([(5, 5, 25, 25), (30, 30, 34, 36)], [91, 92], [1, 1], [True, False])
    for draw in (0.0, 0.5, 0.99):
        mixed = paste(example([], []), donor, RARE, np.array([draw, 0, 0, 0], np.float32))
        assert there(mixed)[0] == [[0, 0, 4, 6]]


def test_an_object_nearly_covered_is_ignored():
    under = example([(0, 0, 10, 10), (20, 0, 30, 10)], [50, 51])
    donor = example([(8, 8, 16, 18)], [91], [1])  # 8 x 10, laid on (0, 0): 80 of the first one's 100 pixels
    mixed = settle(paste(under, donor, RARE, np.zeros(4, np.float32)), 5)
    assert mixed["labels"].numpy().tolist() == [0, 0, 1, -1, -1]
    assert mixed["ignore"].numpy().tolist() == [True, False, False, True, True]
    assert mixed["visible"].numpy()[:3].tolist() == pytest.approx([0.2, 1, 1])


def mixed_by(config, seed=1, rows=6, donor=None):
    parts = [{key: value for key, value in part.items() if key != "visible"} for part in quarters()]
    return mix_objects(parts, donor, RARE, tf.constant([seed, 5], tf.int64), config, rows)


def test_nothing_asked_nothing_mixed_and_the_rows_are_the_same():
    plain, first = mixed_by(AugmentConfig()), quarters()[0]
    assert (plain["image"].numpy() == first["image"].numpy()).all()
    assert plain["labels"].numpy().tolist() == [1, 2, -1, -1, -1, -1]
    other = unmixed({key: value for key, value in first.items() if key != "visible"}, 6)
    for key, value in plain.items():
        np.testing.assert_array_equal(value, other[key])


def test_the_seed_decides_and_the_share_of_mosaics_is_the_one_asked():
    config = AugmentConfig(mosaic=0.5)
    first, again, other = (mixed_by(config, seed)["image"].numpy() for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()
    plain = quarters()[0]["image"].numpy()
    made = sum((mixed_by(config, seed)["image"].numpy() != plain).any() for seed in range(60))
    assert 18 <= made <= 42  # of 60 by a half: 30, and three standard deviations


def test_where_more_boxes_come_together_than_fit_the_image_stays_as_it_was():
    mixed = mixed_by(AugmentConfig(mosaic=1.0), seed=2, rows=8)
    assert (mixed["image"].numpy() != quarters()[0]["image"].numpy()).any()
    tight = mixed_by(AugmentConfig(mixup=1.0), rows=3)  # two and two
    assert (tight["image"].numpy() == quarters()[0]["image"].numpy()).all()
    assert tight["labels"].numpy().tolist() == [1, 2, -1]


def test_labels_are_mixed_by_their_share_of_the_pixels():
    parts = [example([(0, 0, 40, 40)], [value], [label]) for value, label in ((40, 0), (240, 1), (1, 0), (1, 0))]
    mixed = mix_labels(parts, tf.constant([3, 4], tf.int64), AugmentConfig(mixup=1.0))
    share = float(mixed["mixed_share"])
    assert 0 < share < 0.5 and int(mixed["mixed_label"]) == 1
    assert np.abs(mixed["image"].numpy() - (40 + 200 * share)).max() <= 0.5
    still = mix_labels(parts, tf.constant([3, 4], tf.int64), AugmentConfig())
    assert float(still["mixed_share"]) == 0 and (still["image"].numpy() == 40).all()


def test_partners_are_the_ones_that_follow():
    data = beside(tf.data.Dataset.range(6).map(lambda number: {"n": number}))
    assert [[int(part["n"]) for part in parts] for parts in data] == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
