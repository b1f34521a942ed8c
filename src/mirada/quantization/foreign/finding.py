"""One thing that was found in a file, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SEVERITIES = ("note", "warning", "error")  # from the lightest
_NAMED = 3  # places that a sentence names


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: its kind, for machines.
        severity: 'error': computes something else than was meant, or nothing; 'warning': costs accuracy, time or a device;
            'note': to know.
        what: was seen. means: for whoever uses the file. do: about it. Each begins small and ends without a full stop.
        where: the tensors or operators, all of them.
    """

    code: str
    severity: str
    what: str
    means: str
    do: str
    where: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """All of it."""
        return f"{self.title}: {self.means}; {self.do}."

    @property
    def title(self) -> str:
        """What was seen, with a capital unless it begins with a name."""
        word = self.what.partition(" ")[0]
        return f"{word[:1].upper()}{self.what[1:]}" if word.isalpha() else self.what

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"sentence": self.sentence}


def sorted_findings(findings: Sequence[Finding]) -> list[Finding]:
    """The gravest first, else in the order given."""
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))


def worse_or_same(findings: Sequence[Finding], severity: str) -> list[Finding]:
    """Those of a severity or of a graver one; none for 'never'."""
    if severity not in SEVERITIES:
        return []
    return [f for f in findings if SEVERITIES.index(f.severity) >= SEVERITIES.index(severity)]


def named(names: Sequence[str]) -> str:
    """The first few names and how many more there are: 'a, b, c and 4 more'."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, thing: str) -> str:
    """'1 operator', '3 operators'."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
