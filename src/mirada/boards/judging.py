"""Whether a model fits a board, by how much not, and the nearest change that would make it fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirada.boards.carried import FIGURES, Carried, Takes
from mirada.boards.changes import Changed, nearest_changes
from mirada.boards.limits import Limits
from mirada.boards.memory import plan_memory
from mirada.boards.network import Network

FITS, TOO_MUCH, CANNOT_TELL = "fits", "too_much", "cannot_tell"
WORDS = {"arena_bytes": "bytes of arena", "flash_bytes": "bytes of flash", "milliseconds": "ms"}
"""Figure -> its unit, for people."""


@dataclass(frozen=True)
class Judged:
    """One limit.

    Attributes:
        limit: 'arena_bytes', 'flash_bytes', 'milliseconds' or 'operators'.
        value: what the model takes; of operators the number that the board lacks; None: not known.
        bound: at most so much. answer: 'fits', 'too_much' or 'cannot_tell'. reason: why not known, or which operators.
    """

    limit: str
    value: float | None
    bound: float
    answer: str
    reason: str = ""

    @property
    def over(self) -> float:
        """By how much the value is above the bound; below 0: what is left. 0 where it is not known."""
        return 0.0 if self.value is None else self.value - self.bound

    def sentence(self) -> str:
        """For people, without a full stop."""
        if self.limit == "operators":
            return f"it lacks {self.reason}" if self.reason else "it has all operators"
        word = WORDS[self.limit]
        if self.value is None:
            return f"{self.limit} is not known: {self.reason.rstrip('.')}"
        text = f"{_number(self.value)} of {_number(self.bound)} {word}"
        if self.answer == CANNOT_TELL:
            return f"{text} and more: {self.reason.rstrip('.')}"
        return f"{text}, {_number(abs(self.over))} {'too many' if self.over > 0 else 'left'}"


@dataclass(frozen=True)
class Change:
    """What would make it fit.

    Attributes:
        what: 'input_size', 'width', 'blocks', 'stride', or two joined by ' and '. before, after: its values.
        sentence: for people. kept: share of the multiplications that is left.
        figures: estimated, limit -> what the changed network would take.
    """

    what: str
    before: float
    after: float
    sentence: str
    kept: float
    figures: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """All limits, and the changes that would keep them all, the nearest first; none where the model fits."""

    judged: tuple[Judged, ...]
    changes: tuple[Change, ...]

    @property
    def answer(self) -> str:
        """'too_much' where one limit is broken, else 'cannot_tell' where one is not known, else 'fits'."""
        answers = {entry.answer for entry in self.judged}
        return next((answer for answer in (TOO_MUCH, CANNOT_TELL) if answer in answers), FITS)

    def excess(self) -> float:
        """The largest share by which a limit is broken, 0 where none is; an operator that is lacking is past all."""
        if any(entry.limit == "operators" and entry.answer == TOO_MUCH for entry in self.judged):
            return float("inf")
        return max([0.0, *(entry.over / entry.bound for entry in self.judged if entry.answer == TOO_MUCH)])

    def sentence(self, title: str) -> str:
        """The outcome for people; `title` is the board's."""
        broken = [entry for entry in self.judged if entry.answer == TOO_MUCH]
        unknown = [entry for entry in self.judged if entry.answer == CANNOT_TELL]
        shown = broken or unknown or [entry for entry in self.judged if entry.limit != "operators"] or self.judged
        start = {TOO_MUCH: "does not fit", CANNOT_TELL: "may fit", FITS: "fits"}[self.answer]
        text = f"it {start} {title}: {'; '.join(entry.sentence() for entry in shown)}"
        if self.changes:
            text += f"; nearest change: {self.changes[0].sentence}"
        elif broken and all(entry.limit != "operators" for entry in broken):
            text += "; no smaller input, width or number of blocks mends it"
        return f"{text}."

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "answer": self.answer,
            "limits": [vars(entry) | {"over": entry.over} for entry in self.judged],
            "changes": [vars(change) for change in self.changes],
        }


def judge(carried: Carried, limits: Limits) -> Verdict:
    """Hold what a model takes against limits, and look for what would mend it.

    Args:
        carried: of `measure`.
        limits: of `limits_of`.
    """
    verdict = hold(carried, limits)
    if verdict.answer != TOO_MUCH or carried.lacking:
        return verdict
    bounds = _bounds(limits)
    found = nearest_changes(carried.network, lambda network: _keeps(network, carried, bounds))
    return Verdict(verdict.judged, tuple(_change(one, carried, bounds) for one in found))


def hold(taken: Takes, limits: Limits) -> Verdict:
    """Hold what a model takes against limits, without looking for changes."""
    known = _bounds(limits).items()
    judged = [_judge(name, getattr(taken, name), bound, taken) for name, bound in known if bound is not None]
    lacks = TOO_MUCH if taken.lacking else FITS
    judged.append(Judged("operators", len(taken.lacking), 0, lacks, ", ".join(taken.lacking)))
    return Verdict(tuple(judged), ())


def _bounds(limits: Limits) -> dict[str, float | None]:
    return {name: getattr(limits, name) for name in FIGURES}


def _judge(name: str, value: float | None, bound: float, taken: Takes) -> Judged:
    reason = taken.unknown.get(name, "")
    if value is not None and value > bound:
        return Judged(name, value, bound, TOO_MUCH)
    return Judged(name, value, bound, CANNOT_TELL if reason else FITS, reason)


def estimate(network: Network, carried: Carried) -> dict[str, float]:
    """What a network that was never built would take: from the plan of its memory, its weights, its multiplications.

    Args:
        network: a change of `carried.network`.
        carried: what the one that was built takes.
    """
    peak, weights, base = plan_memory(network).peak_bytes, network.weight_bytes, carried.network
    found = {}
    if carried.arena_bytes is not None:
        moved = carried.arena_bytes - carried.fixed_bytes
        found["arena_bytes"] = carried.fixed_bytes + moved * peak / max(carried.memory.peak_bytes, 1)
    found["flash_bytes"] = carried.flash_bytes - min(carried.flash_bytes, base.weight_bytes) * (
        1 - weights / max(base.weight_bytes, 1)
    )
    if carried.milliseconds is not None:
        found["milliseconds"] = carried.milliseconds * network.macs / max(base.macs, 1)
    return found


def _keeps(network: Network, carried: Carried, bounds: Mapping[str, float | None]) -> bool:
    figures = estimate(network, carried)
    return all(bound is None or figures.get(name, 0) <= bound for name, bound in bounds.items())


def _change(one: Changed, carried: Carried, bounds: Mapping[str, float | None]) -> Change:
    figures = estimate(one.network, carried)
    shown = [f"{_number(figures[name])} {WORDS[name]}" for name, bound in bounds.items() if bound and name in figures]
    text = f"{one.sentence}, about {' and '.join(shown)}"
    return Change(one.what, one.before, one.after, text, one.kept, figures)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
