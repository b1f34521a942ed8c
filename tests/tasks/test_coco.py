"""pycocotools' matching with most of its steps left out, against all of them."""

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.tasks import coco

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 64.0**2), "large": (64.0**2, 1e10)}


def crowded_case(seed: int, images: int = 8) -> tuple[list[Example], list[Detections]]:
    """Boxes on a coarse grid, so that overlaps and scores are equal again and again; crowds, empty images and sides."""
    rng = np.random.default_rng(seed)
    truths, predictions = [], []
    for image in range(images):
        count, said = (0, 0) if image == 0 else rng.integers(0, (9, 60)).tolist()
        corners = rng.integers(0, 6, (count, 2)) * 12.0
        boxes = np.concatenate([corners, corners + rng.integers(1, 7, (count, 2)) * 12.0], axis=1)
        truths.append(Example("x", b"", boxes, rng.integers(0, 2, count), rng.uniform(size=count) < 0.3, "x"))
        corners = rng.integers(0, 12, (said, 2)) * 6.0
        found = np.concatenate([corners, corners + rng.integers(2, 14, (said, 2)) * 6.0], axis=1)
        predictions.append(Detections(found, rng.integers(0, 10, said) / 10, rng.integers(0, 2, said)))
    return truths, predictions


@pytest.mark.parametrize("seed", range(6))
def test_evaluation_equals_pycocotools_own(seed, monkeypatch):
    truths, predictions = crowded_case(seed)
    ours = coco.run_coco(truths, predictions, 3, 25, SIZES)
    monkeypatch.setattr(coco, "Evaluation", COCOeval)
    theirs = coco.run_coco(truths, predictions, 3, 25, SIZES)
    assert sum(np.count_nonzero(row["dtMatches"]) for row in theirs.evalImgs if row) > 200
    for key in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours.eval[key], theirs.eval[key])
    assert len(ours.evalImgs) == len(theirs.evalImgs) == 3 * 4 * 8
    for mine, own in zip(ours.evalImgs, theirs.evalImgs, strict=True):
        assert (mine is None) == (own is None)
        for key in own or ():
            np.testing.assert_array_equal(mine[key], own[key], err_msg=key)


def test_a_detection_takes_the_object_it_overlaps_most():
    """Columns: two objects, one that is ignored, a crowd; the best detection first."""
    overlaps = np.array([[0.6, 0.7, 0.9, 0.0], [0.6, 0.7, 0.9, 0.0], [0.4, 0.7, 0.9, 0.8], [0.4, 0.7, 0.9, 0.8]])
    met = coco.match(overlaps, [0.5, 0.75], np.array([False, False, True, True]), [False, False, False, True])
    assert met.tolist() == [[1, 0, 2, 3], [2, -1, 3, 3]]


def test_of_equal_overlaps_the_last_is_taken():
    overlaps = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    assert coco.match(overlaps, [0.5], np.array([False, False]), [False, False]).tolist() == [[1, 0, -1]]
