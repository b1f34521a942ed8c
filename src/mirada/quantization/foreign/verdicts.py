"""What runtimes and compilers say of a file: LiteRT, TFLM (microcontrollers) and Vela (Arm's Ethos-U).

Each is asked in a process of its own, as a foreign file may crash it. The last two are asked where they are installed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mirada.boards import tflm, vela
from mirada.boards.processes import CrashedError, ask, last_line
from mirada.errors import MiradaError
from mirada.quantization.foreign.finding import Finding, counted
from mirada.quantization.foreign.precision import Precision

RUNS, LOADS, COMPILES, REFUSES, CRASHES, ABSENT = "runs", "loads", "compiles", "refuses", "crashes", "not installed"
_SECONDS = 120  # for each
_LITERT = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
for details in interpreter.get_input_details():
    if details["dtype"] not in (np.bytes_, np.str_):
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
interpreter.invoke()
print(json.dumps("done"))
"""
_CORE = ("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")


@dataclass(frozen=True)
class Verdict:
    """What one runtime says.

    Attributes:
        runtime: its name. answer: 'runs', 'loads', 'compiles', 'refuses', 'crashes' or 'not installed'.
        sentence: for people. figures: what it measured, by name: bytes, shares, milliseconds.
        reasons: why operators are left to the CPU, most frequent first.
    """

    runtime: str
    answer: str
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def ask_all(path: Path) -> list[Verdict]:
    """Ask each in turn; takes seconds, at most a few minutes."""
    return [ask_litert(path), ask_tflm(path), ask_vela(path)]


def _failure(runtime: str, error: MiradaError) -> Verdict:
    if isinstance(error, CrashedError):
        return Verdict(runtime, CRASHES, f"{runtime} crashes on it ({error}).")
    return Verdict(runtime, REFUSES, f"{runtime} refuses it: {str(error)[:200].rstrip('.')}.")


def ask_litert(path: Path) -> Verdict:
    """Whether LiteRT loads it and computes an inference on zeros."""
    try:
        status, _, said = ask([sys.executable, "-c", _LITERT, str(path)], _SECONDS)
    except MiradaError as error:
        return _failure("LiteRT", error)
    if status:
        lines = [line for line in said.splitlines() if re.match(r"(RuntimeError|ValueError)", line)]
        return _failure("LiteRT", MiradaError(lines[-1].partition(": ")[2] if lines else last_line(said)))
    return Verdict("LiteRT", RUNS, "LiteRT loads it and computes an inference on zeros.")


def ask_tflm(path: Path) -> Verdict:
    """Whether TFLM has all of its operators, and the arena that it takes; no inference is computed, its kernels are slow."""
    if tflm.why_not():
        return Verdict("TFLM", ABSENT, "TFLM was not asked: pip install --pre tflite-micro.")
    try:
        arena = tflm.allocate(path, _SECONDS)
    except MiradaError as error:
        return _failure("TFLM", error)
    text = (
        f"TFLM loads it in an arena of {arena.total} bytes ({arena.total / 1024:,.0f} KiB): {arena.head} for values, "
    )
    text += f"{arena.tail} that stay."
    sizes = {"total": arena.total, "head": arena.head, "tail": arena.tail}
    return Verdict("TFLM", LOADS, text, {f"arena_{part}_bytes": size for part, size in sizes.items()})


def ask_vela(path: Path) -> Verdict:
    """How much of it Vela puts on an Ethos-U55-128 (High_End_Embedded, Shared_Sram, 500 MHz), and its estimate."""
    if vela.why_not():
        return Verdict("Vela", ABSENT, "Vela was not asked: pip install ethos-u-vela.")
    try:
        found = vela.try_to_compile(path, *_CORE, seconds=_SECONDS)
    except MiradaError as error:
        return _failure("Vela", error)
    npu, total = found.npu_operators, found.npu_operators + found.cpu_operators
    figures = {"npu_operators": float(npu), "operators": float(total)}
    text = f"Vela puts {npu} of {counted(total, 'operator')} on an Ethos-U55-128"
    if npu:
        figures |= {"sram_kib": found.sram_kib, "flash_kib": found.flash_kib, "estimated_ms": found.ms}
        text += f" ({found.sram_kib:,.0f} KiB SRAM, {found.flash_kib:,.0f} KiB flash, "
        alone = "" if npu == total else ", without the CPU's part"
        text += f"{found.ms:.2g} ms estimated at 500 MHz{alone})"
    return Verdict("Vela", COMPILES, f"{text}.", figures, found.reasons)


def verdict_findings(verdicts: list[Verdict], precision: Precision, foreign: bool, resizable: bool) -> list[Finding]:
    """What is to be said of refusals.

    Args:
        verdicts: of `ask_all`.
        precision: what the file computes in: a float file is not expected to run on a microcontroller.
        foreign: whether it has custom operators; that LiteRT lacks one is told with the operator.
        resizable: whether its inputs may have another size than the one that LiteRT was asked with.
    """
    found = []
    for verdict in verdicts:
        means = {
            "LiteRT": "nobody can run this file with the usual runtime",
            "TFLM": "it does not run on a microcontroller as it is",
        }.get(verdict.runtime, "it can't be compiled for an Ethos-U as it is")
        if verdict.runtime == "LiteRT" and foreign and verdict.answer == REFUSES:
            continue
        if verdict.runtime == "LiteRT" and resizable and verdict.answer == REFUSES:
            what = f"at the input size that is stored {verdict.sentence.rstrip('.')}"
            means = "its sides may change, and it may run at another size"
            found.append(
                Finding("litert_size", "warning", what, means, "resize its inputs before tensors are allocated")
            )
            continue
        if verdict.answer in (REFUSES, CRASHES):
            severity = "warning" if precision.is_whole else "note"
            if verdict.runtime == "LiteRT":
                severity = "error"
            do = "see what it names, replace that operator or convert again"
            what = verdict.sentence.rstrip(".")
            found.append(Finding(f"{verdict.runtime.lower()}_refuses", severity, what, means, do))
        elif verdict.runtime == "Vela" and verdict.figures and precision.is_whole:
            left = int(verdict.figures["operators"] - verdict.figures["npu_operators"])
            if left:
                what = f"Vela leaves {counted(left, 'operator')} of {verdict.figures['operators']:.0f} to the CPU"
                means = "the NPU waits for the CPU at each of them"
                do = "replace these kinds of layers where an Ethos-U is meant"
                found.append(Finding("vela_cpu", "warning", what, means, do, verdict.reasons))
    return found
