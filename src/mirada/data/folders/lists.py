"""Lists of the images of a split: `ImageSets/Main/train.txt`, `Test.txt`, and whatever else they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mirada.data.annotations import Rejected, reject
from mirada.data.folders.layout import ImageIndex, Parts, split_word
from mirada.data.folders.texts import read_text


@dataclass
class Placed:
    """What lists say: image -> split, what can't be placed, and which lists were followed."""

    splits: dict[str, str] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def follow_lists(
    texts: Iterable[tuple[Parts, Path]],
    sources: Iterable[str],
    partial: Iterable[str],
    names: Mapping[str, str],
) -> Placed:
    """Place images by the lists that name them.

    A list is a text whose name says a split. It counts below `ImageSets` (in it, or in `Main`), and elsewhere where it
    names at least as many images as it has other lines. It speaks for the images below the folder around `ImageSets`, or
    below its own; where none lie there, below the nearest folder above that holds some.

    Args:
        texts: the text files of the raw folder, as (folders, path).
        sources: images that may be placed.
        partial: images and annotations that were left out already: a list may name them without harm.
        names: of `data.split.names`.
    """
    usable, known = set(sources), {*sources, *partial}
    index = ImageIndex(known, names)
    scopes: dict[Parts, list[tuple[str, str, list[str]]]] = {}
    folders = {tuple(source.split("/")[:at]) for source in usable for at in range(source.count("/") + 1)}
    for parts, path in texts:
        split = split_word(path.stem, names) if path.suffix.lower() == ".txt" else None
        if split is None:
            continue
        sets = next((at for at, part in enumerate(parts) if part.casefold() == "imagesets"), None)
        if sets is not None and parts[sets + 1 :] not in ((), ("Main",)):
            continue
        scope = parts if sets is None else parts[:sets]
        while sets is None and scope and scope not in folders:
            scope = scope[:-1]
        lines = [line.strip() for line in read_text(path)[0].splitlines() if line.strip()]
        if sets is None and (not lines or sum(bool(_listed(line, index, scope)) for line in lines) * 2 < len(lines)):
            continue
        scopes.setdefault(scope, []).append(("/".join((*parts, path.name)), path.stem.casefold(), lines))
    return _place(scopes, usable, index, names)


def _place(
    scopes: Mapping[Parts, list[tuple[str, str, list[str]]]],
    usable: set[str],
    index: ImageIndex,
    names: Mapping[str, str],
) -> Placed:
    placed = Placed()
    found: dict[str, set[str]] = {}
    for scope, lists in scopes.items():
        for file, stem, lines in lists:
            said = "train and val" if stem == "trainval" else split_word(stem, names)
            placed.notes.append(f"{file} lists the {said} images")
            for line in lines:
                images = _listed(line, index, scope)
                if len(images) == 1:
                    found.setdefault(images[0], set()).add(stem)
                elif images:
                    placed.rejected.append(reject(f"{file}: {line}", "image_ambiguous", detail=" or ".join(images[:3])))
                else:
                    placed.rejected.append(reject(f"{file}: {line}", "listed_but_missing"))
    for source in usable:
        parts = tuple(source.split("/")[:-1])
        if not any(parts[:at] in scopes for at in range(len(parts) + 1)):
            continue
        stems = found.get(source, set())
        exact = {str(split_word(stem, names)) for stem in stems if stem != "trainval"}
        if "trainval" in stems and not exact & {"train", "val"}:
            exact.add("train")
        if len(exact) == 1:
            placed.splits[source] = exact.pop()
        else:
            placed.left_out.add(source)
            placed.rejected.append(reject(source, "in_several_lists" if exact else "in_no_list"))
    return placed


def _listed(line: str, index: ImageIndex, scope: Parts) -> tuple[str, ...]:
    """What a line of a list names: alone, with an extension, or before the -1, 0 or 1 of a list for one class."""
    for name in (line, re.sub(r"\s+-?[01]$", "", line), PurePosixPath(line).stem):
        found = index.find(name, scope)
        inside = tuple(source for source in found if tuple(source.split("/"))[: len(scope)] == scope)
        if inside or found:
            return inside
    return ()
