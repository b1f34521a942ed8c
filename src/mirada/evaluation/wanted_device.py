"""Which variant suits the device that a model is made for: of its table, of what was measured, and of nothing invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mirada.boards.asking import Record
from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH
from mirada.evaluation.processor import LEVEL, Figures, within_budget
from mirada.inference.workload import NUMBERS, Workload

_SPEED = {"native": 0, "widened": 1, "software": 2, "none": 3}
# No slower than integers that are widened first, no faster than integers that are multiplied as they are.
_NATIVE_FLOAT = 1
_HOW = {
    "native": "which it multiplies as they are",
    "widened": "which it widens first: that they save size and memory is sure, that they save time is not",
    "software": "for which it has no unit: many instructions make up each product",
    "none": "which its accelerator leaves to the processor beside it",
    None: "and how it multiplies them is not known",
}
_HALVES = {
    "native": (
        "A float16 file saves half of float32’s size; products of 16-bit floats LiteRT takes where a program asks for it."
    ),
    "widened": "A float16 file saves half of float32’s size and no time: it is computed with 32-bit floats.",
}


@dataclass(frozen=True)
class Advice:
    """What to take to a device.

    Attributes:
        variant: empty where none keeps within the budget and fits. sentence: for people, why.
    """

    variant: str = ""
    sentence: str = ""


def advise(
    figures: Figures, metric: str, budget: float, found: Mapping[str, Record], work: Mapping[str, Workload]
) -> Advice:
    """The fastest variant that fits, as far as speed is known there, and of those that may be equally fast the smallest.

    Args:
        figures: variant -> its figures, as in `metrics.json`.
        metric: the main one, higher is better.
        budget: the drop that is allowed.
        found: variant -> what the device makes of it, of `BoardJudge.record`; not empty.
        work: variant -> what an inference takes.
    """
    about = next(iter(found.values()))
    within = [name for name in within_budget(figures, budget) if name in found]
    answers = {name: found[name]["answer"] for name in within}
    pool = [name for name in within if answers[name] == FITS] or [n for n in within if answers[n] == CANNOT_TELL]
    if not pool:
        return Advice("", _refuse(figures, budget, found, within))
    speed, fastest = _speed(pool, found, figures, work)
    level = [name for name in pool if speed[name] <= LEVEL * min(speed.values())]
    size = {name: figures[name]["size_bytes"] for name in pool}
    small = [name for name in level if size[name] <= LEVEL * min(size[name] for name in level)]
    chosen = min(small, key=lambda name: (-work[name].int8_share, size[name], name != "best"))
    bests = {
        "smallest": min(pool, key=lambda name: (size[name], name != chosen)),
        "most accurate": max(pool, key=lambda name: (figures[name][metric], name == chosen, -size[name])),
    }
    qualities = [fastest] * (len(level) < len(pool)) + [f"the {word}" for word in bests if bests[word] == chosen]
    others = ", ".join(f"{bests[word]} the {word}" for word in bests if bests[word] != chosen)
    sentences = [
        f"For {about['title']}: {', '.join([chosen, *filter(None, qualities)])}",
        f"within a drop of {budget:g}{f' ({others})' if others else ''}.",
        _capital(found[chosen]["sentence"]),
        _numbers(about, work[chosen]),
        _time(found[chosen]),
        _left_out(within, answers),
        _HALVES.get(_arithmetic(about, "float16") or "", "") if "float16" in pool and _on_litert(about) else "",
    ]
    return Advice(chosen, " ".join(filter(None, sentences)))


def _speed(
    pool: list[str], found: Mapping[str, Record], figures: Figures, work: Mapping[str, Workload]
) -> tuple[dict[str, float], str]:
    """Variant -> what to sort by, lower is faster or may be; and what the first is called, empty where nothing is known."""
    about = found[pool[0]]
    if about.get("time_known") == "measured":
        return {name: figures[name]["latency_ms_p50"] for name in pool}, "the fastest as measured here"
    times = {name: found[name]["milliseconds"] for name in pool if "milliseconds" not in found[name]["unknown"]}
    if None not in times.values() and times:
        return {name: times.get(name, float("inf")) for name in pool}, "the fastest by Vela’s estimate"
    ranks = {name: _rank(about, work[name]) for name in pool}
    if any(rank is None for rank in ranks.values()):
        return dict.fromkeys(pool, 0), ""
    return {name: rank or 0 for name, rank in ranks.items()}, "likely the fastest"


def _rank(about: Record, work: Workload) -> int | None:
    """How fast the device multiplies most of a variant's numbers, in words of `_SPEED`; None where that is not known."""
    numbers = _main(work)
    how = _arithmetic(about, numbers)
    if how is None:
        return None
    return _SPEED[how] if numbers == "int8" else max(_NATIVE_FLOAT, _SPEED[how])


def _main(work: Workload) -> str:
    """The numbers that most multiplications are of."""
    return max(work.macs_by_numbers, key=lambda key: work.macs_by_numbers[key], default="float32")


def _arithmetic(about: Record, numbers: str) -> str | None:
    """The device's word for a key of `NUMBERS`; of hybrid ones, that each runtime treats its own way, as of floats."""
    return about.get("arithmetic", {}).get({"hybrid": "float32"}.get(numbers, numbers))


def _numbers(about: Record, work: Workload) -> str:
    if not work.macs:
        return ""
    numbers = _main(work)
    share = work.macs_by_numbers[numbers] / work.macs
    which = "Its multiplications are" if share == 1 else f"{share:.0%} of its multiplications are"
    return f"{which} of {NUMBERS[numbers]}, {_HOW[_arithmetic(about, numbers)]}."


def _time(record: Record) -> str:
    if record.get("time_known") == "measured":
        return "Times are of the machine that ran this."
    reason = record["unknown"].get("milliseconds")
    if reason:
        return f"Its time there is not known ({reason.rstrip('.')})."
    return (
        f"Its {record['milliseconds']:.3g} ms are Vela’s estimate and no measurement." if record["milliseconds"] else ""
    )


def _left_out(within: list[str], answers: Mapping[str, str]) -> str:
    names = [name for name in within if answers[name] == TOO_MUCH]
    return f"Of those within the drop, {' and '.join(names)} would not fit." if names else ""


def _refuse(figures: Figures, budget: float, found: Mapping[str, Record], within: list[str]) -> str:
    """Why none is advised: the nearest of those within the drop, and what fits beyond it."""
    title = next(iter(found.values()))["title"]
    if not within:
        return f"For {title}: no variant is within a drop of {budget:g} and was held against it."
    known = [name for name in within if not found[name]["unknown"].get("arena_bytes")] or within
    nearest = min(known, key=lambda name: (_excess(found[name]), figures[name]["size_bytes"]))
    beyond = [name for name in found if name not in within and found[name]["answer"] == FITS and name in figures]
    told = f" At a larger drop {' and '.join(beyond)} would." if beyond else ""
    why = f"The nearest is {nearest}: {found[nearest]['sentence']}"
    return f"For {title}: no variant within a drop of {budget:g} fits. {why}{told}"


def _excess(record: Record) -> float:
    """By which share the worst limit is broken; an operator that is lacking is past all."""
    broken = [entry for entry in record["limits"] if entry["answer"] == TOO_MUCH]
    return max([0.0, *(entry["over"] / entry["bound"] if entry["bound"] else float("inf") for entry in broken)])


def _on_litert(about: Record) -> bool:
    return about.get("runtime") == "litert"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
