"""How good one label an image is: accuracy, ROC, calibration, confusion, and the best threshold of two classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FALSE_POSITIVE_RATES = np.linspace(0.0, 1.0, 101)
CALIBRATION_BINS = 15  # of equal width, as Guo et al. (2017) have them
_TAIL = 0.025  # beyond each end of a 95 % interval
_TINY = 1e-12  # probability below which the log loss does not look


@dataclass
class LabelMetrics:
    """One class: 0..1, 0 where it was never chosen or (recall) is not among the images; `truths` counts its images."""

    precision: float
    recall: float
    f1: float
    truths: int


@dataclass
class ClassificationMetrics:
    """Figures of one model on one split.

    Attributes:
        accuracy: share of images with the right label; accuracy_low, accuracy_high: its 95 % interval (Wilson).
        balanced_accuracy: mean recall over the classes that the truth has.
        auc: area under the ROC curve, of the second of two classes, else the mean over the classes, each against the
            rest; None where the truth has one class only.
        macro_f1: mean over the classes that were there or chosen.
        log_loss: mean of -ln of the true label's probability.
        ece: expected calibration error: mean distance between the chosen label's probability and the share of right
            ones, in 15 bins of equal width (Guo et al. 2017).
        per_class: label -> its figures.
        roc: (101,) true positive rate at `FALSE_POSITIVE_RATES`, averaged as `auc` is; None where `auc` is.
        confusion: (K, K) counts, actual by chosen.
        correct: (N,) bool, the images with the right label.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    auc: float | None
    macro_f1: float
    log_loss: float
    ece: float
    per_class: dict[str, LabelMetrics]
    roc: np.ndarray | None
    confusion: np.ndarray
    correct: np.ndarray

    @property
    def figures(self) -> dict[str, float]:
        """The figures of `metrics.json`; one that is not defined is left out."""
        names = ("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "auc", "macro_f1", "log_loss", "ece")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def measure_labels(
    truth: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray, labels: Sequence[str]
) -> ClassificationMetrics:
    """Compare chosen labels and their probabilities with the truth.

    Args:
        truth: (N,) index of each image's label.
        probabilities: (N, K), 0..1.
        chosen: (N,) index of the label chosen for each image.
        labels: class names.

    Raises:
        ValueError: there is no image.
    """
    if len(truth) == 0:
        raise ValueError("no image to measure")
    classes = len(labels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (truth, chosen), 1)
    correct = truth == chosen
    per_class = {label: _label_metrics(confusion, k) for k, label in enumerate(labels)}
    there = [m for m in per_class.values() if m.truths]
    met = [m for k, m in enumerate(per_class.values()) if m.truths or confusion[:, k].any()]
    low, high = wilson_interval(int(correct.sum()), len(truth))
    own = probabilities[np.arange(len(truth)), truth]
    aucs = [_auc_and_roc(probabilities[:, k], truth == k) for k in ([1] if classes == 2 else range(classes))]
    defined = [pair for pair in aucs if pair is not None]
    return ClassificationMetrics(
        accuracy=float(correct.mean()),
        accuracy_low=low,
        accuracy_high=high,
        balanced_accuracy=sum(m.recall for m in there) / len(there),
        auc=float(np.mean([auc for auc, _ in defined])) if defined else None,
        macro_f1=sum(m.f1 for m in met) / len(met),
        log_loss=float(-np.log(np.clip(own, _TINY, 1)).mean()),
        ece=calibration_error(probabilities[np.arange(len(truth)), chosen], correct),
        per_class=per_class,
        roc=np.mean([roc for _, roc in defined], axis=0) if defined else None,
        confusion=confusion,
        correct=correct,
    )


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share, 0..1 (Wilson 1927)."""
    share = hits / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def share_interval(hits: int, total: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, 0..1 (Clopper and Pearson 1934).

    Args:
        hits: 0..total. total: at least 1.

    >>> [round(end, 3) for end in share_interval(1, 4)]
    [0.006, 0.806]
    """
    from scipy.special import betaincinv

    low = float(betaincinv(hits, total - hits + 1, _TAIL)) if hits else 0.0
    high = float(betaincinv(hits + 1, total - hits, 1 - _TAIL)) if hits < total else 1.0
    return low, high


def unseen_share(total: float) -> float:
    """The upper end of `share_interval(0, total)`: as often may happen what none of so many units has shown.

    >>> [round(unseen_share(total), 3) for total in (0, 4, 39, 140, 368)]
    [1.0, 0.602, 0.09, 0.026, 0.01]
    """
    return float(1 - _TAIL ** (1 / total)) if total else 1.0


def drop_interval(lost: int, gained: int, images: int) -> tuple[float, float]:
    """The 95 % interval of the share of images lost less that gained, from the exact intervals of both.

    The distances of both shares from their ends are put together as independent ones are (method of variance estimates
    recovery, Zou and Donner 2008, after Newcombe 1998). Where none is gained nor lost, the ends are `unseen_share`.

    Args:
        lost, gained: images. images: at least 1.

    >>> [round(end, 3) for end in drop_interval(0, 0, 39)], [round(end, 3) for end in drop_interval(1, 0, 4)]
    ([-0.09, 0.09], [-0.4, 0.806])
    """
    drop, shares = (lost - gained) / images, (lost / images, gained / images)
    (lost_low, lost_high), (gained_low, gained_high) = share_interval(lost, images), share_interval(gained, images)
    below = ((shares[0] - lost_low) ** 2 + (gained_high - shares[1]) ** 2) ** 0.5
    above = ((lost_high - shares[0]) ** 2 + (shares[1] - gained_low) ** 2) ** 0.5
    return drop - below, drop + above


def _label_metrics(confusion: np.ndarray, k: int) -> LabelMetrics:
    hits, truths, chosen = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
    return LabelMetrics(
        precision=hits / chosen if chosen else 0.0,
        recall=hits / truths if truths else 0.0,
        f1=2 * hits / (truths + chosen) if truths + chosen else 0.0,
        truths=truths,
    )


def _auc_and_roc(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Area under the ROC curve, ties at half, and the true positive rate at `FALSE_POSITIVE_RATES`; None for one class."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores pass or fail together
    true_rate = np.append(0, np.cumsum(positive[order])[last] / positives)
    false_rate = np.append(0, np.cumsum(~positive[order])[last] / negatives)
    area = float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2))
    at = np.searchsorted(false_rate, FALSE_POSITIVE_RATES + 1e-9, side="right") - 1
    return area, true_rate[at]


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, 0..1, of (N,) probabilities and whether each was right."""
    bins = np.minimum((confidences * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.abs(np.bincount(bins, correct, CALIBRATION_BINS) - np.bincount(bins, confidences, CALIBRATION_BINS))
    return float(gaps.sum() / len(correct))


def best_threshold(truth: np.ndarray, second: np.ndarray) -> float:
    """The probability of the second of two classes from which on choosing it gives the best balanced accuracy.

    Args:
        truth: (N,) 0 or 1.
        second: (N,) probability of the second class.

    Returns:
        The middle of the widest gap between probabilities in which balanced accuracy is highest; 0.5 where the truth has
        one class only.
    """
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not positives or not negatives:
        return 0.5
    steps = np.unique(second)
    edges = np.concatenate(
        [[0.0], steps, [1.0]]
    )  # between edges[i] and edges[i + 1], only scores from steps[i] on pass
    hits = 1 - np.append(np.searchsorted(np.sort(second[truth == 1]), steps), positives) / positives
    spared = np.append(np.searchsorted(np.sort(second[truth == 0]), steps), negatives) / negatives
    balanced = hits + spared
    widths = np.where(balanced >= balanced.max() - 1e-12, np.diff(edges), -1.0)
    best = int(np.argmax(widths))
    return float((edges[best] + edges[best + 1]) / 2)


def threshold_at_recall(truth: np.ndarray, second: np.ndarray, recall: float) -> float:
    """The highest probability of the second of two classes from which on a share of its images is found.

    Args:
        truth: (N,) 0 or 1.
        second: (N,) probability of the second class.
        recall: the share, above 0.

    Returns:
        The threshold; 0.5 where the truth has none of the second class.
    """
    found = np.sort(second[truth == 1])[::-1]
    return float(found[math.ceil(recall * len(found) - 1e-9) - 1]) if len(found) else 0.5


def threshold_at_precision(truth: np.ndarray, second: np.ndarray, precision: float) -> float | None:
    """The lowest probability of the second of two classes from which on a share of what is called so is right.

    Args:
        truth: (N,) 0 or 1.
        second: (N,) probability of the second class.
        precision: the share, above 0.

    Returns:
        The threshold, one of these probabilities; None where none of them reaches the share.
    """
    order = np.argsort(-second, kind="stable")
    scores = second[order]
    right = np.cumsum(truth[order] == 1) / np.arange(1, len(scores) + 1)
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # equal ones are called so together
    reached = np.flatnonzero(last & (right >= precision - 1e-9))
    return float(scores[reached[-1]]) if len(reached) else None


def paired_drop(reference: np.ndarray, variant: np.ndarray, samples: int, seed: int) -> tuple[float, float, float]:
    """The drop in a share of images from a reference to a variant, with its 95 % interval.

    A paired bootstrap over images. Only how many images were lost and how many gained matters, so resampling images is
    drawing these counts from a multinomial distribution. What no image has shown it never draws: of few images, or few
    that differ, it knows too little. So each end lies at least as far out as `drop_interval` has it.

    Args:
        reference, variant: (N,) bool, whether each image came out right.
        samples: resamplings; with 0 the interval is the drop itself.
        seed: of the resampling.

    Returns:
        Drop (positive: the variant is worse), low and high end of the interval.
    """
    images = len(reference)
    lost, gained = int(np.sum(reference & ~variant)), int(np.sum(variant & ~reference))
    drop = (lost - gained) / images
    if samples == 0:
        return drop, drop, drop
    shares = np.array([lost, gained, images - lost - gained]) / images
    counts = np.random.default_rng(seed).multinomial(images, shares, size=samples)
    low, high = np.percentile((counts[:, 0] - counts[:, 1]) / images, [2.5, 97.5])
    least, most = drop_interval(lost, gained, images)
    return drop, min(float(low), least), max(float(high), most)
