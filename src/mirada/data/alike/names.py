"""What names tell of photographs that belong together: one original, one scene."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from mirada.data.folders.layout import split_word

# Roboflow's exports: name_jpg.rf.<digest>.jpg, one a version of name.jpg that its augmentation made.
_ROBOFLOW = re.compile(r"^(?P<original>.+)\.rf\.[0-9A-Za-z]{16,}\.\w+$")
_FRAME = re.compile(r"^(?P<scene>.*?)[ _.-]*(?:frame|frm)s?[ _.-]*\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<series>.*?)(?P<number>\d+)\D*$")
_CONTAINERS = {"images", "jpegimages", "imgs", "img"}
NEIGHBOURS = 3  # numbers so far apart may be of one scene


def originals(names: Iterable[str]) -> dict[str, list[str]]:
    """Original -> its versions, for each of which there are two or more.

    Args:
        names: paths with '/'. The folders of splits are the same place, those of classes are not.
    """
    return _gather(names, _ROBOFLOW, "original")


def scenes(names: Iterable[str]) -> dict[str, list[str]]:
    """Video or scene -> its frames, where names number frames in words (`street-2_frame_0012.jpg`).

    Empty where all images would be of one scene, which tells nothing.
    """
    names = list(names)
    found = _gather(names, _FRAME, "scene")
    return {} if any(len(frames) == len(names) for frames in found.values()) else found


def neighbours(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of images of a series whose numbers are near: they may be of one scene, and their pixels have to tell."""
    series: dict[str, list[tuple[int, str]]] = {}
    for name in sorted(names):
        found = _NUMBERED.match(PurePosixPath(name).stem)
        if found and len(found["number"]) < 19:
            series.setdefault(f"{_place(name)}/{found['series']}", []).append((int(found["number"]), name))
    pairs = []
    for numbered in series.values():
        numbered.sort()
        for at, (number, name) in enumerate(numbered):
            for later, other in numbered[at + 1 : at + 1 + NEIGHBOURS]:
                if later - number <= NEIGHBOURS:
                    pairs.append((name, other))
    return pairs


def _gather(names: Iterable[str], pattern: re.Pattern[str], part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        match = pattern.match(PurePosixPath(name).name)
        if match:
            found.setdefault(f"{_place(name)}/{match[part]}", []).append(name)
    return {key: members for key, members in found.items() if len(members) > 1}


def _place(name: str) -> str:
    """The folders of a path but for those that say a split or hold all images."""
    folders = PurePosixPath(name).parts[:-1]
    return "/".join(part for part in folders if not split_word(part) and part.lower() not in _CONTAINERS)
