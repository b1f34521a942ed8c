"""Files of labels and the images they belong to, found by name over the whole raw folder; none is opened for it.

Only where two files claim one image are they compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mirada.data.annotations import Rejected, reject
from mirada.data.folders.layout import HALVES, ImageIndex, Parts, is_image, preference

Found = tuple[str, str]  # where a file lies, and its path below the raw folder with '/'


@dataclass
class Pairing:
    """Images with their labels, and what has no partner."""

    pairs: list[tuple[Found, Found]] = field(default_factory=list)
    images: list[Found] = field(default_factory=list)
    labels: list[Found] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """All that shares a folder, twin folders counted as one, and a stem."""

    images: tuple[Found, ...] = ()
    labels: tuple[Found, ...] = ()


def pair_files(
    files: Iterable[tuple[Parts, Path]], suffix: str, names: Mapping[str, str], count: Callable[[str], int]
) -> Pairing:
    """Pair images with files of labels.

    They share a folder, or lie in twin folders such as `JPEGImages` and `Annotations`. What is left is looked for over
    the whole folder: in another case or Unicode form, with the image's extension before its own (`a.jpg.xml`), in twin
    folders of any name, in any folder where the name occurs once. Several candidates that are equally close are refused.

    Args:
        files: the visible files as (folders, path).
        suffix: of the files of labels, in lower case.
        names: of `data.split.names`.
        count: how many objects a file of labels seems to hold; asked of those that are left out.
    """
    entries: dict[tuple[Parts, str], _Entry] = {}
    folders: dict[Parts, Parts] = {}
    for parts, path in files:
        is_label = path.suffix.lower() == suffix
        if not is_label and not is_image(path.name):
            continue
        if parts not in folders:
            folders[parts] = tuple(part for part in parts if part.lower() not in HALVES)
        entry = entries.setdefault((folders[parts], path.stem), _Entry())
        found = ((str(path), "/".join((*parts, path.name))),)
        if is_label:
            entry.labels += found
        else:
            entry.images += found
    result = Pairing()
    for entry in entries.values():
        images = tuple(sorted(entry.images, key=_preference)) if len(entry.images) > 1 else entry.images
        if not entry.labels or not images:
            result.images += images
            result.labels += entry.labels
            continue
        result.rejected += [reject(source, "duplicate_name") for _, source in images[1:]]
        result.rejected += [reject(source, "duplicate_name", count(path)) for path, source in entry.labels[1:]]
        result.pairs.append((images[0], entry.labels[0]))
    if result.labels:
        _pair_the_rest(result, names, count)
    return result


def _preference(image: Found) -> tuple[int, str]:
    rank, _ = preference(image[0])
    return rank, image[1]


def _pair_the_rest(result: Pairing, names: Mapping[str, str], count: Callable[[str], int]) -> None:
    """Look for the images of labels that no twin folder gave one."""
    lonely = {source: path for path, source in result.images}
    taken = {image[1]: label[1] for image, label in result.pairs}
    index = ImageIndex([*lonely, *taken], names)
    claims: dict[str, list[Found]] = {}
    labels, result.labels = result.labels, []
    for label in labels:
        parts = tuple(label[1].split("/")[:-1])
        stem = os.path.splitext(label[1].rpartition("/")[2])[0]  # noqa: PTH122
        found = index.find(stem, parts)
        if len(found) > 1:
            free = tuple(source for source in found if source in lonely)
            found = free if len(free) == 1 else found
        if len(found) > 1:
            result.rejected.append(reject(label[1], "image_ambiguous", count(label[0]), " or ".join(found[:3])))
        elif found and found[0] in lonely:
            claims.setdefault(found[0], []).append(label)
        elif found and is_image(stem):
            result.rejected.append(reject(label[1], "labels_twice", count(label[0]), taken[found[0]]))
        else:
            result.labels.append(label)
    for source, claiming in claims.items():
        image = (lonely.pop(source), source)
        if len({Path(path).read_bytes() for path, _ in claiming}) == 1:
            result.pairs.append((image, claiming[0]))
            result.rejected += [
                reject(label[1], "labels_twice", count(label[0]), claiming[0][1]) for label in claiming[1:]
            ]
        else:
            candidates = " or ".join(label[1] for label in claiming[:3])
            result.rejected.append(reject(source, "labels_ambiguous", detail=candidates))
            result.rejected += [reject(label[1], "labels_ambiguous", count(label[0]), candidates) for label in claiming]
    result.images = [(path, source) for source, path in lonely.items()]
