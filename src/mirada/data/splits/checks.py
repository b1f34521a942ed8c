"""What a split must not be: leaking, without a class, without images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mirada.config import SplitConfig
from mirada.data.annotations import Rejected
from mirada.data.splits.assignment import RANK, Assignment
from mirada.errors import MiradaError


def leaks(digests: Mapping[str, str], splits: Mapping[str, str | None]) -> dict[str, str]:
    """Find images whose very bytes are in another split too.

    The copy that decides more stays: test before val before train, so the judged images stay as they are.

    Args:
        digests: image -> sha256 of its file.
        splits: image -> split.

    Returns:
        image to leave out -> the image that stays.
    """
    kept: dict[str, str] = {}
    images = [image for image, split in splits.items() if split]
    for image in sorted(images, key=lambda name: (RANK[splits[name] or "train"], name)):
        kept.setdefault(digests[image], image)
    return {image: kept[digests[image]] for image in images if splits[kept[digests[image]]] != splits[image]}


def list_left_out(assigned: Assignment, copies: Mapping[str, str]) -> list[Rejected]:
    """The images that take no part, with the reason: in no split, a copy, or alike to an image of another split.

    Args:
        assigned: who trains and who tests.
        copies: of `leaks`.
    """
    rejected = []
    for source, split in assigned.splits.items():
        if split is None:
            advice = "other images lie below train/, val/ or test/: move it there, or use data.split.kind=ratio"
            rejected.append(Rejected(source, "in_no_split", advice))
        elif source in copies:
            other = copies[source]
            advice = f"its bytes are those of {other} in {assigned.splits[other]}: remove one of them"
            rejected.append(Rejected(source, f"copy_in_{split}", advice))
        elif source in assigned.apart:
            other = assigned.apart[source]
            advice = (
                f"it is alike to {other} in {assigned.splits[other]}: remove one of them, or unset data.split.group"
            )
            rejected.append(Rejected(source, f"alike_in_{split}", advice))
    return rejected


def check_classes(classes: Sequence[str], per_class: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse classes that can't be learnt.

    Args:
        classes: names of all classes.
        per_class: split -> label -> number of boxes that count.

    Raises:
        MiradaError: a class has no box at all, or none in train; the sentence names it.
    """
    for label in classes:
        if per_class["train"].get(label, 0):
            continue
        places = [split for split, counts in per_class.items() if counts.get(label, 0)]
        if places:
            raise MiradaError(
                f"Class {label!r} is in {' and '.join(places)} but not in train: add training images of it, change "
                "data.split, or rename it with data.rename."
            )
        raise MiradaError(
            f"Class {label!r} is empty, nothing that counts carries this label: add images of it, take it out of "
            "data.classes, or rename it with data.rename."
        )


def check_sizes(images: Mapping[str, int], config: SplitConfig) -> None:
    """Refuse a train split without images, and a val or test split that was asked for and got none.

    Args:
        images: split -> number of images.
        config: the shares asked for.

    Raises:
        MiradaError: the sentence names the split and the key.
    """
    if not images.get("train"):
        raise MiradaError("No image is left for train: lower data.split.val and data.split.test or add images.")
    for split, share in (("val", config.val), ("test", config.test)):
        if share > 0 and not images.get(split):
            raise MiradaError(
                f"data.split.{split}={share} gives no image to {split}: raise it, add images, or set it to 0."
            )


def check_judged(classes: Sequence[str], stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Refuse a val or test split on which nothing could be measured; return what a reader should know of them.

    Args:
        classes: names of all classes.
        stored: split -> its number of images, of boxes, and per_class: label -> number of boxes that count.

    Raises:
        MiradaError: a split has images and nothing to find in them; the sentence names it.
    """
    notes = []
    for split in ("val", "test"):
        counts = stored[split]
        if not counts["images"]:
            continue
        shown = [label for label in classes if counts["per_class"].get(label, 0)]
        if not shown:
            raise MiradaError(
                f"The {counts['images']} images of {split} show no object of the classes, so nothing could be measured on "
                f"them: put annotated images into {split}, raise data.split.{split}, or change data.split.seed."
            )
        if len(shown) < len(classes):
            missing = [label for label in classes if label not in shown]
            named = ", ".join(missing[:3]) + f" and {len(missing) - 3} more" * (len(missing) > 3)
            notes.append(f"{split} shows nothing of {named}: its figures don't tell how these are found")
    return notes
