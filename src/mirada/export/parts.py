"""What the runtimes have to say, as parts of a bundle: each writes its files below the bundle's folder, or none.

The folder holds `model.tflite` already. A part that finds the bundle not to hold what it promises raises MiradaError.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mirada.boards import tflm, vela
from mirada.boards.limits import CHIPS
from mirada.boards.memory import plan_memory
from mirada.boards.memory_plot import describe_memory, memory_table, plot_memory
from mirada.boards.network import read_graph
from mirada.errors import MiradaError
from mirada.export.bundle.content import BundleContent
from mirada.export.c_code import write_c_code
from mirada.export.proof import prove, write_proof
from mirada.files import write_whole
from mirada.inference.file_tables import read_tables

MODEL = "model.tflite"
_ADVICE = "take a smaller model (model=tiny, a smaller input_size), or set device.ram_bytes if your board has more."


def write_proof_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`proof.json` and `proof.md`: the golden pictures shown to every runtime that can be had here.

    Raises:
        MiradaError: a runtime answers otherwise than its bound allows.
    """
    card = bundle.card
    shape = (-1, card.input_size, card.input_size, card.channels)
    inputs = [one.tensors["input"].reshape(shape) for one in bundle.golden if one.tensors]
    return write_proof(prove(folder / MODEL, card, np.concatenate(inputs)), folder) if inputs else []


def write_c_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`c/`: what a firmware compiles, and `arena.json`, the memory that the model takes, where it can be measured.

    Raises:
        MiradaError: the outputs are not int8, TensorFlow Lite Micro lacks an operator, or the arena does not fit.
    """
    if bundle.device.runtime not in CHIPS:
        return []
    files = write_c_code(folder / MODEL, bundle.card, folder / "c")
    if bundle.device.runtime != "tflm":  # on an NPU the arena is Vela's to tell
        return files
    if reason := tflm.why_not():
        bundle.notes.append(f"The arena was not measured. {reason}")
        return files
    arena = tflm.measure_arena(folder / MODEL)
    if bundle.device.ram_bytes is not None and arena.total > bundle.device.ram_bytes:
        raise MiradaError(
            f"The model needs an arena of {arena.total:,} bytes, and {bundle.device.title} has "
            f"{bundle.device.ram_bytes:,} of RAM: {_ADVICE}"
        )
    figures = asdict(arena) | {"with_room": arena.with_room}
    write_whole(folder / "c" / "arena.json", json.dumps(figures, indent=2) + "\n")
    bundle.notes.append(
        f"{tflm.TITLE} takes an arena of {arena.total:,} bytes, measured on a 64-bit machine; give it {arena.with_room:,}."
    )
    return [*files, folder / "c" / "arena.json"]


def write_memory_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`memory.png` and `memory.csv` for a chip: which tensor lives from which operator to which, and who is the peak."""
    if bundle.device.runtime not in CHIPS:
        return []
    network = read_graph(read_tables(folder / MODEL))
    memory = plan_memory(network)
    bundle.notes += describe_memory(network, memory)
    limit = bundle.device.limits.arena_bytes
    write_whole(folder / "memory.png", plot_memory(memory, limit_bytes=limit))
    write_whole(folder / "memory.csv", memory_table(memory))
    return [folder / "memory.png", folder / "memory.csv"]


def write_vela_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`npu/`: the model compiled for an Ethos-U, what it will cost there, and its layers as a table and a plot.

    Raises:
        MiradaError: Vela is absent or refuses the model, or what it takes does not fit.
    """
    core = bundle.device.vela
    if bundle.device.runtime != "vela" or core is None:
        return []
    compiled = vela.compile_for_npu(folder / MODEL, core.accelerator, core.system_config, core.memory_mode)
    needed = round(1024 * compiled.sram_kib)
    if bundle.device.ram_bytes is not None and needed > bundle.device.ram_bytes:
        raise MiradaError(
            f"The model needs {needed:,} bytes of SRAM on {bundle.device.title}, and it has "
            f"{bundle.device.ram_bytes:,}: {_ADVICE}"
        )
    total = compiled.npu_operators + compiled.cpu_operators
    bundle.notes.append(
        f"{compiled.npu_operators} of {total} operators run on the NPU; Vela estimates {compiled.ms:.1f} ms an inference, "
        f"{compiled.sram_kib:,.0f} KiB of SRAM and {compiled.flash_kib:,.0f} KiB of flash."
    )
    return vela.write_compiled(compiled, folder / "npu")
