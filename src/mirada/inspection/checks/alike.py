"""Images that show the same thing: coded anew, resized, brighter, turned, cropped or shifted, inside and across splits."""

from __future__ import annotations

from collections import Counter

from mirada.data.alike.groups import Tie
from mirada.inspection.finding import Example, Finding, many
from mirada.inspection.survey import Survey

_BY_NAME = ("original", "scene")  # of these the checks of names tell


def find_alike(survey: Survey) -> list[Finding]:
    """Near-duplicates by their pixels, those of two splits first."""
    ties = [
        tie for group in survey.alike for tie in group.ties if tie.reason not in _BY_NAME and not _copies(survey, tie)
    ]
    across = [
        tie for tie in ties if survey.splits.get(tie.first) != survey.splits.get(tie.second) and _both_used(survey, tie)
    ]
    inside = [tie for tie in ties if tie not in across]
    findings = []
    if across:
        sentence = f"{many(len(across), 'pair')} of images in two splits show the same thing: {_reasons(across)}."
        mend = "data.split.group=auto keeps them together"
        findings.append(Finding("alike_across_splits", "error", len(across), sentence, mend, _examples(survey, across)))
    if inside:
        sentence = f"{many(len(inside), 'pair')} of images within a split show the same thing: {_reasons(inside)}."
        mend = "data.split.group=auto keeps them together; remove those that are too many"
        findings.append(Finding("alike", "note", len(inside), sentence, mend, _examples(survey, inside)))
    return findings


def _copies(survey: Survey, tie: Tie) -> bool:
    """Whether they are the same bytes, of which another check tells."""
    return survey.seen[tie.first].digest == survey.seen[tie.second].digest


def _both_used(survey: Survey, tie: Tie) -> bool:
    return tie.first in survey.splits and tie.second in survey.splits


def _reasons(ties: list[Tie]) -> str:
    counts = Counter(tie.reason for tie in ties)
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.most_common())


def _examples(survey: Survey, ties: list[Tie]) -> tuple[Example, ...]:
    examples = []
    for tie in ties:
        words = f"{tie.reason.replace('_', ' ')} {tie.detail}".strip()
        examples += [
            Example(source, f"{survey.split_of(source)} {words}".strip()) for source in (tie.first, tie.second)
        ]
    return tuple(examples)
