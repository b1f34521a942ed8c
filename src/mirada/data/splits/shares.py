"""Images shared out at random, the same on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

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
    fill_empty(result, shares, seed, groups)
    return result


def fill_empty(result: dict[str, str], shares: Mapping[str, float], seed: int, groups: Mapping[str, list[str]]) -> None:
    """Give a split that rounding left empty one image of the group with most images left in train."""
    for split, share in shares.items():
        if share <= 0 or split in result.values():
            continue
        trained = {label: [name for name in names if result[name] == "train"] for label, names in groups.items()}
        largest = max(trained, key=lambda label: (len(trained[label]), label), default="")
        if largest in trained and len(trained[largest]) > 1:
            result[min(trained[largest], key=lambda name: order_key(seed, name))] = split
