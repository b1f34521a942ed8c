"""A finding: what was noticed, how much it matters, where it shows, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirada.config import SEVERITIES
from mirada.data.records import Box


@dataclass(frozen=True)
class Example:
    """Where a finding shows.

    Attributes:
        source: the file, by its path below the raw folder.
        note: a few words.
        boxes: those that are meant, in pixels of the image as displayed.
        others: boxes to draw beside them, thinly.
    """

    source: str
    note: str = ""
    boxes: tuple[Box, ...] = ()
    others: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that was noticed.

    Attributes:
        id: its kind, a word of its own.
        severity: one of SEVERITIES.
        count: of files, images, objects or classes, as the sentence says.
        sentence: what was noticed, with its figures.
        mend: the command or key that mends it, or what to do.
        examples: where it shows, the worst first.
        rows: a table, its head first.
    """

    id: str
    severity: str
    count: int
    sentence: str
    mend: str = ""
    examples: tuple[Example, ...] = ()
    rows: tuple[tuple[str, ...], ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The finding as `findings.json` holds it."""
        examples = [
            {"file": example.source, "note": example.note, "boxes": [_box_json(box) for box in example.boxes]}
            for example in self.examples
        ]
        return {
            "id": self.id,
            "severity": self.severity,
            "count": self.count,
            "sentence": self.sentence,
            "mend": self.mend,
            "examples": examples,
        }


def _box_json(box: Box) -> dict[str, Any]:
    corners = [round(value, 2) for value in (box.x1, box.y1, box.x2, box.y2)]
    return {"box_xyxy": corners, "label": box.label}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings before notes; of one severity in the order in which they came."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def breaks(findings: Sequence[Finding], fail_on: str) -> list[Finding]:
    """The findings that are to stop what comes after.

    Args:
        findings: all of them.
        fail_on: 'never', 'error', or 'warning', which errors are, too.
    """
    if fail_on == "never":
        return []
    severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return [finding for finding in findings if finding.severity in severe]


def many(count: int, one: str, several: str = "") -> str:
    """A number with its noun: `1 image`, `3 images`, `2 boxes`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}".replace(",", " ")


def percent(share: float) -> str:
    """A share in whole percent: `12 %`; what is not none is no zero."""
    return "below 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")
