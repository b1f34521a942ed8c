"""What the runtimes have to say, as parts of a bundle: each writes its files below the bundle's folder, or none.

The folder holds `model.tflite` already. A part that finds the bundle not to hold what it promises raises MiradaError.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from mirada.export.bundle.script import MODEL, read_pixels
from mirada.export.c_code import write_c_code
from mirada.export.comparing import Answering, compare_tensors
from mirada.export.outside.answers import ask_litert
from mirada.export.outside.mediapipe import ask_mediapipe
from mirada.export.outside.onnx_file import convert_to_onnx, onnx_runtime, run_onnx
from mirada.export.proof import prove, write_proof
from mirada.export.runtimes import RUNTIMES, Runtime, run_litert
from mirada.files import write_whole
from mirada.inference.file_tables import read_outputs, read_tables
from mirada.inference.litert import Model
from mirada.inference.prediction import STANDARD
from mirada.inference.variants import REFERENCE

POSTPROCESSED = "postprocessed.tflite"
ONNX = Path("onnx") / "model.onnx"
SAVED_MODEL = "saved_model"
_POSTPROCESSED = {
    "detection": f"`{POSTPROCESSED}` gives boxes (top, left, bottom, right as shares of the input's side), labels, scores "
    f"and their number: at most {STANDARD.max_detections}, of a score from {STANDARD.score_floor:g} on, none of which "
    f"overlaps a better one of its label by more than {STANDARD.nms_iou:g}. MediaPipe's ObjectDetector and Android's "
    "libraries find labels and normalisation in it.",
    "classification": f"`{POSTPROCESSED}` gives the labels' probabilities, where `{MODEL}` gives logits. MediaPipe's "
    "ImageClassifier and Android's libraries find labels and normalisation in it.",
}
_FLOAT_STEPS = 1.0  # of 255 of an output's range, by which two programs may sum floats otherwise
ON_CHIPS = ("tflm", "vela")  # runtimes whose firmware is compiled with the model in it
_ADVICE = "take a smaller model (model=tiny, a smaller input_size), or set device.ram_bytes if your board has more."


def write_proof_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`proof.json` and `proof.md`: the golden pictures shown to every runtime that can be had here.

    Raises:
        MiradaError: a runtime answers otherwise than its bound allows.
    """
    card, pictures = bundle.card, [one for one in bundle.golden if one.tensors]
    if not pictures:
        return []
    shape = (-1, card.input_size, card.input_size, card.channels)
    inputs = np.concatenate([one.tensors["input"].reshape(shape) for one in pictures])
    answering: list[Answering] = []
    if (folder / POSTPROCESSED).is_file():
        pixels = np.stack([read_pixels(one.png, card) for one in pictures])
        answering = [
            *ask_litert(folder / POSTPROCESSED, card, inputs),
            ask_mediapipe(folder / POSTPROCESSED, card, pixels),
        ]
    runtimes: tuple[Runtime, ...] = RUNTIMES
    if (folder / ONNX).is_file():
        runtimes = (*RUNTIMES, onnx_runtime(folder / ONNX))
    return write_proof(prove(folder / MODEL, card, inputs, runtimes=runtimes, answering=answering), folder)


def write_postprocess_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`postprocessed.tflite`, where one is wanted; the proof holds its answers against the engine's."""
    if not bundle.postprocessed:
        return []
    (folder / POSTPROCESSED).write_bytes(bundle.postprocessed)
    bundle.notes.append(_POSTPROCESSED[bundle.card.task])
    if bundle.card.tile_size:
        bundle.notes.append(
            f"It knows no tiles: hand it parts of a picture, {bundle.card.tile_size} pixels wide and high."
        )
    return [folder / POSTPROCESSED]


def write_onnx_part(bundle: BundleContent, folder: Path) -> list[Path]:
    """`onnx/`: the model, and its float32 variant where it is another one, held against LiteRT on the golden pictures.

    Raises:
        MiradaError: a package is absent, tf2onnx refuses the file, or onnxruntime answers otherwise.
    """
    if bundle.float_file is None:
        return []
    (folder / ONNX).parent.mkdir()
    (folder / ONNX).write_bytes(convert_to_onnx(folder / MODEL))
    if bundle.variant == REFERENCE:
        return [folder / ONNX]
    path = folder / ONNX.parent / f"{REFERENCE}.onnx"
    path.write_bytes(convert_to_onnx(bundle.float_file))
    gap = compare_floats(bundle, lambda images: run_onnx(path, images), "onnxruntime")
    bundle.notes.append(f"`{ONNX.parent}/{path.name}` answers as the float32 variant does in LiteRT, within {gap}.")
    return [folder / ONNX, path]


def compare_floats(bundle: BundleContent, run: Callable[[np.ndarray], Sequence[np.ndarray]], title: str) -> str:
    """Hold the float network in another program against the float32 variant in LiteRT, on the golden pictures.

    Args:
        bundle: with its float file.
        run: (N, S, S, C) floats -> the outputs, in the file's order.
        title: of the program.

    Returns:
        The largest difference, in words.

    Raises:
        MiradaError: it is larger than is let pass.
    """
    assert bundle.float_file is not None
    card = bundle.card
    outputs = sorted(read_outputs(bundle.float_file, card, list(card.outputs)), key=lambda output: output.index)
    model = Model(bundle.float_file, card)
    images = np.concatenate([model.to_tensor(read_pixels(one.png, card)) for one in bundle.golden if one.tensors])
    gap = compare_tensors(outputs, run_litert(bundle.float_file, images), run(images))
    if gap.max_steps > _FLOAT_STEPS:
        raise MiradaError(
            f"The float network answers otherwise in {title} than in LiteRT: {gap.output} differs by "
            f"{gap.max_steps / 255:.2g} of its range; leave that target out."
        )
    return f"{gap.max_steps / 255:.1g} of an output's range"


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
