"""Boxes that are hardly meant so: drawn twice, one in another of its class, a few pixels large, over the whole image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mirada.data.annotations import RawImage
from mirada.inference.boxes import box_areas, intersections
from mirada.inspection.finding import Example, Finding, many, percent
from mirada.inspection.survey import Survey, area

SAME = 0.85  # intersection over union from which two boxes are of one object
INSIDE = 0.95  # share of a box that lies in another
TINY = 3.0  # pixels of the image: a side below that is a slip of the mouse
COVERING = 0.98  # share of the image
_BLOCK = 512  # boxes compared with all others at a time, so that memory stays flat

Pair = tuple[int, int, float]


def find_overlaps(survey: Survey) -> list[Finding]:
    """Objects drawn twice, drawn twice with two labels, or one in another of the same class."""
    if not survey.shows_boxes:
        return []
    kinds: dict[str, list[tuple[RawImage, list[Pair]]]] = {"repeated": [], "disagreeing": [], "nested": []}
    for image in survey.images:
        if len(image.boxes) > 1:
            for kind, pairs in pairs_of(image).items():
                if pairs:
                    kinds[kind].append((image, pairs))
    told = {
        "repeated": ("warning", "drawn twice: two boxes of one class lie on each other", "delete one of the two"),
        "disagreeing": ("warning", "with two labels: boxes of two classes lie on each other", "decide which it is"),
        "nested": ("note", "inside another of the same class", "is it a part, a group, or a box too many?"),
    }  # fmt: skip
    total = sum(len(image.boxes) for image in survey.images)
    findings = []
    for kind, found in kinds.items():
        count = sum(len(pairs) for _, pairs in found)
        if not count:
            continue
        severity, words, mend = told[kind]
        if kind == "nested" and count > 0.05 * total:
            severity = "warning"
        found.sort(key=lambda pair: (-len(pair[1]), pair[0].source))
        examples = tuple(_example(image, pairs) for image, pairs in found)
        sentence = f"{many(count, 'object')} {words}, in {many(len(found), 'image')}."
        findings.append(Finding(f"boxes_{kind}", severity, count, sentence, mend, examples))
    return findings


def pairs_of(image: RawImage) -> dict[str, list[Pair]]:
    """Pairs of boxes: 'repeated', 'disagreeing' and 'nested', each (one, other, by how much), the nested one first."""
    corners = np.array([(box.x1, box.y1, box.x2, box.y2) for box in image.boxes])
    labels = np.array([box.label for box in image.boxes])
    areas = box_areas(corners)
    found: dict[str, list[Pair]] = {"repeated": [], "disagreeing": [], "nested": []}
    for rows, shared in _intersections(corners):
        union = areas[rows, None] + areas[None] - shared
        overlap = shared / union
        later = rows[:, None] < np.arange(len(areas))[None]
        same_label = labels[rows, None] == labels[None]
        for kind, meant in (("repeated", same_label), ("disagreeing", ~same_label)):
            for i, j in np.argwhere((overlap >= SAME) & later & meant):
                found[kind].append((int(rows[i]), int(j), float(overlap[i, j])))
        inside = (shared >= INSIDE * areas[rows, None]) & (areas[rows, None] < 0.5 * areas[None]) & same_label
        for i in np.flatnonzero(inside.any(axis=1)):
            outer = int(np.flatnonzero(inside[i])[0])
            found["nested"].append((int(rows[i]), outer, float(shared[i, outer] / areas[rows[i]])))
    return found


def _intersections(corners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers and the area that each of these boxes shares with every box, a block at a time."""
    for start in range(0, len(corners), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(corners)))
        yield rows, intersections(corners[rows], corners)


def _example(image: RawImage, pairs: list[Pair]) -> Example:
    meant = dict.fromkeys(number for one, other, _ in pairs[:3] for number in (one, other))
    others = tuple(box for number, box in enumerate(image.boxes) if number not in meant)
    note = f"overlap {pairs[0][2]:.2f}" if len(pairs) == 1 else f"{len(pairs)} pairs"
    return Example(image.source, note, tuple(image.boxes[number] for number in meant), others)


def find_tiny(survey: Survey) -> list[Finding]:
    """Boxes that are a slip of the mouse."""
    if not survey.shows_boxes:
        return []
    examples = []
    count = 0
    for image in survey.images:
        tiny = tuple(box for box in image.boxes if min(box.x2 - box.x1, box.y2 - box.y1) < TINY)
        if tiny:
            count += len(tiny)
            examples.append(Example(image.source, many(len(tiny), "box", "boxes"), tiny))
    if not count:
        return []
    sentence = (
        f"{many(count, 'box', 'boxes')} narrower than {TINY:g} pixels of the image, in {many(len(examples), 'image')}."
    )
    return [Finding("boxes_tiny", "warning", count, sentence, "delete them, or draw them anew", tuple(examples))]


def find_covering(survey: Survey) -> list[Finding]:
    """Boxes over the whole image, which tell a detector nothing about where."""
    if not survey.shows_boxes:
        return []
    examples = tuple(
        Example(image.source, box.label, (box,))
        for image in survey.images
        for box in image.boxes
        if area(box) >= COVERING * image.width * image.height
    )
    if not examples:
        return []
    total = sum(len(image.boxes) for image in survey.images)
    share = len(examples) / total
    severity = "warning" if share > 0.5 else "note"
    sentence = f"{many(len(examples), 'box', 'boxes')} ({percent(share)}) over the whole image."
    mend = (
        "data.task=classification, if no box says where" if severity == "warning" else "look whether they are meant so"
    )
    return [Finding("boxes_covering", severity, len(examples), sentence, mend, examples)]
