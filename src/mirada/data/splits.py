"""Who trains and who tests: deterministic splits, and checks that nothing is on both sides.

Pure functions on metadata; no file is opened here.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mirada.config import SplitConfig
from mirada.data.tiles import Region
from mirada.errors import MiradaError

Labelled = Mapping[str, Iterable[str]]  # image -> the labels of its objects


def order_key(seed: int, name: str) -> str:
    """A sort key that shuffles names the same way on every machine, whatever else is in the list."""
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def by_ratio(images: Labelled, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Share images out at random, the same mixture of labels in each split.

    Images are grouped by the label of theirs that is rarest in the whole; each group gives every split its share, and
    always leaves one image for train.

    Args:
        images: image -> labels of its objects.
        shares: split -> share of all images; the rest is train. A split whose share is above zero gets at least one
            image where there are enough.
        seed: of the shuffle.

    Returns:
        image -> 'train' or a split of `shares`.
    """
    counts = Counter(label for labels in images.values() for label in labels)
    groups: dict[str, list[str]] = {}
    for image in sorted(images, key=lambda name: order_key(seed, name)):
        rarest = min(images[image], key=lambda label: (counts[label], label), default="")
        groups.setdefault(rarest, []).append(image)
    result: dict[str, str] = {}
    owed = dict.fromkeys(shares, 0.0)
    for label in sorted(groups, key=lambda name: (counts[name], name)):
        free = list(groups[label])
        for split, share in shares.items():
            owed[split] += len(groups[label]) * share
            take = max(0, min(int(owed[split] + 0.5), len(free) - 1))
            owed[split] -= take
            result.update(dict.fromkeys(free[:take], split))
            free = free[take:]
        result.update(dict.fromkeys(free, "train"))
    _fill_empty(result, shares, seed, groups)
    return result


def _fill_empty(
    result: dict[str, str], shares: Mapping[str, float], seed: int, groups: Mapping[str, list[str]]
) -> None:
    """Give a split that rounding left empty one image of the group with most images left in train."""
    for split, share in shares.items():
        if share <= 0 or split in result.values():
            continue
        trained = {label: [name for name in names if result[name] == "train"] for label, names in groups.items()}
        largest = max(trained, key=lambda label: (len(trained[label]), label), default="")
        if largest in trained and len(trained[largest]) > 1:
            result[min(trained[largest], key=lambda name: order_key(seed, name))] = split


def by_group(images: Labelled, shares: Mapping[str, float], config: SplitConfig) -> dict[str, str]:
    """As `by_ratio`, but images of one group, photographs of one patient say, are never parted.

    Args:
        images: image -> labels of its objects.
        shares: split -> share of all groups; without `config.group` each image is one.
        config: its `seed`; its `group` is looked for in the images' file names, and those without it stay single.
    """
    groups: dict[str, list[str]] = {}
    keys: dict[str, str] = {}
    for image in sorted(images):
        found = re.search(config.group, image.rpartition("/")[2]) if config.group else None
        keys[image] = found[0] if found else image
        groups.setdefault(keys[image], []).extend(images[image])
    splits = by_ratio(groups, shares, config.seed)
    return {image: splits[keys[image]] for image in images}


def by_mark(marks: Mapping[str, str | None], images: Labelled, config: SplitConfig) -> dict[str, str | None]:
    """Follow the data set's own folders or lists; what they lack is carved out of train.

    Args:
        marks: image -> the split its folder or list says, None where none does.
        images: image -> labels of its objects.
        config: `val` and `test` are the shares to carve out of train for a split that nobody marked.

    Returns:
        image -> split; None for an image outside every list.

    Raises:
        MiradaError: no image is marked at all, or none for train.
    """
    marked = {split for split in marks.values() if split}
    if "train" not in marked:
        raise MiradaError(
            "data.split.kind=folder or list needs images marked as train, by a folder train/ or a list "
            "ImageSets/Main/train.txt, and there are none: use data.split.kind=ratio."
        )
    result: dict[str, str | None] = dict(marks)
    shares = {split: share for split, share in (("test", config.test), ("val", config.val)) if split not in marked}
    train = {image: images[image] for image, split in marks.items() if split == "train"}
    result.update(by_group(train, shares, config))
    return result


def assign(marks: Mapping[str, str | None], images: Labelled, config: SplitConfig) -> dict[str, str | None]:
    """Split whole images as `data.split` says: 'auto' follows marks where there are any, else the ratio.

    Raises:
        MiradaError: as `by_mark`.
    """
    if config.kind in ("folder", "list") or (config.kind == "auto" and any(marks.values())):
        return by_mark(marks, images, config)
    return dict(by_group(images, {"test": config.test, "val": config.val}, config))


def by_area(width: int, height: int, config: SplitConfig, tile_size: int) -> dict[str, Region]:
    """Cut one image into regions from left to right: train, val, test. No pixel is in two.

    A region that would be narrower than half a tile shows cut objects only; train gets it.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        config: `val` and `test` are shares of the width.
        tile_size: side of a tile in pixels.

    Returns:
        split -> region, only those that are.
    """
    widths = {split: round(width * share) for split, share in (("val", config.val), ("test", config.test))}
    widths = {split: size for split, size in widths.items() if size >= max(1, tile_size / 2)}
    start = width - sum(widths.values())
    regions = {"train": Region(0, 0, start, height)}
    for split, size in widths.items():
        regions[split] = Region(start, 0, start + size, height)
        start += size
    return {split: region for split, region in regions.items() if region.width > 0}


def leaks(digests: Mapping[str, str], splits: Mapping[str, str | None]) -> dict[str, str]:
    """Find images whose very bytes are in another split too.

    The copy that decides more stays: test before val before train, so the judged images stay as they are.

    Args:
        digests: image -> sha256 of its file.
        splits: image -> split.

    Returns:
        image to leave out -> the image that stays.
    """
    rank = {"test": 0, "val": 1, "train": 2}
    kept: dict[str, str] = {}
    images = [image for image, split in splits.items() if split]
    for image in sorted(images, key=lambda name: (rank[splits[name] or "train"], name)):
        kept.setdefault(digests[image], image)
    return {image: kept[digests[image]] for image in images if splits[kept[digests[image]]] != splits[image]}


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
