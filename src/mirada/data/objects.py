"""From images with any number of objects to what a task can learn: one object, or one label, an image.

Pure functions on metadata; no file is opened here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mirada.config import TASKS, DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.records import HIDDEN, Box
from mirada.data.tiles import Region
from mirada.errors import MiradaError

SHOWN = 0.1  # share of another object that a window may show

ADVICE = {
    "no_object": "it shows no object of the wanted classes: annotate one or remove the image",
    "several_objects": "it shows several objects: set data.several to crop or largest, or remove all but one",
    "several_labels": "its objects have several labels, and classification wants one: remove the image or the others",
    "objects_overlap": "its objects overlap too much to be shown one by one: set data.several=largest or remove it",
    "copies_disagree": "the same image has another label elsewhere: leave it where it belongs",
}


def reject(image: RawImage, reason: str) -> Rejected:
    """Leave an image out."""
    return Rejected(image.source, reason, ADVICE[reason])


def choose_classes(
    images: list[RawImage], data: DataConfig, raw_dir: str, notes: list[str]
) -> tuple[list[RawImage], list[str], Counter[str]]:
    """The images with boxes of the wanted classes only, the classes, and how many boxes were left out or renamed.

    Args:
        images: as read.
        data: its `classes`, `merge_labels` and `task`.
        raw_dir: for a message.
        notes: receives which labels are one.

    Raises:
        MiradaError: there is no object, or the classes make no sense.
    """
    counts = Counter(box.label for image in images for box in image.boxes)
    if not counts:
        raise MiradaError(f"{raw_dir} holds images but not one box: annotate objects first.")
    merged = merge_spellings(counts, data.classes) if data.merge_labels else {}
    if merged:
        notes += [f"the label {old!r} is taken for {new!r} (data.merge_labels)" for old, new in sorted(merged.items())]
        images = [
            replace(image, boxes=tuple(replace(box, label=merged.get(box.label, box.label)) for box in image.boxes))
            for image in images
        ]
    found = {merged.get(label, label) for label in counts}
    classes = list(data.classes) or sorted(found)
    check_labels(classes, found, data)
    kept = [replace(image, boxes=tuple(box for box in image.boxes if box.label in classes)) for image in images]
    left_out = sum(len(image.boxes) for image in images) - sum(len(image.boxes) for image in kept)
    renamed = sum(counts[old] for old in merged)
    return kept, classes, +Counter({"label_not_wanted": left_out, "label_merged": renamed})


def count_hidden(images: Iterable[RawImage], data: DataConfig) -> dict[str, int]:
    """Name of `HIDDEN` -> how many objects have that flag, of those flags that one has at least.

    A flag that no object has tells nothing: most tools write a no where nobody looked. Only a task that is shown all objects
    is told of them.
    """
    if TASKS[data.task] != "objects":
        return {}
    boxes = [box for image in images for box in image.boxes]
    counts = {name: sum(getattr(box, name) is True for box in boxes) for name in HIDDEN}
    return {name: count for name, count in counts.items() if count}


def merge_spellings(counts: Mapping[str, int], wanted: Sequence[str]) -> dict[str, str]:
    """Labels that differ in case or outer space alone, each with the spelling to use instead of it.

    Args:
        counts: label -> number of its objects.
        wanted: of `data.classes`; a spelling in it is used, else the most frequent one.
    """
    groups: dict[str, list[str]] = {}
    for label in counts:
        groups.setdefault(label.strip().casefold(), []).append(label)
    merged: dict[str, str] = {}
    for key, labels in groups.items():
        named = [label for label in wanted if label.strip().casefold() == key]
        if len(named) > 1:
            continue  # they are told apart on purpose
        best = named[0] if named else min(labels, key=lambda label: (-counts[label], label))
        merged |= {label: best for label in labels if label != best}
    return merged


def check_labels(classes: Sequence[str], found: Collection[str], data: DataConfig) -> None:
    """Refuse classes with which no training makes sense, before anything slow.

    Args:
        classes: to be learnt.
        found: labels of the objects.
        data: its `task` and `format`.

    Raises:
        MiradaError: the sentence names the class and what to do.
    """
    for label in classes:
        if label in ("True", "False", "None") and label not in found:
            raise MiradaError(
                f"Class {label!r} of data.classes is what YAML makes of a word such as no, off, yes or null: write it "
                'in quotes ("no").'
            )
        if label not in found and re.fullmatch(r"-?\d+(\.\d+)?", label):
            raise MiradaError(
                f"Class {label!r} of data.classes is no label here: of 0123 or 1e3 in a file of conf/ YAML makes another "
                'number, so write it in quotes ("0123"), or take it out.'
            )
    if data.task == "classification" and len(classes) < 2:
        where = ": give the folder that holds one folder for each class" if data.format == "folder" else ""
        raise MiradaError(
            f"There is one class only, {classes[0]!r}, and a classifier has nothing to tell it from: add images of a second "
            f"class, or correct data.path or data.classes{where}."
        )


def single_out(image: RawImage, data: DataConfig) -> RawImage | Rejected:
    """Make an image fit for its task; for one that is shown all objects every image is.

    Difficult objects count only where there are no others.

    Args:
        image: with boxes of the wanted classes only.
        data: its `task` and `several`.

    Returns:
        For a label the image with one box that spans it, for one object with its box (or, to be cropped later,
        with several); `repairs` tells what was dropped. Or why the image can't be used.
    """
    if TASKS[data.task] == "objects":
        return image
    boxes = tuple(box for box in image.boxes if not box.difficult) or image.boxes
    boxes = tuple(replace(box, difficult=False) for box in boxes)
    if not boxes:
        return reject(image, "no_object")
    if TASKS[data.task] == "label":
        if len({box.label for box in boxes}) > 1:
            return reject(image, "several_labels")
        whole = Box(0.0, 0.0, float(image.width), float(image.height), boxes[0].label)
        return replace(image, boxes=(whole,))
    if len(boxes) == 1:
        return replace(image, boxes=boxes)
    if data.several == "reject":
        return reject(image, "several_objects")
    if data.several == "largest":
        largest = max(boxes, key=_area)
        return replace(image, boxes=(largest,), repairs=(*image.repairs, *("object_dropped",) * (len(boxes) - 1)))
    shown = sum(1 for _ in crops(image.width, image.height, boxes))
    if not shown:
        return reject(image, "objects_overlap")
    repairs = (*image.repairs, *("object_overlapped",) * (len(boxes) - shown))
    return replace(image, boxes=boxes, repairs=repairs)


def single_out_all(
    images: Sequence[RawImage], digests: Mapping[str, str], data: DataConfig
) -> tuple[list[RawImage], list[Rejected]]:
    """The images that fit their task, with one label or one object each where the task wants that, and the others.

    Args:
        images, data: as of `single_out`.
        digests: as of `merge_copies`.
    """
    singled = [single_out(image, data) for image in images]
    rejected = [image for image in singled if isinstance(image, Rejected)]
    fit = [image for image in singled if isinstance(image, RawImage)]
    if TASKS[data.task] == "label":
        fit, disagreeing = merge_copies(fit, digests)
        rejected += disagreeing
    return fit, rejected


def merge_copies(images: Sequence[RawImage], digests: Mapping[str, str]) -> tuple[list[RawImage], list[Rejected]]:
    """Find images with one label whose very bytes are there twice.

    An archive may hold its own folder again: copies of one name, label and split become the one with the shortest path,
    counted as `copy_merged`. Copies with different labels are all left out. Others stay: they do no harm in one split,
    and `splits.leaks` finds those in two.

    Args:
        images: each with one box.
        digests: source -> sha256 of the file.
    """
    labels: dict[str, set[str]] = {}
    names: dict[tuple[str, ...], list[RawImage]] = {}
    for image in images:
        label, digest = image.boxes[0].label, digests[image.source]
        labels.setdefault(digest, set()).add(label)
        names.setdefault((digest, label, str(image.split), image.name), []).append(image)
    kept, rejected = [], []
    for (digest, *_), copies in names.items():
        if len(labels[digest]) > 1:
            rejected += [reject(image, "copies_disagree") for image in copies]
            continue
        first = min(copies, key=lambda image: (image.source.count("/"), image.source))
        kept.append(replace(first, repairs=(*first.repairs, *("copy_merged",) * (len(copies) - 1))))
    return sorted(kept, key=lambda image: image.source), rejected


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def crops(width: int, height: int, boxes: Sequence[Box]) -> Iterator[tuple[Box, Region]]:
    """For each object the largest window that shows all of it, and of each other one a tenth at most.

    Args:
        width, height: of the image in pixels.
        boxes: of all its objects; those that overlap others too much for a window of their own are left out.
    """
    for number, box in enumerate(boxes):
        hull = Region(math.floor(box.x1), math.floor(box.y1), math.ceil(box.x2), math.ceil(box.y2))
        others = [_withdrawn(other, hull) for at, other in enumerate(boxes) if at != number]
        if all(others):
            yield box, _window(hull, [other for other in others if other], width, height)


def _withdrawn(other: Box, box: Region) -> tuple[float, float, float, float] | None:
    """The part of another object that a window for `box` must not touch; None where they overlap too much."""
    x1, y1, x2, y2 = other.x1, other.y1, other.x2, other.y2
    if min(x2, box.x2) <= max(x1, box.x1) or min(y2, box.y2) <= max(y1, box.y1):
        return x1, y1, x2, y2
    # Each side from which it could be cut free, with the share of it that would be cut off.
    sides = [
        ((box.x2 - x1) / (x2 - x1), (box.x2, y1, x2, y2)),
        ((x2 - box.x1) / (x2 - x1), (x1, y1, box.x1, y2)),
        ((box.y2 - y1) / (y2 - y1), (x1, box.y2, x2, y2)),
        ((y2 - box.y1) / (y2 - y1), (x1, y1, x2, box.y1)),
    ]
    share, rest = min(sides)
    return rest if share <= SHOWN else None


def _window(box: Region, others: Sequence[tuple[float, float, float, float]], width: int, height: int) -> Region:
    """The largest rectangle of whole pixels that holds `box` and touches no other.

    The largest can't grow, so each of its sides lies at the image's border or at another object's; these are all tried.
    """
    starts = sorted({0, *(math.ceil(x2) for _, _, x2, _ in others if x2 <= box.x1)})
    ends = sorted({width, *(math.floor(x1) for x1, _, _, _ in others if x1 >= box.x2)}, reverse=True)
    best, largest = box, 0
    for x1 in starts:
        for x2 in ends:
            if (x2 - x1) * height <= largest:
                break  # further ends are nearer
            y1, y2 = 0, height
            for other in others:
                if other[0] >= x2 or other[2] <= x1:
                    continue
                if other[3] <= box.y1:
                    y1 = max(y1, math.ceil(other[3]))
                elif other[1] >= box.y2:
                    y2 = min(y2, math.floor(other[1]))
                else:
                    y2 = 0  # it lies beside the object: no window is that wide
                    break
            if (x2 - x1) * (y2 - y1) > largest:
                largest, best = (x2 - x1) * (y2 - y1), Region(x1, y1, x2, y2)
    return best
