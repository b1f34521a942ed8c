"""Images shared out so that each label has its share in each split, also where an image shows several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mirada.data.splits.shares import Labelled, fill_empty, order_key
from mirada.errors import MiradaError

_BACKGROUND = ""  # what an image without objects shows: it is shared out as a label is


def stratify(
    images: Labelled, shares: Mapping[str, float], seed: int, keys: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Share images out by iterative stratification, the rest to train.

    Of images with one label each split gets its share of each label within one image. With several labels an image, or
    groups, it comes as near as giving each in turn, those of the rarest label first, to the split that lacks most. Nothing
    goes to a split as long as train has none of its label.

    Source: Sechidis, Tsoumakas, Vlahavas, On the stratification of multi-label data, ECML PKDD 2011. The packages
    iterative-stratification and scikit-multilearn have it without groups; scikit-learn has groups, but one label an image.

    Args:
        images: image -> labels of its objects.
        shares: split -> share of all images.
        seed: of the order among equals.
        keys: image -> its group, which is never parted; None: each image is one.

    Returns:
        image -> 'train' or a split of `shares`.
    """
    units = _gather(images, keys)
    whole = {"train": 1 - sum(shares.values()), **shares}
    found, first = _give_out(units, whole, seed, "train")
    fill_empty(found, shares, seed, first)
    return {image: found[keys[image] if keys else image] for image in images}


def into_folds(images: Labelled, count: int, seed: int, keys: Mapping[str, str] | None = None) -> dict[str, int]:
    """Give each image one of `count` folds, stratified as by `stratify`.

    Raises:
        MiradaError: fewer images, or groups, of a label than folds.
    """
    units = _gather(images, keys)
    totals = Counter(label for labels in units.values() for label in labels)
    what = "images" if len(units) == len(images) else "groups of images"
    if len(units) < count:
        raise MiradaError(f"data.split.kfold={count} is more than the {len(units)} {what} to train with: lower it.")
    for label, number in sorted(totals.items(), key=lambda item: (item[1], item[0])):
        if label != _BACKGROUND and number < count:
            raise MiradaError(
                f"data.split.kfold={count} is more than the {number} {what} of class {label!r} to train with: lower it, add "
                "images, or take the class out of data.classes."
            )
    found, _ = _give_out(units, {str(fold): 1 / count for fold in range(count)}, seed)
    return {image: int(found[keys[image] if keys else image]) for image in images}


def _gather(images: Labelled, keys: Mapping[str, str] | None) -> dict[str, Counter[str]]:
    """Group -> how many of its images show each label."""
    units: dict[str, Counter[str]] = {}
    for image, labels in images.items():
        units.setdefault(keys[image] if keys else image, Counter()).update(set(labels) or {_BACKGROUND})
    return units


def _give_out(
    units: Mapping[str, Counter[str]], shares: Mapping[str, float], seed: int, first: str | None = None
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Give every group to a split, the rarest label's first.

    Args:
        units: group -> label -> images that show it.
        shares: split -> its share; they add up to 1.
        seed: of the order among equals.
        first: the split that gets something of a label before any other.

    Returns:
        group -> split, and label -> the groups that were given out by it.
    """
    showing: dict[str, list[str]] = {}
    left = Counter[str]()  # of each label, images that are not given out
    for unit in sorted(units, key=lambda name: order_key(seed, name)):
        left.update(units[unit])
        for label in units[unit]:
            showing.setdefault(label, []).append(unit)
    wanted = {split: {label: share * number for label, number in left.items()} for split, share in shares.items()}
    room = {split: share * left.total() for split, share in shares.items()}
    found: dict[str, str] = {}
    taken: dict[str, list[str]] = {}
    begun = set[str]()  # labels of which the first split has something
    while left := +left:  # without the labels that are through
        label = min(left, key=lambda name: (left[name], name))
        mine = [unit for unit in showing[label] if unit not in found]
        taken[label] = sorted(mine, key=lambda unit: -units[unit][label])
        for unit in taken[label]:
            split = max(shares, key=lambda name: (wanted[name][label], room[name]))
            if first is not None and not units[unit].keys() <= begun:
                split = first
            if split == first:
                begun |= units[unit].keys()
            found[unit] = split
            left.subtract(units[unit])
            room[split] -= units[unit].total()
            for shown, number in units[unit].items():
                wanted[split][shown] -= number
    return found, taken
