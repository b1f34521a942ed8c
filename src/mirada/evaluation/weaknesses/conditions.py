"""How many objects are found: by size, by what hides them or overlaps them, and of those that were set aside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mirada.data.records import HIDDEN, Example
from mirada.inference.boxes import box_areas, iou_matrix
from mirada.inference.prediction import Detections
from mirada.inference.variants import REFERENCE
from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.tables import Table
from mirada.tasks.accuracy import wilson_interval
from mirada.tasks.average_precision import DetectionMetrics, ap50_by_area, ap50_of_objects
from mirada.tasks.matching import match_image

SIDES = (0, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, math.inf)
"""Bounds of an object's side, square root of the area, in pixels of the photograph; the upper one is exclusive."""
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 1.0)
"""Bounds of the largest IoU with another object of the photograph, the upper one inclusive; 0 is a group of its own."""
ENOUGH = 10
"""So many objects must be annotated as truncated, or as occluded, for a group of their own."""
HEADS = {
    "side": "side in pixels",
    "overlap": "IoU with its nearest neighbour",
    "occlusion": "as annotated",
    "flag": "in the data",
}


@dataclass(frozen=True)
class Group:
    """Objects that have something in common.

    Attributes:
        by: 'side', 'overlap', 'occlusion' or 'flag'.
        name: of the group, such as '16–24' or 'truncated'.
        objects: how many.
        found: variant -> how many it found at its own threshold, right label and IoU of 0.5 at least.
        ap50: variant -> average precision at IoU 0.5 of these objects; empty for those that were set aside.
    """

    by: str
    name: str
    objects: int
    found: dict[str, int]
    ap50: dict[str, float]

    def recall(self, variant: str) -> float:
        """The share of them that a variant found."""
        return self.found[variant] / self.objects


def group_objects(
    truths: Sequence[Example],
    predictions: Mapping[str, Sequence[Detections]],
    results: Mapping[str, DetectionMetrics],
    classes: int,
) -> list[Group]:
    """Sort the objects of photographs into groups and count what was found; groups without an object are left out.

    Args:
        truths: the photographs' objects.
        predictions: variant -> what it found, in the same order and pixels.
        results: variant -> its result, for its threshold.
        classes: how many there are.
    """
    sides = np.concatenate([np.sqrt(box_areas(truth.boxes_xyxy.astype(np.float64))) for truth in truths])
    overlaps = np.concatenate([_largest_overlap(truth) for truth in truths])
    aside = np.concatenate([truth.ignore for truth in truths])
    found = {name: _found(truths, row, results[name].threshold) for name, row in predictions.items()}
    groups = []
    for low, high in zip(SIDES, SIDES[1:], strict=False):
        chosen = ~aside & (sides >= low) & (sides < high)
        if chosen.any():
            area = (low**2, 1e10 if math.isinf(high) else math.nextafter(high**2, 0))
            ap50 = {name: ap50_by_area(truths, row, classes, area) for name, row in predictions.items()}
            groups.append(_group("side", f"≥ {low}" if math.isinf(high) else f"{low}–{high}", chosen, found, ap50))
    for low, high in zip((-1.0, *OVERLAPS), OVERLAPS, strict=False):
        chosen = ~aside & (overlaps > low) & (overlaps <= high)
        if chosen.any():
            name = "none" if low < 0 else f"{low:g}–{high:g}"
            groups.append(_group("overlap", name, chosen, found, _ap50_of(chosen, truths, predictions, classes)))
    for kind, chosen in _by_occlusion(truths, aside).items():
        groups.append(_group("occlusion", kind, chosen, found, _ap50_of(chosen, truths, predictions, classes)))
    if aside.any():
        groups.append(_group("flag", "set aside: difficult, a crowd or cut off", aside, found, {}))
    return groups


def _group(by: str, name: str, chosen: np.ndarray, found: Mapping[str, np.ndarray], ap50: dict[str, float]) -> Group:
    return Group(by, name, int(chosen.sum()), {variant: int(row[chosen].sum()) for variant, row in found.items()}, ap50)


def _ap50_of(
    chosen: np.ndarray, truths: Sequence[Example], predictions: Mapping[str, Sequence[Detections]], classes: int
) -> dict[str, float]:
    """Variant -> average precision of the chosen objects, (N,) bool over those of all photographs in order."""
    parts = np.split(chosen, np.cumsum([len(truth.labels) for truth in truths])[:-1])
    return {name: ap50_of_objects(truths, row, classes, parts) for name, row in predictions.items()}


def _by_occlusion(truths: Sequence[Example], aside: np.ndarray) -> dict[str, np.ndarray]:
    """Group -> (N,) bool over all objects, in order: those that are plain to see, truncated, occluded.

    An object that is both is in two groups; one of which nothing is said is in none. Empty where too few are annotated.
    """
    said = {
        name: np.concatenate([truth.hidden.get(name, np.full(len(truth.labels), -1)) for truth in truths])
        for name in HIDDEN
    }
    groups = {name: (row == 1) & ~aside for name, row in said.items()}
    groups = {name: chosen for name, chosen in groups.items() if chosen.sum() >= ENOUGH}
    plain = np.max(list(said.values()), axis=0) == 0
    return {"plain": plain & ~aside} | groups if groups and (plain & ~aside).any() else groups


def _largest_overlap(truth: Example) -> np.ndarray:
    """(N,) largest IoU of each box with another one of its image; 0 where it is alone."""
    boxes = truth.boxes_xyxy.astype(np.float64)
    if len(boxes) < 2:
        return np.zeros(len(boxes))
    overlap = iou_matrix(boxes, boxes)
    np.fill_diagonal(overlap, 0.0)
    return overlap.max(axis=1)


def _found(truths: Sequence[Example], predictions: Sequence[Detections], threshold: float) -> np.ndarray:
    """(N,) bool over all objects, in order: found with the right label; those that were set aside are matched alone."""
    rows = []
    for truth, prediction in zip(truths, predictions, strict=True):
        hit, shown = np.zeros(len(truth.labels), bool), prediction.at_least(threshold)
        for side in (truth, replace(truth, ignore=~truth.ignore)):
            for i, j in match_image(side, shown)[0]:
                hit[j] |= bool(shown.labels[i] == truth.labels[j])
        rows.append(hit)
    return np.concatenate(rows)


def conditions_table(groups: Sequence[Group], by: str) -> Table | None:
    """A row a group: its objects, and each variant's recall with its 95 % interval, and AP50 where there is one."""
    chosen = [group for group in groups if group.by == by]
    if not chosen:
        return None
    names, with_ap = list(chosen[0].found), bool(chosen[0].ap50)
    rows = []
    for group in chosen:
        cells = [group.name, str(group.objects)]
        for name in names:
            low, high = wilson_interval(group.found[name], group.objects)
            cells.append(f"{group.recall(name):.3f} [{low:.2f}, {high:.2f}]")
        rows.append(cells + [f"{group.ap50[name]:.3f}" for name in names if with_ap])
    heads = [f"{name}: recall [95 %]" for name in names] + [f"{name}: AP50" for name in names if with_ap]
    return Table([HEADS[by], "objects", *heads], rows)


def say_occlusion(groups: Sequence[Group]) -> str:
    """How to read the groups by occlusion, or what stands for them."""
    if any(group.by == "occlusion" for group in groups):
        return (
            "Truncated and occluded are the objects that the data annotate so, plain those that are annotated as neither; "
            "detections of nothing count in the AP50 of each, so that it compares the variants, not the groups."
        )
    return (
        f"The data annotate fewer than {ENOUGH} objects here as truncated or as occluded, so that the overlap with the "
        "nearest neighbour stands for what hides an object."
    )


def plot_conditions(groups: Sequence[Group], by: str, *, dark: bool = False) -> bytes:
    """Recall of each group as a PNG, a mark a variant, with the 95 % interval as its bar."""
    figure, axes = new_figure(dark, 6.4, 3.6)
    chosen = [group for group in groups if group.by == by]
    names = list(chosen[0].found) if chosen else [REFERENCE]
    for number, name in enumerate(names):
        places = np.arange(len(chosen)) + 0.16 * (number - (len(names) - 1) / 2)
        recalls = np.array([group.recall(name) for group in chosen])
        ends = np.array([wilson_interval(group.found[name], group.objects) for group in chosen]).reshape(-1, 2)
        reach: Any = np.abs(ends.T - recalls)
        axes.errorbar(places, recalls, reach, fmt="os^D"[number % 4], color=line_colour(number), label=name, capsize=3)
    axes.set_xticks(np.arange(len(chosen)), [f"{group.name}\n{group.objects}" for group in chosen])
    axes.set(xlabel=f"{HEADS[by]}; below, the number of objects", ylabel="share found", ylim=(0, 1.03))
    axes.set_xlim(-0.5, max(len(chosen), 1) - 0.5)  # two groups don't stand at the far ends
    axes.legend(frameon=False, labelcolor=ink_colour(dark))
    return to_png(figure)
