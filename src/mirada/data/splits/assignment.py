"""Which split each image goes to: what folders and lists say, then shares, with groups that are never parted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mirada.config import SplitConfig
from mirada.data.alike.groups import Group
from mirada.data.annotations import RawImage
from mirada.data.splits.shares import Labelled, by_ratio
from mirada.data.splits.stratified import into_folds, stratify
from mirada.errors import MiradaError

Marks = Mapping[str, str | None]
RANK = {"test": 0, "val": 1, "train": 2}  # who decides more: the first keeps what two would have


@dataclass(frozen=True)
class Assignment:
    """Who trains and who tests.

    Attributes:
        splits: image -> 'train', 'val' or 'test'; None for an image outside every list.
        apart: image that is left out -> the image of a split that decides more, with which it is in one group.
        folds: image to train or validate with -> its fold; empty without `kfold`.
    """

    splits: dict[str, str | None]
    apart: dict[str, str] = field(default_factory=dict)
    folds: dict[str, int] = field(default_factory=dict)


def assign_images(images: Sequence[RawImage], config: SplitConfig, alike: Sequence[Group]) -> Assignment:
    """Split images by what their folders, lists and annotations say of them.

    Args:
        images: with their labels.
        config: as of `assign`.
        alike: groups of images that show the same thing; none where `group` does not ask for them.

    Raises:
        MiradaError: as `assign`.
    """
    labels = {image.source: [box.label for box in image.boxes] for image in images}
    marks = {image.source: image.split for image in images}
    groups = {source: group.images[0] for group in alike for source in group.images}
    groups |= {image.source: f"group {image.group}" for image in images if image.group}
    return assign(marks, labels, config, groups)


def assign(marks: Marks, images: Labelled, config: SplitConfig, groups: Mapping[str, str] | None = None) -> Assignment:
    """Split whole images as `data.split` says: 'ratio' by shares alone, the others follow marks where there are any.

    Args:
        marks: image -> the split its folder or list says, None where none does.
        images: image -> labels of its objects.
        config: of the split. With `kfold` what is not test is parted into folds, one of which is val.
        groups: image -> its group, for those that have one. With `group=auto`, where they are of alike images, of a group
            that marks have in several splits only the images of that which decides most stay: test before val before train.

    Raises:
        MiradaError: no image is marked where marks are all there is, or none for train; a group's pattern that is found
            in no name; more folds than images of a class; nothing left to train with.
    """
    if config.merge_val or config.kfold:
        marks = {image: "train" if split == "val" else split for image, split in marks.items()}
    keys = _keys(images, config, groups or {})
    if config.kind in ("folder", "list") or (config.kind != "ratio" and any(marks.values())):
        splits = by_mark(marks, images, config, keys)
    else:
        splits = dict(by_share(images, _shares(config), config, keys))
    apart = hold_apart(splits, groups) if groups and config.group == "auto" else {}
    if apart and not any(split == "train" and image not in apart for image, split in splits.items()):
        raise MiradaError(
            "data.split.group=auto leaves nothing to train with, every image of train is alike to one of val or test: use "
            "data.split.kind=ratio, which parts them anew, or unset data.split.group."
        )
    if not config.kfold:
        return Assignment(splits, apart)
    pool = {image: images[image] for image, split in splits.items() if split == "train" and image not in apart}
    folds = into_folds(pool, config.kfold, config.seed, keys)
    return Assignment(
        {**splits, **{image: "val" for image, fold in folds.items() if fold == config.fold}}, apart, folds
    )


def by_share(
    images: Labelled, shares: Mapping[str, float], config: SplitConfig, keys: Mapping[str, str]
) -> dict[str, str]:
    """Share images out; those of one group, photographs of one patient say, are never parted.

    Args:
        images: image -> labels of its objects.
        shares: split -> share of all groups, or with `kind=stratified` of the images; the rest trains.
        config: its `seed` and `kind`.
        keys: image -> its group.
    """
    if config.kind == "stratified":
        return stratify(images, shares, config.seed, keys)
    groups: dict[str, list[str]] = {}
    for image in sorted(images):
        groups.setdefault(keys[image], []).extend(images[image])
    splits = by_ratio(groups, shares, config.seed)
    return {image: splits[keys[image]] for image in images}


def by_mark(marks: Marks, images: Labelled, config: SplitConfig, keys: Mapping[str, str]) -> dict[str, str | None]:
    """Follow the data set's own folders or lists; what they lack is carved out of train.

    Args:
        marks: image -> the split its folder or list says, None where none does.
        images: image -> labels of its objects.
        config: `val` and `test` are the shares to carve out of train for a split that nobody marked.
        keys: image -> its group.

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
    shares = {split: share for split, share in _shares(config).items() if split not in marked}
    train = {image: images[image] for image, split in marks.items() if split == "train"}
    result.update(by_share(train, shares, config, keys))
    return result


def hold_apart(splits: Marks, groups: Mapping[str, str]) -> dict[str, str]:
    """Find images whose group is in a split that decides more, too.

    Args:
        splits: image -> split.
        groups: image -> its group, for those that have one.

    Returns:
        image to leave out -> the first image of its group that stays.
    """
    kept: dict[str, str] = {}
    images = sorted(
        (image for image, split in splits.items() if split), key=lambda name: (RANK[str(splits[name])], name)
    )
    for image in images:
        kept.setdefault(groups.get(image, image), image)
    firsts = {image: kept[groups.get(image, image)] for image in images}
    return {image: first for image, first in firsts.items() if splits[first] != splits[image]}


def _shares(config: SplitConfig) -> dict[str, float]:
    """What is shared out at random; with folds, val is one of them."""
    return {"test": config.test} if config.kfold else {"test": config.test, "val": config.val}


def _keys(images: Labelled, config: SplitConfig, groups: Mapping[str, str]) -> dict[str, str]:
    """Image -> its group; by itself where it has none.

    A pattern is looked for in the file's name. The group is what it matches, or of that the part that `(?P<group>…)` names.
    """
    if config.group == "auto" or not config.group:
        return {image: groups.get(image, image) for image in images}
    pattern = re.compile(config.group)
    found = {image: pattern.search(image.rpartition("/")[2]) for image in images}
    if not any(found.values()):
        raise MiradaError(
            f"data.split.group={config.group} is found in no image's name, such as {min(images, default='')!r}: correct it, "
            "or say auto to keep alike images together."
        )
    named = "group" in pattern.groupindex
    return {image: (match["group"] if named else match[0]) if match else image for image, match in found.items()}
