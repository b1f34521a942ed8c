"""What runtimes and compilers say of a file: LiteRT, TFLM (microcontrollers) and Vela (Arm's Ethos-U).

Each is asked in a process of its own, as a foreign file may crash it. The last two are asked where they are installed.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

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
# The arena's size is not known before: from small to large, until it is enough. print_allocations speaks on stderr.
_TFLM = """
import sys
from tflite_micro import runtime
content = open(sys.argv[1], "rb").read()
for mebibytes in (1, 16, 128, 1024):
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=mebibytes << 20)
        interpreter.print_allocations()
        break
    except RuntimeError:
        if mebibytes == 1024:
            raise
"""
# Not --show-cpu-operations: with it Vela counts other operators than it does without.
_VELA = ("--accelerator-config", "ethos-u55-128", "--config", "Arm/vela.ini", "--system-config",
         "Ethos_U55_High_End_Embedded", "--memory-mode", "Shared_Sram",)  # fmt: skip


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


def _ask(arguments: list[str]) -> tuple[int, str, str]:
    """Exit status, what was said on stdout, and on stderr; 1 and a sentence where it took too long."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return 1, "", f"took more than {_SECONDS} s"
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _failure(runtime: str, status: int, said: str, reason: str) -> Verdict:
    if status < 0:
        name = signal.Signals(-status).name if -status in [*signal.Signals] else str(-status)
        return Verdict(runtime, CRASHES, f"{runtime} crashes on it ({name}).")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return Verdict(
        runtime, REFUSES, f"{runtime} refuses it: {(reason or (lines or ['no message'])[-1])[:200].rstrip('.')}."
    )


def ask_litert(path: Path) -> Verdict:
    """Whether LiteRT loads it and computes an inference on zeros."""
    status, _, said = _ask(["-c", _LITERT, str(path)])
    if status:
        lines = [line for line in said.splitlines() if re.match(r"(RuntimeError|ValueError)", line)]
        return _failure("LiteRT", status, said, lines[-1].partition(": ")[2] if lines else "")
    return Verdict("LiteRT", RUNS, "LiteRT loads it and computes an inference on zeros.")


def ask_tflm(path: Path) -> Verdict:
    """Whether TFLM has all of its operators, and the arena that it takes; no inference is computed, its kernels are slow."""
    if find_spec("tflite_micro") is None:
        return Verdict("TFLM", ABSENT, "TFLM was not asked: pip install --pre tflite-micro.")
    status, said, noise = _ask(["-c", _TFLM, str(path)])
    sizes = {part: int(size) for part, size in re.findall(r"Arena allocation (\w+) (\d+) bytes", said + noise)}
    if status or "total" not in sizes:
        reasons = re.findall(r"Failed to get registration from op code (.+)|(?:Didn't find op for builtin opcode '(\w+)')|"
                             r"Node (\w+) \(number \d+\) failed to prepare", noise)  # fmt: skip
        last = next((part for reason in reversed(reasons) for part in reason if part.strip()), "")
        return _failure("TFLM", status, noise, f"operator {last.strip()}" if last else "")
    kib = sizes["total"] / 1024
    text = f"TFLM loads it in an arena of {sizes['total']} bytes ({kib:,.0f} KiB): {sizes.get('head', 0)} for values, "
    text += f"{sizes.get('tail', 0)} that stay."
    return Verdict("TFLM", LOADS, text, {f"arena_{part}_bytes": size for part, size in sizes.items()})


def ask_vela(path: Path) -> Verdict:
    """How much of it Vela puts on an Ethos-U55-128 (High_End_Embedded, Shared_Sram, 500 MHz), and its estimate."""
    if find_spec("ethosu") is None or find_spec("ethosu.vela") is None:
        return Verdict("Vela", ABSENT, "Vela was not asked: pip install ethos-u-vela.")
    with tempfile.TemporaryDirectory() as folder:
        status, said, noise = _ask(["-m", "ethosu.vela", str(path.resolve()), "--output-dir", folder, *_VELA])
        tables = [*Path(folder).glob("*_summary_*.csv")]
        row = next(csv.DictReader(tables[0].read_text().splitlines()), {}) if tables else {}
    shares = {unit: int(count) for unit, count in re.findall(r"(CPU|NPU) operators = (\d+)", said)}
    if status or "NPU" not in shares:
        lines = re.findall(r"Error.*", said + noise)
        return _failure("Vela", status, said + noise, lines[-1] if lines else "")
    npu, total = shares["NPU"], sum(shares.values())
    figures = {"npu_operators": float(npu), "operators": float(total)}
    text = f"Vela puts {npu} of {counted(total, 'operator')} on an Ethos-U55-128"
    if npu:
        wanted = {"sram_kib": "sram_memory_used", "flash_kib": "off_chip_flash_memory_used"}
        figures |= {name: float(row.get(column, 0)) for name, column in wanted.items()}
        figures["estimated_ms"] = 1000 * float(row.get("inference_time", 0))
        text += f" ({figures['sram_kib']:,.0f} KiB SRAM, {figures['flash_kib']:,.0f} KiB flash, "
        alone = "" if npu == total else ", without the CPU's part"
        text += f"{figures['estimated_ms']:.2g} ms estimated at 500 MHz{alone})"
    return Verdict("Vela", COMPILES, f"{text}.", figures, _left_to_cpu(said + noise))


def _left_to_cpu(said: str) -> list[str]:
    """'CONV_2D: Operation has …' with its count, the most frequent first; Vela may tell of one operator twice."""
    told = re.findall(r"operator: (\w+), ofm: (.*)\n\s*-? ?Reason: (.*)", said)
    texts = [f"{kind}: {re.sub(r' *[(].*[)]', '', reason).strip()}" for kind, _, reason in dict.fromkeys(told)]
    return [f"{text} ({count})" for text, count in Counter(texts).most_common()]


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
