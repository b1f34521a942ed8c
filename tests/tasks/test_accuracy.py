import math

import numpy as np
import pytest

from mirada.tasks.accuracy import (
    FALSE_POSITIVE_RATES,
    best_threshold,
    calibration_error,
    measure_labels,
    paired_drop,
    threshold_at_precision,
    threshold_at_recall,
    wilson_interval,
)


def two(second: list[float]) -> np.ndarray:
    return np.stack([1 - np.array(second), np.array(second)], axis=1)


def test_two_classes_by_hand():
    truth, second = np.array([0, 0, 0, 1, 1]), [0.1, 0.2, 0.6, 0.4, 0.9]
    result = measure_labels(truth, two(second), np.array([0, 0, 1, 0, 1]), ["no", "yes"])
    assert result.accuracy == pytest.approx(3 / 5)
    assert result.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result.auc == pytest.approx(5 / 6)  # of the 6 pairs only (0.6, 0.4) stands the wrong way round
    assert result.confusion.tolist() == [[2, 1], [1, 1]]
    assert result.correct.tolist() == [True, True, False, False, True]
    yes = result.per_class["yes"]
    assert (yes.precision, yes.recall, yes.f1, yes.truths) == (0.5, 0.5, 0.5, 2)
    assert result.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result.log_loss == pytest.approx(-sum(map(math.log, (0.9, 0.8, 0.4, 0.4, 0.9))) / 5)
    # ROC: 0.9 right, 0.6 a false alarm, 0.4 right: half of them free, all of them from a third of false alarms on
    assert result.roc is not None
    assert result.roc[FALSE_POSITIVE_RATES < 0.335].tolist() == [0.5] * 34
    assert result.roc[FALSE_POSITIVE_RATES > 0.335].tolist() == [1.0] * 67


def test_figures_are_those_of_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 200)
    logits = rng.normal(0, 1, (200, 4)).round(1) + 1.5 * np.eye(4)[truth]  # rounded: equal scores among them
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chosen = probabilities.argmax(axis=1)
    figures = measure_labels(truth, probabilities, chosen, list("abcd")).figures
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    assert figures["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, chosen))
    assert figures["auc"] == pytest.approx(metrics.roc_auc_score(truth, probabilities, multi_class="ovr"))
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    assert figures["log_loss"] == pytest.approx(metrics.log_loss(truth, probabilities))


def test_what_is_not_defined_is_left_out():
    result = measure_labels(np.array([1, 1]), two([0.9, 0.2]), np.array([1, 0]), ["no", "yes"])
    assert "auc" not in result.figures
    assert result.roc is None
    assert result.balanced_accuracy == 0.5
    assert all(math.isfinite(value) for value in result.figures.values())


def test_a_probability_of_zero_has_a_finite_loss():
    assert math.isfinite(measure_labels(np.array([1]), two([0.0]), np.array([0]), ["no", "yes"]).log_loss)


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="no image"):
        measure_labels(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0, int), ["no", "yes"])


def test_wilsons_interval():
    # Newcombe 1998, table I: 81 of 263, and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_calibration_by_hand():
    # one bin: 0.9 said, half right; another: 0.6 said, all right
    error = calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True]))
    assert error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@pytest.mark.parametrize(
    ("truth", "second", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9], 0.5),  # any of (0.3, 0.7] separates them
        ([0, 0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9, 0.95], 0.85),
        ([0, 1, 0, 1, 1], [0.1, 0.2, 0.4, 0.8, 0.9], 0.6),  # lets one of three go for one of two spared
        ([1, 1], [0.2, 0.3], 0.5),
    ],
)
def test_the_threshold_has_the_best_balanced_accuracy(truth, second, expected):
    assert best_threshold(np.array(truth), np.array(second)) == pytest.approx(expected)


def test_the_threshold_is_never_worse_than_any_other():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 80)
    second = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1).round(2)

    def balanced(threshold: float) -> float:
        chosen = second >= threshold
        return (chosen[truth == 1].mean() + (~chosen[truth == 0]).mean()) / 2

    best = balanced(best_threshold(truth, second))
    assert best >= max(balanced(t) for t in np.linspace(0, 1.01, 203)) - 1e-12


def test_a_drop_has_the_interval_of_a_paired_bootstrap():
    rng = np.random.default_rng(1)
    reference, variant = rng.uniform(size=300) < 0.9, rng.uniform(size=300) < 0.85
    drop, low, high = paired_drop(reference, variant, 4000, 0)
    assert drop == pytest.approx(reference.mean() - variant.mean())
    picks = rng.integers(0, 300, (4000, 300))
    expected = np.percentile(reference[picks].mean(axis=1) - variant[picks].mean(axis=1), [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.006)
    assert paired_drop(reference, variant, 0, 0) == (drop, drop, drop)


def of_images(images: int, lost: int = 0, gained: int = 0) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(images)
    return at >= gained, (at < gained) | (at >= gained + lost)


@pytest.mark.parametrize(("images", "unseen"), [(4, 0.6024), (39, 0.0903), (140, 0.0260), (368, 0.00997)])
def test_images_that_none_of_is_lost_prove_no_more_than_so_many_can(images, unseen):
    # 0.025 = (1 - p) ** images: as often may be lost what none of them shows, and be gained
    drop, low, high = paired_drop(*of_images(images), 300, 0)
    assert (drop, low, high) == (0, pytest.approx(-unseen, abs=5e-5), pytest.approx(unseen, abs=5e-5))


def test_few_lost_images_prove_less_than_none():
    # Clopper and Pearson: 1 of 4 is 0.0063 to 0.8059, 0 of 4 at most 0.6024; low: 0.25 less the root of 0.2437² + 0.6024²
    assert paired_drop(*of_images(4, lost=1), 300, 0) == pytest.approx((0.25, -0.3998, 0.8059), abs=1e-4)
    assert paired_drop(*of_images(4, gained=1), 300, 0) == pytest.approx((-0.25, -0.8059, 0.3998), abs=1e-4)
    # 10 of 140 are 0.0348 to 0.1274: the root of 0.0367² + 0.0260² below, and as much above where they are gained
    assert paired_drop(*of_images(140, lost=10), 1000, 0) == pytest.approx((0.0714, 0.0265, 0.1274), abs=1e-4)
    highs = [paired_drop(*of_images(140, lost=lost), 1000, 0)[2] for lost in range(8)]
    assert highs == sorted(highs), "one image more that is lost never proves more"


@pytest.mark.parametrize(("recall", "expected"), [(1.0, 0.3), (0.75, 0.5), (0.6, 0.5), (0.5, 0.8)])
def test_the_highest_threshold_that_finds_a_share_of_the_second_class(recall, expected):
    truth, second = np.array([1, 1, 0, 1, 1, 0]), np.array([0.3, 0.9, 0.95, 0.5, 0.8, 0.1])
    assert threshold_at_recall(truth, second, recall) == pytest.approx(expected)
    assert threshold_at_recall(truth[2:3], second[2:3], recall) == 0.5


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(0.6, 0.1), (0.75, 0.3), (0.8, 0.3), (0.81, None)],  # from the top on 0/1, 1/2, 2/3, 3/4, 4/5, 4/6 are right
)
def test_the_lowest_threshold_at_which_a_share_of_the_second_class_is_right(precision, expected):
    truth, second = np.array([1, 1, 0, 1, 1, 0]), np.array([0.3, 0.9, 0.95, 0.5, 0.8, 0.1])
    assert threshold_at_precision(truth, second, precision) == expected


def test_equal_probabilities_are_called_the_second_class_together():
    truth, second = np.array([1, 1, 0, 0]), np.array([0.5, 0.9, 0.5, 0.2])  # from 0.5 on 2/3, never 2/2
    assert threshold_at_precision(truth, second, 1.0) == 0.9
    assert threshold_at_precision(truth, second, 2 / 3) == 0.5
    assert threshold_at_precision(np.array([0, 0]), np.array([0.5, 0.9]), 0.5) is None
