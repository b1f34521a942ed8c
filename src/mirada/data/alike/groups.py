"""From hashes to groups of photographs that are alike, each tie with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mirada.data.alike import names as names_of
from mirada.data.alike.hashes import OPPOSITE, ORIENTATIONS, SIDE, WINDOWS, Hashes, turned
from mirada.data.alike.likeness import Fit, brightness_differs, details, fit_crop

T = TypeVar("T")

# Measured on X-rays, blood cells and wild animals: edits change 12 bits of 64 at most and leave details alike by 0.88; crops
# down to 80 % change 14 bits at most, and nearly all fit by 0.77. Of 17 million pairs of different X-rays none is alike by
# more than 0.83, of which two are perhaps of one person, and one fits by 0.77.
NEAR, ALIKE = 12, 0.85
NEAR_WINDOW, FITS, OVERLAPS = 14, 0.77, 0.85
SAME_SCENE = 0.5  # alike by so much are frames that follow one another, and few others
FITTED_AT_MOST = 5000  # crops that are looked for, those with the nearest hashes: 20 seconds
CROPS_AT_MOST = 20_000  # photographs among which crops are worth the wait: that grows with the square of their number
_RIVALS = 3  # photographs that are tried for a crop
_CHUNK = 512  # pairs whose details are compared at once


@dataclass(frozen=True)
class Tie:
    """Why two photographs are alike.

    Attributes:
        first, second: their names.
        reason: `copy` (the same pixels), `coded_anew`, `resized`, `brightness`, `turned`, `crop` (the second of the first),
            `overlap` (the second is a shifted view), `original` (two versions of one) or `scene`.
        likeness: of their details, 0 to 1; 1 where names tell.
        detail: in words, which flip, crop or shift it is; it may be empty.
    """

    first: str
    second: str
    reason: str
    likeness: float
    detail: str = ""


@dataclass(frozen=True)
class Group:
    """Photographs that are alike, sorted by name, and one tie less than there are photographs, which join them all."""

    images: tuple[str, ...]
    ties: tuple[Tie, ...]


class _Joined:
    """Who is with whom, and by which tie: sets that are joined and never parted."""

    def __init__(self, count: int) -> None:
        self.label = np.arange(count)
        self.ties: list[tuple[int, Tie]] = []

    def join(self, first: int, second: int, tie: Tie) -> None:
        """Join two sets; what is joined already stays as it is."""
        old, new = self.label[second], self.label[first]
        if old != new:
            self.label[self.label == old] = new
            self.ties.append((first, tie))

    def apart(self, pairs: np.ndarray) -> np.ndarray:
        """Which of the (N, 2) pairs are not joined."""
        return self.label[pairs[:, 0]] != self.label[pairs[:, 1]]


class _Photographs:
    """The hashes of all photographs as arrays."""

    def __init__(self, hashes: Mapping[str, Hashes]) -> None:
        self.names = sorted(hashes)
        self.hashes = [hashes[name] for name in self.names]
        count = len(self.names)
        self.number = {name: number for number, name in enumerate(self.names)}
        self.whole = np.frombuffer(b"".join(one.whole for one in self.hashes), np.uint64).reshape(count, -1)
        self.windows = np.frombuffer(b"".join(one.windows for one in self.hashes), np.uint64).reshape(count, -1)
        self.small = np.frombuffer(b"".join(one.small for one in self.hashes), np.uint8).reshape(count, SIDE, SIDE)
        # Half precision is enough to compare by, and half the memory.
        self.details = np.empty((count, SIDE, SIDE), np.float16)
        for start in range(0, count, 128):
            self.details[start : start + 128] = details(self.small[start : start + 128])

    def likeness(self, pairs: np.ndarray, orientation: int) -> np.ndarray:
        """Of the details of the first of each of (N, 2) pairs, turned, and those of the second."""
        first = turned(self.details[pairs[:, 0]], orientation).astype(np.float32)
        return np.einsum("nhw,nhw->n", first, self.details[pairs[:, 1]].astype(np.float32))


def alike(hashes: Mapping[str, Hashes], *, by_name: bool = True, by_crop: bool = True, threads: int = 2) -> list[Group]:
    """Group the photographs that show the same thing.

    Every hash is compared with every other, and the details of those that are near decide: of 10,000 photographs in 70 s of
    processor time with crops and shifted views, in 6 s without.

    Args:
        hashes: name, a path with '/', -> what `hashes_of` kept.
        by_name: join what names tell to be of one original or one scene, too.
        by_crop: look for crops and shifted views, too.
        threads: that compare.

    Returns:
        The groups of two or more, sorted by their first image.
    """
    if len(hashes) < 2:
        return []
    photographs = _Photographs(hashes)
    joined = _Joined(len(photographs.names))
    _join_copies(photographs, joined)
    if by_name:
        _join_named(photographs, joined, names_of.originals(photographs.names), "original")
    with ThreadPoolExecutor(threads) as pool:
        _join_whole(photographs, joined, pool)
        if by_crop:
            _join_crops(photographs, joined, pool)
            _join_overlaps(photographs, joined, pool)
    if by_name:
        _join_named(photographs, joined, names_of.scenes(photographs.names), "scene")
        _join_neighbours(photographs, joined)
    return _groups(photographs, joined)


def _groups(photographs: _Photographs, joined: _Joined) -> list[Group]:
    members: dict[int, list[str]] = {}
    for number, name in enumerate(photographs.names):
        members.setdefault(int(joined.label[number]), []).append(name)
    ties: dict[int, list[Tie]] = {}
    for number, tie in joined.ties:
        ties.setdefault(int(joined.label[number]), []).append(tie)
    return [Group(tuple(images), tuple(ties[label])) for label, images in members.items() if len(images) > 1]


def _join_copies(photographs: _Photographs, joined: _Joined) -> None:
    first: dict[str, int] = {}
    for number, one in enumerate(photographs.hashes):
        before = first.setdefault(one.pixels, number)
        if before != number:
            tie = Tie(photographs.names[before], photographs.names[number], "copy", 1.0)
            joined.join(before, number, tie)


def _join_named(photographs: _Photographs, joined: _Joined, named: Mapping[str, list[str]], reason: str) -> None:
    for key, names in named.items():
        for name in names[1:]:
            tie = Tie(names[0], name, reason, 1.0, key.rpartition("/")[2])
            joined.join(photographs.number[names[0]], photographs.number[name], tie)


def _join_whole(photographs: _Photographs, joined: _Joined, pool: ThreadPoolExecutor) -> None:
    """Join photographs that are one but for coding, size, brightness and orientation."""
    for found in _by_blocks(pool, partial(_near_whole, photographs), len(photographs.names), 256):
        for orientation, pairs in enumerate(found):
            while len(pairs := pairs[joined.apart(pairs)]):
                chunk, pairs = pairs[:_CHUNK], pairs[_CHUNK:]
                likeness = photographs.likeness(chunk, orientation)
                for (first, second), value in zip(chunk[likeness > ALIKE], likeness[likeness > ALIKE], strict=True):
                    joined.join(first, second, _tie(photographs, first, second, orientation, float(value)))


def _by_blocks(pool: ThreadPoolExecutor, function: Callable[[int], T], count: int, size: int) -> Iterator[T]:
    """Apply a function to the start of each block of photographs, a few at a time, as results may be large."""
    starts = range(0, count, size)
    for at in range(0, len(starts), 8):
        yield from pool.map(function, starts[at : at + 8])


def _near_whole(photographs: _Photographs, start: int) -> list[np.ndarray]:
    """For each orientation the (N, 2) pairs of near hashes whose first is in a block of photographs, later ones second."""
    found = []
    plain = photographs.whole[start:, 0]
    for orientation in range(len(ORIENTATIONS)):
        block = photographs.whole[start : start + 256, orientation]
        near = np.bitwise_count(block[:, None] ^ plain[None]) <= NEAR
        first, second = np.nonzero(np.triu(near, 1))
        found.append(np.stack([first, second], axis=1) + start)
    return found


def _tie(photographs: _Photographs, first: int, second: int, orientation: int, likeness: float) -> Tie:
    one, other = photographs.hashes[first], photographs.hashes[second]
    reason = "coded_anew" if (one.width, one.height) == (other.width, other.height) else "resized"
    detail = ""
    if orientation:
        reason, detail = "turned", ORIENTATIONS[orientation]
    elif brightness_differs(photographs.small[first], photographs.small[second]):
        reason = "brightness"
        detail = "brighter" if photographs.small[second].mean() > photographs.small[first].mean() else "darker"
    return Tie(photographs.names[first], photographs.names[second], reason, round(min(likeness, 1.0), 3), detail)


def _join_crops(photographs: _Photographs, joined: _Joined, pool: ThreadPoolExecutor) -> None:
    """Join photographs with crops of theirs, also flipped left to right."""
    for (_, whole, crop, orientation, _), fit in _fitting(photographs, joined, pool, _near_windows, _fit, FITS):
        x1, y1, x2, y2 = (round(100 * corner) for corner in fit.corners)
        detail = f"{x1} to {x2} % of the width, {y1} to {y2} % of the height"
        detail += f", {ORIENTATIONS[orientation]}" if orientation else ""
        first, second = photographs.names[whole], photographs.names[crop]
        joined.join(whole, crop, Tie(first, second, "crop", round(min(fit.likeness, 1.0), 3), detail))


def _fitting(
    photographs: _Photographs,
    joined: _Joined,
    pool: ThreadPoolExecutor,
    near_of: Callable[[_Photographs, int], list[Any]],
    fit_of: Callable[..., Fit],
    least: float,
) -> Iterator[tuple[Any, Fit]]:
    """The candidates that do fit, the nearest first; what has been joined meanwhile is not looked at again.

    Args:
        near_of: (photographs, start of a block) -> candidates: bits that differ, two photographs, and how they are to fit.
        fit_of: (photographs, a candidate without its bits) -> how well it fits.
        least: a likeness has to be above it.
    """
    blocks = _by_blocks(pool, partial(near_of, photographs), len(photographs.names), 32)
    near = sorted(candidate for found in blocks for candidate in found)
    for start in range(0, min(len(near), FITTED_AT_MOST), 64):
        batch = [one for one in near[start : start + 64] if joined.label[one[1]] != joined.label[one[2]]]
        fits = pool.map(lambda one: fit_of(photographs, *one[1:]), batch)
        yield from ((one, fit) for one, fit in zip(batch, fits, strict=True) if fit.likeness > least)


def _fit(photographs: _Photographs, whole: int, crop: int, orientation: int, window: int) -> Fit:
    return fit_crop(photographs.small[whole], turned(photographs.small[crop], orientation), window)


def _near_windows(photographs: _Photographs, start: int) -> list[tuple[int, int, int, int, int]]:
    """(bits that differ, whole, crop, orientation of the crop, window): for each crop of a block the nearest few."""
    found = []
    for crop in range(start, min(start + 32, len(photographs.names))):
        best = []
        for orientation in (0, 1):
            distance = np.bitwise_count(photographs.windows ^ photographs.whole[crop, orientation])
            whole, window = np.nonzero(distance <= NEAR_WINDOW)
            bits = distance[whole, window]
            seen = set[int]()
            for at in np.argsort(bits, kind="stable"):
                if len(seen) == _RIVALS:
                    break
                if whole[at] != crop and whole[at] not in seen:
                    seen.add(int(whole[at]))
                    best.append((int(bits[at]), int(whole[at]), crop, orientation, int(window[at])))
        found += sorted(best)[:_RIVALS]
    return found


def _join_overlaps(photographs: _Photographs, joined: _Joined, pool: ThreadPoolExecutor) -> None:
    """Join views of one thing of which each shows a border that the other lacks."""
    for (_, first, second, pair), fit in _fitting(photographs, joined, pool, _near_overlaps, _fit_part, OVERLAPS):
        x1, y1, _, _ = WINDOWS[OPPOSITE[pair][1]]
        shift = round(100 * (fit.corners[0] - x1)), round(100 * (fit.corners[1] - y1))
        detail = f"shifted by {shift[0]} % of the width, {shift[1]} % of the height"
        names = photographs.names[first], photographs.names[second]
        joined.join(first, second, Tie(*names, "overlap", round(min(fit.likeness, 1.0), 3), detail))


def _fit_part(photographs: _Photographs, first: int, second: int, pair: int) -> Fit:
    """Look in the first photograph for the part of the second that both may show."""
    here, there = OPPOSITE[pair]
    part = Image.fromarray(photographs.small[second]).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC, box=tuple(SIDE * corner for corner in WINDOWS[there])
    )
    return fit_crop(photographs.small[first], np.asarray(part), here)


def _near_overlaps(photographs: _Photographs, start: int) -> list[tuple[int, int, int, int]]:
    """(bits that differ, first, second, pair of windows): for each first of a block the nearest few of those after it."""
    found = []
    here, there = np.array(OPPOSITE).T
    for first in range(start, min(start + 32, len(photographs.names))):
        distance = np.bitwise_count(photographs.windows[first + 1 :][:, there] ^ photographs.windows[first, here])
        best = distance.min(axis=1, initial=64)
        for later in np.argsort(best, kind="stable")[:_RIVALS]:
            if best[later] <= NEAR_WINDOW:
                pair = int(distance[later].argmin())
                found.append((int(best[later]), first, first + 1 + int(later), pair))
    return found


def _join_neighbours(photographs: _Photographs, joined: _Joined) -> None:
    pairs = names_of.neighbours(photographs.names)
    numbers = np.array([[photographs.number[first], photographs.number[second]] for first, second in pairs])
    for start in range(0, len(pairs), _CHUNK):
        chunk = numbers[start : start + _CHUNK]
        for (first, second), value in zip(chunk, photographs.likeness(chunk, 0), strict=True):
            if value > SAME_SCENE:
                names = photographs.names[first], photographs.names[second]
                joined.join(
                    first, second, Tie(*names, "scene", round(float(value), 3), "numbers that follow one another")
                )
