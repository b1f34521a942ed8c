"""Train and test that differ: if a small classifier can tell which split an image is of, figures of the test mean less.

Source: the classifier two-sample test, Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017.
"""

from __future__ import annotations

import numpy as np

from mirada.inspection.finding import Example, Finding
from mirada.inspection.survey import Survey, area

MOST = 1500  # images of a split that are looked at
LEAST = 20
TOLD_APART = 0.65  # area under the ROC curve; 0.5 is chance
SURELY = 3.0  # standard errors above chance
CLEARLY = 0.85
TOLD_ALONE = 0.6  # of one statistic
STATISTICS = (
    *("width", "height", "aspect", "bytes a pixel", "brightness", "contrast", "colour", "sharpness"),
    *("red", "green", "blue", "objects", "median object's share of the image"),
)


def find_shift(survey: Survey) -> list[Finding]:
    """Images of test that can be told from those of train by simple statistics."""
    train, test = (chosen(survey, split) for split in ("train", "test"))
    if min(len(train), len(test)) < LEAST:
        return []
    table = np.array([statistics_of(survey, source) for source in (*train, *test)])
    thumbnails = np.array([_coarse(survey, source) for source in (*train, *test)])
    is_test = np.repeat([0, 1], [len(train), len(test)])
    value, scores = tell_apart(np.hstack([table, thumbnails]), is_test)
    chance = np.sqrt((len(train) + len(test) + 1) / (12 * len(train) * len(test)))
    if value < TOLD_APART or value < 0.5 + SURELY * chance:
        return []
    singly = [single_auc(column, is_test) for column in table.T]
    order = np.argsort([-abs(auc - 0.5) for auc in singly], kind="stable")[:4]
    rows = tuple(
        (STATISTICS[i], f"{np.median(table[: len(train), i]):.4g}", f"{np.median(table[len(train) :, i]):.4g}",
         f"{max(singly[i], 1 - singly[i]):.2f}")
        for i in order
    )  # fmt: skip
    best = max(singly[order[0]], 1 - singly[order[0]])
    by = f"most by {STATISTICS[order[0]]}" if best >= TOLD_ALONE else "by no statistic alone"
    sentence = (
        f"Train and test differ: a small classifier tells images of the one from images of the other, with an AUC of "
        f"{value:.2f} (0.50 is chance), {by}."
    )
    far = np.argsort(-scores[len(train) :], kind="stable")
    examples = tuple(Example(test[i], f"test, {scores[len(train) + i]:.0%} sure") for i in far)
    mend = "data.split.kind=ratio, unless the test is meant to be another place or time"
    severity = "warning" if value >= CLEARLY else "note"
    head = ("median of", "train", "test", "AUC alone")
    return [Finding("splits_differ", severity, len(test), sentence, mend, examples, (head, *rows))]


def chosen(survey: Survey, split: str) -> list[str]:
    """Images of a split, at most MOST, evenly taken."""
    sources = [image.source for image in survey.images if survey.split_of(image.source) == split]
    step = max(1.0, len(sources) / MOST)
    return [sources[int(number * step)] for number in range(min(MOST, len(sources)))]


def statistics_of(survey: Survey, source: str) -> list[float]:
    """The figures of STATISTICS for an image."""
    seen = survey.seen[source]
    image = survey.by_source[source]
    sizes = [area(box) for box in image.boxes] if survey.shows_boxes else []
    pixels = image.width * image.height
    return [
        *(image.width, image.height, image.width / image.height, seen.size_bytes / pixels),
        *(seen.brightness, seen.contrast, seen.colour, seen.sharpness, *seen.mean),
        *(len(sizes), float(np.median(sizes)) / pixels if sizes else 0.0),
    ]


def _coarse(survey: Survey, source: str) -> np.ndarray:
    """(16,) how bright each part of the image is."""
    return survey.seen[source].thumbnail_array().reshape(4, 8, 4, 8).mean(axis=(1, 3)).ravel()


def tell_apart(table: np.ndarray, is_test: np.ndarray) -> tuple[float, np.ndarray]:
    """How well a random forest tells two kinds of rows apart, rows it was not trained on.

    Args:
        table: (N, F).
        is_test: (N,) 0 or 1.

    Returns:
        The area under the ROC curve over five folds, and (N,) each row's share of trees that say 1.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    forest = RandomForestClassifier(100, min_samples_leaf=3, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(forest, table, is_test, cv=folds, method="predict_proba")[:, 1]
    return single_auc(scores, is_test), scores


def single_auc(values: np.ndarray, is_test: np.ndarray) -> float:
    """The probability that a value of kind 1 is above one of kind 0, ties counting half."""
    ordered = np.sort(values[is_test == 0])
    ones = values[is_test == 1]
    below, upto = np.searchsorted(ordered, ones, "left"), np.searchsorted(ordered, ones, "right")
    return float((below + upto).mean() / 2 / len(ordered))
