"""Images that belong together, and so on one side of the split: copies, augmented originals, frames and tiles of one scene.

Names alone prove little: numbers count photographs as well as frames. So a scene is believed only where neighbours by name
look more alike than images do that were drawn at random.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from mirada.data.folders.layout import split_word
from mirada.data.records import SPLITS
from mirada.inspection.finding import Example, Finding, many
from mirada.inspection.survey import Survey

# What Roboflow makes of one original: name_jpg.rf.<hash>.jpg. The key of `data.split.group` is what is found.
ORIGINAL = r"^.+(?=\.rf\.)"
# What comes before the last number: frames of a film; before the last two: tiles of a photograph.
SCENES = {"frames": r"^.*\D(?=\d+\.\w+$)", "tiles": r"^.*\D(?=\d+[_x-]\d+\.\w+$)"}
LIKELY = 0.6  # neighbours by name differ by less than this share of what images at random do
_PAIRS = 2000


def find_copies(survey: Survey) -> list[Finding]:
    """Files of the very same bytes."""
    groups = defaultdict(list)
    for source, seen in survey.seen.items():
        groups[seen.digest].append(source)
    copies = [sorted(sources) for sources in groups.values() if len(sources) > 1]
    findings = []
    across = [sources for sources in copies if len({survey.split_of(s) for s in sources} - {""}) > 1]
    if across:
        count = sum(len(sources) for sources in across)
        splits = {survey.split_of(source) for sources in across for source in sources}
        where = " and ".join(split for split in SPLITS if split in splits)
        sentence = f"{many(count, 'file')} with the same bytes in two splits ({where}): one side would know the other."
        mend = "preprocess keeps the copy in test, else that in val, and leaves out the others; remove them to be sure"
        examples = _examples(survey, across)
        findings.append(Finding("copies_across_splits", "warning", count, sentence, mend, examples))
    inside = [sources for sources in copies if sources not in across]
    if inside:
        extra = sum(len(sources) - 1 for sources in inside)
        sentence = f"{many(extra, 'file is', 'files are')} the same bytes as another, within a split."
        mend = "remove them: they count twice"
        findings.append(Finding("copies", "note", extra, sentence, mend, _examples(survey, inside)))
    return findings


def find_originals(survey: Survey) -> list[Finding]:
    """Several versions of one original, as Roboflow makes them by augmentation."""
    groups = group_by(survey.seen, ORIGINAL)
    several = [sources for sources in groups.values() if len(sources) > 1]
    if not several:
        return []
    count = sum(len(sources) for sources in several)
    across = _across(survey, several)
    told = (
        f"{many(len(several), 'original')} with several versions, {many(count, 'image')} in all (Roboflow's .rf. names)"
    )
    mend = group_key(ORIGINAL)
    if across:
        sentence = f"{told}: of {len(across)} some are trained on and others tested with, so the test is too easy."
        return [
            Finding(
                "originals_across_splits", "error", len(across), sentence, _how(survey, mend), _examples(survey, across)
            )
        ]
    return [
        Finding("originals", "note", len(several), f"{told}; none is in two splits.", mend, _examples(survey, several))
    ]


def find_scenes(survey: Survey) -> list[Finding]:
    """Frames of one film, tiles of one photograph, by name and by look."""
    plain = [source for source in survey.seen if ".rf." not in source]  # the others end with a hash, not with a number
    for kind, pattern in SCENES.items():
        groups = {key: found for key, found in group_by(plain, pattern).items() if not _says_else(survey, key)}
        scenes = [sources for sources in groups.values() if len(sources) > 1]
        count = sum(len(sources) for sources in scenes)
        if len(groups) < 2 or count < 0.3 * len(survey.seen) or not looks_alike(survey, scenes):
            continue
        across = _across(survey, scenes)
        words = f"{many(count, 'image')} are {kind} of {many(len(scenes), 'scene')}, by their names and by their looks"
        mend = group_key(pattern)
        if not across:
            sentence = f"{words}; none is in two splits."
            return [Finding("scenes", "note", len(scenes), sentence, mend, _examples(survey, scenes))]
        sentence = f"{words}: {len(across)} of them are on both sides of the split, so the test is too easy."
        severity = "error" if len(across) > 0.1 * len(scenes) else "warning"
        return [
            Finding(
                "scenes_across_splits", severity, len(across), sentence, _how(survey, mend), _examples(survey, across)
            )
        ]
    return []


def group_key(pattern: str) -> str:
    """The setting that keeps such images together, as it is written on a command line."""
    return f"\"data.split.group='{pattern}'\""


def _how(survey: Survey, mend: str) -> str:
    """Where folders or lists say the split, it has to be shared out anew."""
    marked = any(image.split for image in survey.images) and survey.config.data.split.kind in ("auto", "folder", "list")
    return f"data.split.kind=ratio {mend}" if marked else mend


def group_by(sources: Iterable[str], pattern: str) -> dict[str, list[str]]:
    """Images by what a regular expression finds in their file names, as `data.split.group` does; others are left out."""
    groups = defaultdict(list)
    for source in sorted(sources):
        if found := re.search(pattern, source.rpartition("/")[2]):
            groups[found[0]].append(source)
    return dict(groups)


def looks_alike(survey: Survey, groups: Sequence[Sequence[str]]) -> bool:
    """Whether neighbours within groups look more alike than images at random."""
    neighbours = [(a, b) for sources in groups for a, b in zip(sources, sources[1:], strict=False)]
    generator = np.random.default_rng(0)
    if len(neighbours) > _PAIRS:
        neighbours = [neighbours[i] for i in generator.choice(len(neighbours), _PAIRS, replace=False)]
    everything = [source for sources in groups for source in sources]
    owner = {source: number for number, sources in enumerate(groups) for source in sources}
    drawn = generator.choice(len(everything), (2 * len(neighbours), 2))
    at_random = [(everything[i], everything[j]) for i, j in drawn if owner[everything[i]] != owner[everything[j]]]
    if len(neighbours) < 3 or len(at_random) < 3:
        return False
    return _distance(survey, neighbours) < LIKELY * _distance(survey, at_random)


def _distance(survey: Survey, pairs: Sequence[tuple[str, str]]) -> float:
    """The median, over pairs, of the mean difference of their thumbnails."""
    return float(np.median([
        np.abs(survey.seen[a].thumbnail_array().astype(np.int16) - survey.seen[b].thumbnail_array()).mean()
        for a, b in pairs
    ]))  # fmt: skip


def _says_else(survey: Survey, key: str) -> bool:
    """Whether what stands before the number is a class or a split: cat.1.jpg, test_017.jpg."""
    word = re.sub(r"[\W\d_]+", " ", key).strip().casefold()
    return (
        word in {label.casefold() for label in survey.classes}
        or split_word(word) is not None
        or not word
        and len(key) < 2
    )


def _across(survey: Survey, groups: Sequence[list[str]]) -> list[list[str]]:
    return [sources for sources in groups if len({survey.split_of(s) for s in sources} - {""}) > 1]


def _examples(survey: Survey, groups: Sequence[list[str]]) -> tuple[Example, ...]:
    """Of each group two images, from different splits where there are."""
    examples = []
    for sources in groups[:200]:
        by_split: dict[str, str] = {}
        for source in sources:
            by_split.setdefault(survey.split_of(source), source)
        shown = [by_split[split] for split in SPLITS if split in by_split][:2]
        shown = shown if len(shown) > 1 else sources[:2]
        examples += [Example(source, survey.split_of(source)) for source in shown]
    return tuple(examples)
