"""The processor that measured: its name, the instructions on which int8's speed hangs, and which variant suits it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from mirada.inference.variants import REFERENCE

Figures = Mapping[str, Mapping[str, float]]
_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
}
"""A flag of Linux -> what people call it."""
DOT_PRODUCTS = ("AVX-VNNI", "AVX-512 VNNI", "AMX int8", "dotprod", "i8mm")
"""Instructions that multiply four pairs of int8, or more, and add them up."""
_FASTER = 0.9  # of float32's time; above it a person would not notice
LEVEL = 1.05  # times and sizes that differ by less are level
BUDGET = 0.01  # of the main figure, where no ladder names one


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def instruction_sets(cpuinfo: str | None = None) -> tuple[str, ...]:
    """Those that matter for speed; empty where the system does not tell (not Linux).

    Args:
        cpuinfo: the text of /proc/cpuinfo; None: this machine's.
    """
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.is_file() else ""
    flags = {
        flag
        for line in cpuinfo.splitlines()
        if line.partition(":")[0].strip() in ("flags", "Features")
        for flag in line.partition(":")[2].split()
    }
    return tuple(name for flag, name in _SETS.items() if flag in flags)


def explain_int8(figures: Figures, sets: tuple[str, ...]) -> str:
    """One sentence: how fast int8 is beside float32 on this processor, and why; empty without an int8 variant."""
    name = next((name for name in ("int8", "qat", "best") if name in figures), None)
    if name is None or REFERENCE not in figures:
        return ""
    share = figures[name]["latency_ms_p50"] / figures[REFERENCE]["latency_ms_p50"]
    told = f"{name} takes {share:.2f} × float32’s time on this processor"
    dot = [each for each in DOT_PRODUCTS if each in sets]
    if not sets:
        return f"{told}; which instructions it has for int8 the system does not tell."
    if dot and share < _FASTER:
        return f"{told}, which multiplies int8 in fours ({', '.join(dot)})."
    if dot:
        return (
            f"{told}, although that multiplies int8 in fours ({', '.join(dot)}): little of this network’s time goes into "
            "multiplications, or float operators were left in."
        )
    has = f"which has no instruction for products of int8 (its best is {sets[-1]})"
    if share < _FASTER:
        return f"{told}, {has}: what it saves is that fewer bytes are moved."
    return f"{told}, {has}: each number is widened to 16 bits first, so that here int8 saves size and memory, not time."


def within_budget(figures: Figures, budget: float) -> dict[str, Mapping[str, float]]:
    """The variants whose drop keeps within it, with their figures; the reference always does."""
    return {name: row for name, row in figures.items() if name == REFERENCE or row.get("drop", 1.0) <= budget}


def recommend(figures: Figures, metric: str, budget: float = BUDGET) -> str:
    """One or two sentences: the fastest, smallest and most accurate variants whose drop keeps within the budget.

    Args:
        figures: variant -> its figures, as in `metrics.json`.
        metric: the main one, higher is better.
        budget: the drop that is allowed.
    """
    within = within_budget(figures, budget)
    quickest = min(row["latency_ms_p50"] for row in within.values())
    level = [name for name, row in within.items() if row["latency_ms_p50"] <= LEVEL * quickest]
    chosen = min(level, key=lambda name: (within[name]["size_bytes"], name != "best"))
    smallest = min(
        within, key=lambda name: (within[name]["size_bytes"], within[name]["latency_ms_p50"], name != "best")
    )
    accurate = max(within, key=lambda name: (within[name][metric], -within[name]["size_bytes"]))
    others = [("smallest", smallest), ("most accurate", accurate)]
    same = [word for word, name in others if name == chosen]
    words = " and ".join(filter(None, [", ".join(["fastest", *same][: len(same) or 1]), *same[-1:]]))
    said = f"For this processor: {chosen}, the {words} within a drop of {budget:g}."
    rest = [f"the {word} is {name} ({_beside(within, name)})" for word, name in others if name != chosen]
    return f"{said}{' Of the others ' + ', '.join(rest) + '.' if rest else ''}"


def _beside(figures: Figures, name: str) -> str:
    return f"{figures[name]['size_bytes'] / 1e6:.2f} MB, {figures[name]['latency_ms_p50']:.3g} ms"
