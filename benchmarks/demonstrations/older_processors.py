"""What the variants cost on processors that have fewer instructions than this one.

    python benchmarks/demonstrations/older_processors.py models/quantize

XNNPACK chooses its kernels by what the library cpuinfo found. For each kind of processor a process of its own takes
instructions out of that finding before the first model is opened, so that a processor with AVX-512 VNNI computes as one
without. Only for x86-64 on Linux, with binutils' `nm` and a LiteRT whose library has its symbols; caches, clock and memory
stay this machine's. Times are of the processor (`thread_time`), one thread, medians of turns; half a minute in all.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

VARIANTS = ("float32", "float16", "dynamic", "int8")
ROUNDS = 60
# Places in `struct cpuinfo_x86_isa` of cpuinfo.h on x86-64: a byte an instruction set.
_AVX_VNNI, _AVX512_VNNI, _AVX512, _AVX10_AND_AMX = 23, 41, range(29, 47), range(47, 56)
KINDS = {
    "as it is": (),
    "AVX-512, no VNNI": (_AVX_VNNI, _AVX512_VNNI, *_AVX10_AND_AMX),
    "AVX-VNNI, no AVX-512": (*_AVX512, *_AVX10_AND_AMX),
    "AVX2 alone": (_AVX_VNNI, *_AVX512, *_AVX10_AND_AMX),
}


def symbols(library: str) -> dict[str, int]:
    """Addresses in the library of the two names that are needed."""
    listed = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    wanted = ("cpuinfo_initialize", "cpuinfo_isa")
    return {words[2]: int(words[0], 16) for line in listed.splitlines() if (words := line.split())[-1] in wanted}


def forget(places: tuple[int, ...]) -> None:
    """Take instruction sets out of what cpuinfo has found; LiteRT is loaded and no model opened yet."""
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    ours = [words for words in mapped if words[-1].endswith("libpywrap_litert_common.so")]
    base = min(int(words[0].partition("-")[0], 16) - int(words[2], 16) for words in ours)
    found = symbols(ours[0][-1])
    ctypes.CFUNCTYPE(ctypes.c_bool)(base + found["cpuinfo_initialize"])()
    isa = (ctypes.c_uint8 * 56).from_address(base + found["cpuinfo_isa"])
    for place in places:
        isa[place] = 0


def measure(folder: Path, kind: str) -> dict[str, float]:
    """Variant -> milliseconds of the processor."""
    from ai_edge_litert.interpreter import Interpreter

    forget(KINDS[kind])
    opened = {}
    for name in VARIANTS:
        interpreter = Interpreter(str(folder / f"{name}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        entry = interpreter.get_input_details()[0]
        pixels = np.random.default_rng(0).integers(0, 255, entry["shape"])
        interpreter.set_tensor(entry["index"], pixels.astype(entry["dtype"]))
        interpreter.invoke()
        opened[name] = interpreter
    times: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(ROUNDS):
        for name, interpreter in opened.items():
            started = time.thread_time()
            interpreter.invoke()
            times[name].append((time.thread_time() - started) * 1000)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def main() -> None:
    """A line a kind of processor; called with a kind, the figures of that one."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "models/quantize")
    if len(sys.argv) > 2:
        print(json.dumps(measure(folder, sys.argv[2])))
        return
    print(f"{'':22}", *(f"{name:>9}" for name in VARIANTS), "int8 / float32")
    for kind in KINDS:
        command = [sys.executable, __file__, str(folder), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times = json.loads(done.stdout.splitlines()[-1])
        share = times["int8"] / times["float32"]
        print(f"{kind:22}", *(f"{times[name]:9.2f}" for name in VARIANTS), f"{share:14.2f}")


if __name__ == "__main__":
    main()
