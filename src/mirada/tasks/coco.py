"""COCO's evaluator, pycocotools, over truths and detections; matched as it matches, without most of its steps.

Its own matching compares each detection with each object at each of ten thresholds, one after the other in Python, which is
most of what an evaluation takes. Nearly all of these pairs overlap too little to matter at any threshold.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mirada.data.records import Example
from mirada.inference.boxes import box_areas, xyxy_to_xywh
from mirada.inference.prediction import Detections
from mirada.tasks.matching import LARGEST

_ALMOST_ONE = 1 - 1e-10  # pycocotools' highest threshold


class Evaluation(COCOeval):
    """pycocotools' evaluation, which looks only at pairs that overlap by the lowest threshold at least."""

    def evaluateImg(self, imgId: int, catId: int, aRng: Sequence[float], maxDet: int) -> dict[str, Any] | None:  # noqa: N802, N803
        """Match one image's detections of one class with its objects; what pycocotools' own returns, or None for nothing."""
        truths, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truths and not found:
            return None
        low, high = aRng
        ignored = np.array([bool(row["ignore"] or row["area"] < low or row["area"] > high) for row in truths], np.int64)
        last = np.argsort(ignored, kind="mergesort")  # what is ignored
        truths, ignored = [truths[i] for i in last], ignored[last]
        best = np.argsort([-row["score"] for row in found], kind="mergesort")[:maxDet]
        found = [found[i] for i in best]
        overlaps = self.ious[imgId, catId]
        thresholds = [min(t, _ALMOST_ONE) for t in self.params.iouThrs.tolist()]
        met = np.full((len(thresholds), len(found)), -1)
        if len(overlaps):
            met = match(overlaps[:, last], thresholds, ignored > 0, [bool(row["iscrowd"]) for row in truths])
        ids, own = np.array([row["id"] for row in truths], float), np.array([row["id"] for row in found], float)
        matched, taken = met >= 0, np.zeros((len(thresholds), len(truths)))
        for step, place in zip(*np.nonzero(matched), strict=True):  # a crowd keeps the last
            taken[step, met[step, place]] = own[place]
        beyond = np.array([row["area"] < low or row["area"] > high for row in found], bool)
        return {
            "image_id": imgId, "category_id": catId, "aRng": aRng, "maxDet": maxDet,
            "dtIds": [row["id"] for row in found],
            "gtIds": [row["id"] for row in truths],
            "dtMatches": np.where(matched, np.append(ids, 0.0)[met], 0.0),
            "gtMatches": taken,
            "dtScores": [row["score"] for row in found],
            "gtIgnore": ignored,
            "dtIgnore": np.where(matched, np.append(ignored, 0)[met] > 0, beyond),
        }  # fmt: skip


def match(overlaps: np.ndarray, thresholds: Sequence[float], ignored: np.ndarray, crowds: Sequence[bool]) -> np.ndarray:
    """Which object each detection is of.

    A detection takes the object that it overlaps most of those that are free, the last of equals; one that is ignored only
    where it may take no other. A crowd is always free.

    Args:
        overlaps: (D, G), the best detection first and what is ignored last.
        thresholds: (T,) least overlaps, rising.
        ignored: (G,) bool.
        crowds: (G,).

    Returns:
        (T, D) int64, the object's index; -1: none.
    """
    met = np.full((len(thresholds), len(overlaps)), -1, np.int64)
    free = [[True] * len(crowds) for _ in thresholds]
    aside = ignored.tolist()
    rows, columns = np.nonzero(overlaps >= thresholds[0])
    pairs = zip(rows.tolist(), columns.tolist(), overlaps[rows, columns].tolist(), strict=True)
    for detection, group in groupby(pairs, itemgetter(0)):
        near = [(index, overlap) for _, index, overlap in group]
        most = max(overlap for _, overlap in near)
        for step, least in enumerate(thresholds):
            if most < least:
                break
            chosen = -1
            for index, overlap in near:
                if chosen >= 0 and aside[index] and not aside[chosen]:
                    break
                if overlap >= least and free[step][index]:
                    chosen, least = index, overlap
            if chosen >= 0:
                met[step, detection] = chosen
                free[step][chosen] = crowds[chosen]
    return met


def run_coco(
    truths: Sequence[Example],
    predictions: Sequence[Detections],
    classes: int,
    max_detections: int,
    sizes: Mapping[str, tuple[float, float]],
    chosen: Sequence[np.ndarray] | None = None,
) -> COCOeval:
    """Evaluate and accumulate; a category's id is the class index + 1 on both sides.

    Args:
        truths, predictions: images and what was found in each.
        classes: how many there are.
        max_detections: counted an image and class.
        sizes: name -> bounds of area that are judged besides all.
        chosen: (G,) bool an image: the others get an area beyond all bounds, which is how COCO leaves out those of other
            sizes; None: all.
    """
    truth_rows: list[dict] = []
    found_rows: list[dict] = []
    for image, (truth, found) in enumerate(zip(truths, predictions, strict=True)):
        truth_rows += _annotations(image, truth.boxes_xyxy, truth.labels, len(truth_rows))
        counts = np.ones(len(truth.labels), bool) if chosen is None else chosen[image]
        own = truth_rows[len(truth_rows) - len(truth.labels) :]
        for row, ignore, counted in zip(own, truth.ignore, counts, strict=True):
            row["iscrowd"] = int(ignore)
            row["area"] = row["area"] if counted else 2 * LARGEST
        found_rows += _annotations(image, found.boxes_xyxy, found.labels, len(found_rows))
        for row, score in zip(found_rows[len(found_rows) - len(found) :], found.scores, strict=True):
            row["score"] = float(score)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = Evaluation(
            _coco(truth_rows, len(truths), classes), _coco(found_rows, len(truths), classes), iouType="bbox"
        )
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng = [[0, LARGEST], *map(list, sizes.values())]
        evaluation.params.areaRngLbl = ["all", *sizes]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _annotations(image: int, boxes_xyxy: np.ndarray, labels: np.ndarray, start: int) -> list[dict]:
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    rows = zip(xyxy_to_xywh(boxes).tolist(), box_areas(boxes).tolist(), labels.tolist(), strict=True)
    return [
        # Ids start at 1: pycocotools takes a match with id 0 for no match.
        {"id": start + i + 1, "image_id": image, "category_id": k + 1, "bbox": box, "area": area, "iscrowd": 0}
        for i, (box, area, k) in enumerate(rows)
    ]


def _coco(rows: list[dict], images: int, classes: int) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": k + 1} for k in range(classes)],
        "annotations": rows,
    }
    coco.createIndex()
    return coco
