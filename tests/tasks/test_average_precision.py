import numpy as np
import pytest

from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.tasks import get_task
from mirada.tasks.average_precision import (
    ClassMetrics,
    ap50_by_area,
    choose_score,
    evaluate_detections,
    operating_point,
)
from mirada.tasks.matching import confusion_matrix, image_f1
from mirada.tasks.resampling import Blocks, bootstrap_drop, map50_of_samples

A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 90, 90]


def truth(boxes, labels=None, ignore=None) -> Example:
    count = len(boxes)
    return Example(
        image_id="x",
        image=b"",
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels or [0] * count, np.int64),
        ignore=np.array(ignore or [False] * count, bool),
        source="x.jpg",
    )


def found(boxes, scores, labels=None) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels or [0] * len(boxes), np.int64),
    )


def random_case(seed: int, images: int = 12, noise: float = 4.0):
    """Truths with some ignore boxes, and noisy detections with equal scores among them."""
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, int(noise * 10)])
    truths, predictions = [], []
    for _ in range(images):
        count = int(rng.integers(0, 8))
        corner = rng.uniform(0, 250, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 70, (count, 2))], axis=1)
        labels = rng.integers(0, 3, count)
        truths.append(truth(boxes.tolist(), labels.tolist(), (rng.uniform(size=count) < 0.2).tolist()))
        stray = other.uniform(0, 250, (20, 2))
        stray = np.concatenate([stray, stray + other.uniform(10, 60, (20, 2))], axis=1)
        scores = np.concatenate([other.uniform(0.2, 1, count), other.uniform(0, 0.6, 20)]).round(2)
        all_boxes = np.concatenate([boxes + other.normal(0, noise, boxes.shape), stray])
        predictions.append(found(all_boxes, scores, np.concatenate([labels, other.integers(0, 3, 20)]).tolist()))
    return truths, predictions


def test_perfect_detections_have_map_one():
    result = evaluate_detections([truth([A, B], [0, 1])], [found([A, B], [0.9, 0.8], [0, 1])], ["a", "b"])
    assert (result.map50, result.map75, result.map50_95) == pytest.approx((1, 1, 1))
    assert (result.precision, result.recall, result.f1) == (1, 1, 1)
    assert result.threshold == pytest.approx(0.8)
    assert result.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]] and result.confusion.dtype == np.int64


def test_average_precision_by_hand():
    # Right, wrong, right of 2 boxes: precision 1 up to recall 0.5 (51 of the 101 points), then 2/3.
    result = evaluate_detections([truth([A, B])], [found([A, C, B], [0.9, 0.8, 0.7])], ["a"])
    assert result.map50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert result.curves["a"].shape == (101,)
    assert (result.precision, result.recall, result.f1) == pytest.approx((2 / 3, 1, 0.8))
    assert result.per_class["a"].truths == 2


def test_looser_boxes_count_for_lower_overlaps_only():
    # IoU 0.82: right at the seven thresholds 0.50 to 0.80
    result = evaluate_detections([truth([[0, 0, 100, 100]])], [found([[0, 0, 82, 100]], [0.9])], ["a"])
    assert (result.map50, result.map75, result.map50_95) == pytest.approx((1, 1, 0.7))


def test_the_right_box_with_the_wrong_label_is_a_confusion():
    result = evaluate_detections([truth([A, B], [0, 1])], [found([A, B, C], [0.9, 0.8, 0.7], [0, 0, 1])], ["a", "b"])
    assert result.per_class["b"].ap50 == 0
    assert result.threshold == pytest.approx(0.9)  # 1 of 1 right gives F1 2/3, 1 of 2 gives 1/2
    loose = evaluate_detections([truth([B], [1])], [found([B], [0.9], [0])], ["a", "b"])
    assert loose.confusion.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]  # F1 is 0 everywhere: threshold 1


def test_a_class_without_truth_is_left_out_of_the_mean():
    result = evaluate_detections([truth([A])], [found([A, B], [0.9, 0.8], [0, 1])], ["a", "b"])
    assert result.map50 == pytest.approx(1)
    assert result.per_class["b"] == ClassMetrics(None, None, None, 0)
    assert "b" not in result.curves


def test_ignore_boxes_are_neither_wanted_nor_wrong():
    image = truth([A, [50, 50, 90, 90]], ignore=[False, True])
    result = evaluate_detections([image], [found([A, [55, 55, 70, 70], [60, 60, 80, 80]], [0.5, 0.9, 0.8])], ["a"])
    assert result.map50 == pytest.approx(1)
    assert (result.precision, result.recall) == (1, 1)
    assert result.confusion.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("prediction", [found([], []), found([C], [0.9])])
def test_nothing_right_is_zero_and_no_crash(prediction):
    result = evaluate_detections([truth([A])], [prediction], ["a"])
    assert (result.map50, result.precision, result.recall, result.f1) == (0, 0, 0, 0)
    assert result.confusion[0, 1] == 1


def test_no_truth_at_all_is_zero():
    assert evaluate_detections([truth([])], [found([A], [0.9])], ["a"]).map50 == 0
    assert evaluate_detections([], [], ["a"]).map50 == 0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 images but 0 predictions"):
        evaluate_detections([truth([A])], [], ["a"])
    with pytest.raises(ValueError, match="shorter"):
        confusion_matrix([truth([A])], [], 1, 0.5)


def test_the_evaluator_prints_nothing(capsys):
    evaluate_detections([truth([A])], [found([A], [0.9])], ["a"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(5))
def test_own_accumulation_equals_the_coco_evaluators(seed):
    truths, predictions = random_case(seed)
    result = evaluate_detections(truths, predictions, ["a", "b", "c"])
    assert 0.05 < result.map50 < 0.99
    np.testing.assert_allclose(map50_of_samples(result.matches, np.ones((1, 12), int)), [result.map50], rtol=1e-12)


def test_a_resample_equals_evaluating_the_repeated_images():
    truths, predictions = random_case(3)
    matches = evaluate_detections(truths, predictions, ["a", "b", "c"]).matches
    weights = np.array([2, 0, 1, 0, 3, 1, 1, 0, 2, 1, 1, 0])
    chosen = np.repeat(np.arange(12), weights)
    repeated = evaluate_detections([truths[i] for i in chosen], [predictions[i] for i in chosen], ["a", "b", "c"])
    # equal scores of different images may change places, which moves AP a little
    np.testing.assert_allclose(map50_of_samples(matches, weights[None]), [repeated.map50], atol=5e-3)


def test_precision_and_recall_agree_with_the_confusion_matrix():
    result = evaluate_detections(*random_case(7), ["a", "b", "c"])
    right = np.trace(result.confusion[:3, :3])
    assert right / result.confusion[:, :3].sum() == pytest.approx(result.precision, abs=0.02)
    assert right / result.confusion[:3].sum() == pytest.approx(result.recall, abs=1e-9)


def test_drop_and_its_interval():
    truths, good = random_case(1, images=30, noise=2.0)
    _, bad = random_case(1, images=30, noise=9.0)
    reference = evaluate_detections(truths, good, ["a", "b", "c"])
    variant = evaluate_detections(truths, bad, ["a", "b", "c"])
    drop, low, high = bootstrap_drop(reference.matches, variant.matches, 200, seed=0)
    assert drop == pytest.approx(reference.map50 - variant.map50)
    assert 0 < low < drop < high
    assert bootstrap_drop(reference.matches, variant.matches, 200, seed=0) == (drop, low, high)
    assert bootstrap_drop(reference.matches, variant.matches, 0, seed=0) == (drop, drop, drop)


def test_units_that_do_not_differ_prove_no_more_than_so_many_can():
    truths, predictions = [truth([A, B])] * 30 + [truth([])] * 9, [found([A, C], [0.9, 0.8])] * 39
    matches = evaluate_detections(truths, predictions, ["a"]).matches
    unseen = 1 - 0.025 ** (1 / 30)  # of a box that nine images have not they would show no loss
    assert bootstrap_drop(matches, matches, 200, seed=0) == (0, pytest.approx(-unseen), pytest.approx(unseen))
    nothing = evaluate_detections([truth([])], [found([], [])], ["a"]).matches
    assert bootstrap_drop(nothing, nothing, 200, seed=0) == (0, -1, 1)


def test_one_unit_that_differs_proves_less_than_none():
    image = truth([A])
    right, wrong = [found([A], [0.9])] * 40, [*[found([A], [0.9])] * 39, found([], [])]
    sides = [evaluate_detections([image] * 40, side, ["a"]).matches for side in (right, wrong)]
    drop, low, high = bootstrap_drop(*sides, 400, seed=0)
    # 39 of 40 found reach 98 of the 101 recalls; in 97.5 % of the resamples at most three are lost, 93 or 94 of 101;
    # 0 of 40 leave 0.0881 open: 3/101 and the root of 0.0881² + 0.0446² (or 0.0495²) above it
    assert drop == pytest.approx(3 / 101) and 0.127 < high < 0.132
    # in 36 % of them it is not drawn: the root of 0.0881² + 0.0297² below
    assert low == pytest.approx(3 / 101 - 0.0930, abs=2e-4)
    gained = bootstrap_drop(sides[1], sides[0], 400, seed=0)
    assert gained == pytest.approx((-drop, -high, -low))


def test_f1_of_one_image():
    image = truth([A, B])
    assert image_f1(image, found([A, C], [0.9, 0.8]), 0.5) == pytest.approx(0.5)
    assert image_f1(image, found([A, C], [0.9, 0.3]), 0.5) == pytest.approx(2 / 3)
    assert image_f1(truth([]), found([A], [0.1]), 0.5) == 1
    assert image_f1(image, found([A, B], [0.9, 0.8]), 0.8) == pytest.approx(1), "a score at the threshold counts"
    assert image_f1(image, found([C], [0.9]), 0.5) == 0


def scored():
    """Four objects; by falling score: right, right, wrong, right, wrong, and one object that nothing finds."""
    boxes = [A, B, C, [100, 100, 120, 120]]
    nothing = [[200, 0, 210, 10], [220, 0, 230, 10]]
    order = [boxes[0], boxes[1], nothing[0], boxes[2], nothing[1]]
    return evaluate_detections([truth(boxes)], [found(order, [0.9, 0.8, 0.7, 0.6, 0.5])], ["a"]).matches


def test_the_point_at_a_score_by_hand():
    matches = scored()
    assert operating_point(matches, 0.8) == pytest.approx((1, 2 / 4, 4 / 6))
    assert operating_point(matches, 0.6) == pytest.approx((3 / 4, 3 / 4, 6 / 8))
    assert operating_point(matches, 0.95) == (0, 0, 0)
    one = evaluate_detections([truth([A])], [found([A], [0.5])], ["a"]).matches
    assert operating_point(one, 0.5) == (1, 1, 1)


@pytest.mark.parametrize(
    ("goal", "share", "score"),
    [
        ("f1", 0, 0.55),  # 6 / 8 from 0.51 to 0.60; 4 / 6 at 0.8, 6 / 9 at 0.5
        ("precision", 0.9, 0.7),  # of 32 bits, the wrong one’s 0.7 lies a bit below
        ("precision", 0.7, 0.51),  # 2 / 3 at 0.7 is too little, 3 / 4 at 0.6 is enough again
        ("precision", 0.1, 0.01),
        ("recall", 0.5, 0.8),
        ("recall", 0.51, 0.6),
        ("recall", 0.76, None),  # one object is never found
    ],
)
def test_a_score_is_chosen_for_what_is_wanted(goal, share, score):
    assert choose_score(scored(), goal, share) == (None if score is None else pytest.approx(score))


def test_no_score_is_chosen_where_nothing_is_right():
    matches = evaluate_detections([truth([A])], [found([C], [0.9])], ["a"]).matches
    assert choose_score(matches, "f1", 0) is choose_score(matches, "precision", 0.1) is None


def test_a_task_chooses_its_score():
    task = get_task("detection")
    pair = [truth([A])], [found([A], [0.34567])]
    assert task.choose_min_score(*pair, ["a"], "f1", 0) == 0.17  # any up to 0.34 would do
    assert task.choose_min_score([truth([A])], [found([A], [0.355])], ["a"], "f1", 0) == 0.18  # up to 0.35
    assert task.choose_min_score([truth([A])], [found([A], [1.0])], ["a"], "f1", 0) == 0.5  # all of them would do
    assert task.choose_min_score([], [], ["a"], "f1", 0) is None
    assert get_task("classification").choose_min_score([], [], ["a"], "f1", 0) is None


SMALL, MEDIUM, LARGE = [0, 0, 10, 10], [200, 0, 250, 50], [0, 200, 100, 300]


def test_average_precision_and_recall_by_size_by_hand():
    """Small: found; medium: missed, and beside it a detection of nothing; large: at IoU 0.82, so at 7 of 10 thresholds."""
    said = found([SMALL, [200, 100, 250, 150], [0, 200, 82, 300]], [0.9, 0.8, 0.7])
    result = evaluate_detections([truth([SMALL, MEDIUM, LARGE])], [said], ["a"], by_size=True)
    assert result.by_size == pytest.approx({"ap_small": 1, "ap_medium": 0, "ap_large": 0.7, "ar": (10 + 7) / 30})
    assert list(result.figures) == ["map50", "map50_95", "precision", "recall", "f1", *result.by_size]
    assert (result.precision, result.recall) == pytest.approx((2 / 3, 2 / 3)), "sizes don't count an object twice"
    assert evaluate_detections([truth([SMALL])], [said], ["a"]).by_size == {}
    only = evaluate_detections([truth([SMALL])], [said], ["a", "b"], by_size=True)
    assert only.by_size == pytest.approx({"ap_small": 1, "ar": 1}), "no figure of what is not there"
    large = evaluate_detections([truth([LARGE])], [said], ["a"], by_size=True)
    assert large.by_size == pytest.approx({"ap_large": 0.7, "ar": 0.7})
    assert evaluate_detections([truth([])], [said], ["a"], by_size=True).by_size == {}


def test_average_precision_of_objects_within_bounds_of_area():
    image = truth([SMALL, LARGE])
    assert ap50_by_area([image], [found([SMALL], [0.5])], 1, (0, 100)) == pytest.approx(1), "bounds are inclusive"
    assert ap50_by_area([image], [found([SMALL], [0.5])], 1, (100, 100)) == pytest.approx(1)
    # A detection of nothing of that size, and one of another size, both with a higher score.
    assert ap50_by_area([image], [found([SMALL, [50, 50, 60, 60]], [0.5, 0.9])], 1, (0, 100)) == pytest.approx(0.5)
    assert ap50_by_area([image], [found([SMALL, MEDIUM], [0.5, 0.9])], 1, (0, 100)) == pytest.approx(1)
    assert ap50_by_area([image], [found([SMALL], [0.5])], 1, (101, 9999)) == 0, "none has such an area"
    # the mean over the classes that have such an object, at IoU 0.5 alone
    both = truth([SMALL, [20, 0, 30, 10]], [0, 1])
    assert ap50_by_area([both], [found([[0, 0, 10, 5.2]], [0.5])], 3, (0, 100)) == pytest.approx(0.5)
    assert ap50_by_area([], [], 1, (0, 100)) == 0


def test_every_detection_counts_where_areas_are_judged():
    """The object is found by the 101st, after a hundred of another size."""
    others = [[300 + 40 * (n % 10), 40 * (n // 10), 330 + 40 * (n % 10), 30 + 40 * (n // 10)] for n in range(100)]
    said = found([*others, SMALL], [0.9] * 100 + [0.5])
    assert ap50_by_area([truth([SMALL])], [said], 1, (0, 100)) == pytest.approx(1)
    result = [evaluate_detections([truth([SMALL])], [said], ["a"], max_detections=n).recall for n in (100, 101)]
    assert result == [0, 1]


def test_a_detection_is_resampled_with_its_object_and_a_wrong_one_with_its_own_block():
    """An image of two blocks side by side; the object's centre lies in the first, those of both detections in the second."""
    said = found([[2, 0, 20, 10], [15, 5, 20, 10]], [0.9, 0.8])
    image, blocks = truth([[0, 0, 19, 10]]), Blocks(10, ((20, 10),))
    result = evaluate_detections([image], [said], ["a"], blocks=blocks)
    (matches,) = result.matches
    assert (result.units, matches.truths.tolist(), matches.images.tolist()) == (2, [1, 0], [0, 1])
    assert (matches.correct.tolist(), matches.ignored.tolist()) == ([True, False], [False, False])
    assert matches.correct.dtype == matches.ignored.dtype == bool
    (nothing,) = evaluate_detections([truth([])], [said], ["a"], blocks=blocks).matches
    assert (nothing.truths.tolist(), nothing.images.tolist()) == ([0, 0], [1, 1])
    whole = evaluate_detections([truth([]), image], [found([], []), said], ["a"])
    assert (whole.units, whole.matches[0].images.tolist()) == (2, [1, 1])
