"""Arm's Vela: a model compiled for an Ethos-U, and what it will cost there by Vela's own estimate.

Vela is a compiler with a model of the core's time, not a simulator: it computes no outputs, so its answers are not compared.
The package `ethos-u-vela` is of the extra `device`.
"""

from __future__ import annotations

import csv
import io
import re
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from mirada.boards.processes import ask
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.plots import ink_colour, line_colour, new_figure, to_png
from mirada.tables import ms_text

TITLE = "Vela"
_SCRIPT = "import sys; from ethosu.vela.vela import main; sys.exit(main(sys.argv[1:]))"
_SHOWN = 20  # layers of the plot
_COUNTS = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)
_FIGURES = (
    "core_clock", "sram_memory_used", "dram_memory_used", "off_chip_flash_memory_used", "on_chip_flash_memory_used",
    "inference_time", "nn_macs",
)  # fmt: skip
_LEFT = re.compile(r"operator: (\w+), ofm: (.*)\n\s*-? ?Reason: (.*)")


@dataclass(frozen=True)
class Layer:
    """An operator of the compiled network.

    Attributes:
        name: of its output. kind: of the operator in the file. target: 'NPU' or 'CPU'.
        cycles: estimated. macs: multiplications. utilization: of the multipliers, 0..1.
        memory_bytes: staged while it works.
    """

    name: str
    kind: str
    target: str
    cycles: int
    macs: int
    utilization: float
    memory_bytes: int


@dataclass(frozen=True)
class Compiled:
    """What Vela made of a model.

    Attributes:
        content: the compiled `.tflite`.
        accelerator, system_config, memory_mode: what it was compiled for.
        clock_mhz: of the core.
        npu_operators, cpu_operators: where the operators run.
        sram_kib, dram_kib: of memory that an inference takes, flash_kib: that holds weights and program.
        ms: an inference's time, estimated, without what runs on the CPU. macs: its multiplications.
        layers: in the order of computation.
        reasons: why operators are left to the CPU, with their number, the most frequent first.
    """

    content: bytes
    accelerator: str
    system_config: str
    memory_mode: str
    clock_mhz: float
    npu_operators: int
    cpu_operators: int
    sram_kib: float
    dram_kib: float
    flash_kib: float
    ms: float
    macs: int
    layers: list[Layer]
    reasons: list[str] = field(default_factory=list)

    @property
    def npu_share(self) -> float:
        """Of the operators, 0..1."""
        return self.npu_operators / max(self.npu_operators + self.cpu_operators, 1)

    def summary(self) -> dict[str, str | float | int]:
        """The figures, for JSON."""
        left_out = ("content", "layers", "reasons")
        return {key: value for key, value in asdict(self).items() if key not in left_out} | {
            "npu_share": self.npu_share
        }


def why_not() -> str:
    """A sentence where the package is absent, else nothing."""
    return "" if find_spec("ethosu") else f"{TITLE} is not installed: `pip install 'mirada[device]'`."


def compile_for_npu(path: Path, accelerator: str, system_config: str, memory_mode: str) -> Compiled:
    """Compile a model.

    Args:
        path: the `.tflite` file, int8.
        accelerator: such as 'ethos-u55-128'.
        system_config, memory_mode: sections of Vela's own configuration; what it is not told it takes from a default that
            is no board's.

    Raises:
        MiradaError: the package is absent, or Vela refuses the file or a name.
    """
    if reason := why_not():
        raise MiradaError(reason)
    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the quantize stage first (`dvc repro quantize`).")
    try:
        return try_to_compile(path, accelerator, system_config, memory_mode)
    except MiradaError as error:
        raise MiradaError(f"{TITLE} can't compile {path} for {accelerator}: {error}") from error


def try_to_compile(
    path: Path, accelerator: str, system_config: str, memory_mode: str, seconds: float | None = None
) -> Compiled:
    """As `compile_for_npu`, of a file that may be anybody's.

    Args:
        path, accelerator, system_config, memory_mode: as there.
        seconds: after which it is given up; None: never.

    Raises:
        CrashedError: Vela crashes; the signal's name alone.
        MiradaError: it refuses the file; the reason alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"  # its name is in what Vela writes
        model.write_bytes(path.read_bytes())
        # Not --show-cpu-operations: with it Vela counts other operators than it does without.
        options = ["--accelerator-config", accelerator, "--system-config", system_config, "--memory-mode", memory_mode]
        command = [sys.executable, "-c", _SCRIPT, str(model), *options, "--output-dir", folder, "--verbose-performance"]
        status, said, noise = ask(command, seconds, Path(folder))
        written = Path(folder) / "model_vela.tflite"
        if status or not written.is_file() or not _COUNTS.search(said):
            raise MiradaError(_reason(said + "\n" + noise))
        tables = [next(Path(folder).glob(name), None) for name in ("model_summary_*.csv", "model_per-layer.csv")]
        summary, layers = (table.read_text() if table else "" for table in tables)
        return _compiled(written.read_bytes(), options[1::2], said + noise, summary, layers)


def _compiled(content: bytes, asked: list[str], said: str, summary: str, layers: str) -> Compiled:
    """From what Vela wrote."""
    figures = next(csv.DictReader(io.StringIO(summary)), {})
    counts = {target: int(number) for target, number in _COUNTS.findall(said)}
    told = {key: float(figures.get(key) or 0) for key in _FIGURES}
    return Compiled(
        content=content,
        accelerator=asked[0],
        system_config=asked[1],
        memory_mode=asked[2],
        clock_mhz=told["core_clock"] / 1e6,
        npu_operators=counts["NPU"],
        cpu_operators=counts["CPU"],
        sram_kib=told["sram_memory_used"],
        dram_kib=told["dram_memory_used"],
        flash_kib=told["off_chip_flash_memory_used"] + told["on_chip_flash_memory_used"],
        ms=1000 * told["inference_time"],
        macs=int(told["nn_macs"]),
        layers=[_layer(row) for row in csv.DictReader(io.StringIO(layers))],
        reasons=_left_to_cpu(said),
    )


def _left_to_cpu(said: str) -> list[str]:
    """'CONV_2D: Operation has …' with its count; Vela may tell of one operator twice."""
    texts = [
        f"{kind}: {re.sub(r' *[(].*[)]', '', reason).strip()}" for kind, _, reason in dict.fromkeys(_LEFT.findall(said))
    ]
    return [f"{text} ({count})" for text, count in Counter(texts).most_common()]


def _layer(row: dict[str, str]) -> Layer:
    return Layer(
        name=row["Name"],
        kind=row["Original Operator"],
        target=row["Target"],
        cycles=int(float(row["Op Cycles"])),
        macs=int(float(row["MAC Count"])),
        utilization=float(row["Util% (MAC)"]) / 100,
        memory_bytes=int(float(row["Staging Usage"])),
    )


def write_compiled(compiled: Compiled, folder: Path) -> list[Path]:
    """Write `model_vela.tflite`, `vela.json`, `vela_layers.csv` and `vela_layers.png`; gives the files."""
    import json

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["layer", "operator", "target", "cycles", "ms", "macs", "utilization", "memory_bytes"])
    for layer in compiled.layers:
        ms = f"{layer.cycles / compiled.clock_mhz / 1000:.4f}"
        used = f"{layer.utilization:.4f}"
        rows.writerow([layer.name, layer.kind, layer.target, layer.cycles, ms, layer.macs, used, layer.memory_bytes])
    contents: dict[str, str | bytes] = {
        "model_vela.tflite": compiled.content,
        "vela.json": json.dumps(compiled.summary(), indent=2) + "\n",
        "vela_layers.csv": table.getvalue(),
        "vela_layers.png": plot_layers(compiled),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]


def plot_layers(compiled: Compiled, *, dark: bool = False) -> bytes:
    """A bar for each of the slowest layers by Vela's estimate, and one for the rest, as a PNG."""
    costly = [layer for layer in compiled.layers if layer.cycles]  # others are done within the one before
    order = sorted(costly, key=lambda layer: -layer.cycles)
    per_ms = compiled.clock_mhz * 1000
    bars = [
        (f"{_short(layer.name)} {layer.kind}", layer.cycles / per_ms, layer.utilization, layer.target != "NPU")
        for layer in order[:_SHOWN]
    ]
    if rest := order[_SHOWN:]:
        used = sum(layer.utilization * layer.cycles for layer in rest) / max(sum(layer.cycles for layer in rest), 1)
        bars.append((f"the other {len(rest)}", sum(layer.cycles for layer in rest) / per_ms, used, False))
    figure, axes = new_figure(dark, 9, 0.9 + 0.28 * len(bars))
    places = range(len(bars))
    axes.barh(places, [bar[1] for bar in bars], color=[line_colour(int(bar[3])) for bar in bars], height=0.7)
    for place, (_, ms, used, on_cpu) in enumerate(bars):
        text = f"{ms_text(ms)} ms" + (", on the CPU" if on_cpu else f", {100 * used:.0f} % of the multipliers")
        axes.annotate(
            text, (ms, place), (5, 0), textcoords="offset points", va="center", color=ink_colour(dark), fontsize=9
        )
    axes.set_yticks(places, [bar[0] for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1.6 * max((bar[1] for bar in bars), default=1.0) or 1.0)
    axes.set_xlabel(
        f"ms of {ms_text(compiled.ms)}, estimated by Vela for {compiled.accelerator} at {compiled.clock_mhz:.0f} MHz"
    )
    axes.grid(False, axis="y")
    return to_png(figure)


def _short(name: str) -> str:
    """The layer's name in a tensor's, as the network has it."""
    parts = name.split(";")[0].split("/")
    return "/".join(parts[1:-1]) or parts[0]


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "no message")
