"""How sure a drop is: photographs, or blocks of them, are drawn again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.tasks.accuracy import unseen_share

RECALLS = np.linspace(0.0, 1.0, 101)


_CHUNK = 32  # bootstrap samples computed at a time
_HAIR = 1e-9  # drops that differ by less are the same
_FEW = 0.025  # share of resamples without any difference, from which on an end of the interval may rest on that


@dataclass(frozen=True)
class Blocks:
    """Squares that images fall into, so that a few large images can be resampled.

    Attributes:
        side: of a square in pixels.
        sizes: width and height of each image in pixels.
    """

    side: int
    sizes: tuple[tuple[int, int], ...]


def units_of(
    truths: Sequence[Example], predictions: Sequence[Detections], blocks: Blocks | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """What each true box and each detection is resampled with, in the order of `_run_coco`; and how many there are."""
    boxes = ([truth.boxes_xyxy for truth in truths], [found.boxes_xyxy for found in predictions])
    if blocks is None:
        rows = [np.repeat(np.arange(len(side)), [len(boxes_xyxy) for boxes_xyxy in side]) for side in boxes]
        return rows[0], rows[1], len(truths)
    columns = [max(1, -(-width // blocks.side)) for width, _ in blocks.sizes]
    lines = [max(1, -(-height // blocks.side)) for _, height in blocks.sizes]
    starts = np.cumsum([0, *(across * down for across, down in zip(columns, lines, strict=True))])

    def place(image: int, boxes_xyxy: np.ndarray) -> np.ndarray:
        """The block that holds a box's centre."""
        cells = ((boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2 // blocks.side).astype(np.int64)
        cells = np.clip(cells, 0, (columns[image] - 1, lines[image] - 1))
        return starts[image] + cells[:, 1] * columns[image] + cells[:, 0]

    rows = [np.concatenate([place(i, np.asarray(b).reshape(-1, 4)) for i, b in enumerate(side)]) for side in boxes]
    return rows[0], rows[1], int(starts[-1])


def map50_of_samples(matches: Sequence[Matches], weights: np.ndarray) -> np.ndarray:
    """MAP50 of resampled image sets: pycocotools' accumulation, vectorised.

    Args:
        matches: one entry a class.
        weights: (S, images) how often each image is in each sample.

    Returns:
        (S,) mean over the classes with a box in the sample; NaN where there is none. Ones give COCO's own figure.
    """
    total, present = np.zeros(len(weights)), np.zeros(len(weights))
    for match in matches:
        for start in range(0, len(weights), _CHUNK):
            rows = slice(start, start + _CHUNK)
            wanted = weights[rows] @ match.truths
            total[rows] += _weighted_ap(match, weights[rows], wanted)
            present[rows] += wanted > 0
    return np.divide(total, present, out=np.full(len(weights), np.nan), where=present > 0)


def _weighted_ap(match: Matches, weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(S,) average precision of one class; 0 where a sample has no box of it."""
    ap = np.zeros(len(weights))
    hits = np.flatnonzero(match.correct)  # recall grows, and the envelope of precision has its corners, only here
    if len(hits) == 0:
        return ap
    times = weights[:, match.images].astype(np.float64)
    counted = np.cumsum(times * ~match.ignored, axis=1)[:, hits]
    correct = np.cumsum(times[:, hits], axis=1)
    precision = correct / (counted + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for s, count in enumerate(wanted):
        if count > 0:
            at = np.searchsorted(correct[s] / count, RECALLS, side="left")
            ap[s] = envelope[s, at[at < len(hits)]].sum() / len(RECALLS)
    return ap


def bootstrap_drop(
    reference: Sequence[Matches], matches: Sequence[Matches], samples: int, seed: int
) -> tuple[float, float, float]:
    """The drop in mAP50 from a reference to a variant, with its 95 % interval.

    A paired bootstrap over images: both are measured on the same resampled images, so what is hard for both cancels
    (Efron and Tibshirani, percentile interval). Where at least 2.5 % of the resamples show no difference at all, about
    three units or fewer differ, and of rarer losses the bootstrap knows nothing; nor does it where all resamples agree.
    There `unseen_share` of the units that hold something to find may still be lost, or gained, each weighing its share of
    the figure: both ends move out by so much, put together with their distance from the drop as independent ones are.

    Args:
        reference, matches: `DetectionMetrics.matches` of both on the same images.
        samples: resamplings; with 0 the interval is the drop itself.
        seed: of the resampling.

    Returns:
        Drop (positive: the variant is worse), low and high end of the interval; -1 and 1 where there is nothing to find.
    """
    images = len(reference[0].truths)
    ones = np.ones((1, images), np.int64)
    drop = float(np.nan_to_num(map50_of_samples(reference, ones) - map50_of_samples(matches, ones))[0])
    if samples == 0:
        return drop, drop, drop
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=samples)
    drops = map50_of_samples(reference, weights) - map50_of_samples(matches, weights)
    drops = drops[np.isfinite(drops)]
    if len(drops) == 0:
        return drop, -1.0, 1.0
    low, high = (float(end) for end in np.percentile(drops, [2.5, 97.5]))
    if np.mean(np.abs(drops) < _HAIR) >= _FEW or high - low < _HAIR:
        unseen = unseen_share(telling_units(reference))
        low = max(-1.0, drop - math.hypot(drop - low, unseen))
        high = min(1.0, drop + math.hypot(high - drop, unseen))
    return drop, low, high


def telling_units(matches: Sequence[Matches]) -> int:
    """How many units hold a box to be found: a loss would show in these."""
    return int(np.any([match.truths for match in matches], axis=0).sum())


@dataclass
class Matches:
    """One class: its detections, best score first, matched with the truth at IoU 0.5.

    Attributes:
        scores: (D,) score.
        images: (D,) index of the image, or of the block of an image, that is resampled as one.
        correct: (D,) bool; a detection that is neither correct nor ignored is wrong.
        ignored: (D,) bool, lies on an ignore box.
        truths: (images or blocks,) number of boxes to be found.
    """

    scores: np.ndarray
    images: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray
