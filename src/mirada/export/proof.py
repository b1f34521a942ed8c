"""One model shown to every runtime that can be had: do they answer alike, and if not, by how much.

What all are compared with are LiteRT's reference kernels: plain arithmetic whose bytes are the same on every processor, and
in TensorFlow Lite Micro. XNNPACK, which LiteRT uses by default and a report measures, rounds otherwise.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mirada.boards.processes import CrashedError
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.export.c_code import PARTS, write_decoder
from mirada.export.c_proof import TARGETS, Target, compile_decoder, run_decoder
from mirada.export.comparing import compare_tensors, count_different, count_objects, same_answer
from mirada.export.runtimes import REFERENCE, RUNTIMES, Runtime
from mirada.files import write_whole
from mirada.inference.card import Card
from mirada.inference.file_tables import OutputTensor, read_input, read_input_scale, read_outputs
from mirada.inference.litert import pixels_to_input
from mirada.inference.maps import Output, Quantized
from mirada.inference.prediction import STANDARD, Decoding, Prediction, decode_outputs
from mirada.tasks import get_task

DECODERS = tuple(target.name for target in TARGETS)
_FLOAT_BOUND = 1.0  # steps, of an output of floats: no two runtimes sum them in the same order


@dataclass(frozen=True)
class Row:
    """A runtime against the reference.

    Attributes:
        name, title: of the runtime.
        absent: a sentence where it can't be had; then no figure says anything.
        images: that were shown.
        equal_tensors: images of which every raw output has the same bytes.
        equal_objects: images in which the same is found, to the last bit.
        objects: that the reference finds, from a score of 0.25 on; different: objects that only one of the two finds.
        max_steps: the largest difference of a raw value; output: where. share: of raw values that differ, 0..1.
        bound: the most steps that are let pass.
        figure: the task's main figure; None without truths.
    """

    name: str
    title: str
    absent: str = ""
    images: int = 0
    equal_tensors: int = 0
    equal_objects: int = 0
    objects: int = 0
    different: int = 0
    max_steps: float = 0.0
    output: str = ""
    share: float = 0.0
    bound: float = 0.0
    figure: float | None = None


@dataclass(frozen=True)
class Proof:
    """The table.

    Attributes:
        metric: what people call the main figure.
        rows: the reference first.
    """

    metric: str
    rows: list[Row] = field(default_factory=list)


def prove(
    path: Path,
    card: Card,
    inputs: np.ndarray,
    truths: Sequence[Example] | None = None,
    runtimes: Sequence[Runtime] = RUNTIMES,
    decoding: Decoding = STANDARD,
    max_change: float | None = None,
) -> Proof:
    """Show images to every runtime, and compare.

    Args:
        path: the `.tflite` file.
        card: of the model.
        inputs: (N, S, S, C) images as the file takes them (`to_input`); at least one.
        truths: what is in them; None: the main figure is not measured.
        runtimes: besides the reference; those that can't be had say why.
        decoding: of detections.
        max_change: by how much a runtime's main figure may differ from the reference's; None: by any.

    Raises:
        MiradaError: a runtime answers otherwise than its bound allows, or the file does not run in one that is there.
    """
    outputs = read_outputs(path, card, PARTS[card.task])
    reference = in_order(outputs, REFERENCE.run(path, inputs))
    expected = decode_all(outputs, reference, card, decoding)
    rows = [_measure(REFERENCE, outputs, reference, reference, expected, expected, card, truths)]
    for runtime in runtimes:
        if runtime.name == REFERENCE.name:
            continue
        if reason := runtime.why_not():
            rows.append(Row(runtime.name, runtime.title, absent=reason, bound=runtime.bound))
            continue
        try:
            values = in_order(outputs, runtime.run(path, inputs))
        except CrashedError as error:
            if runtime.emulated:
                rows.append(Row(runtime.name, runtime.title, absent=str(error), bound=runtime.bound))
                continue
            raise
        found = decode_all(outputs, values, card, decoding)
        rows.append(_measure(runtime, outputs, reference, values, expected, found, card, truths))
    for target in TARGETS:
        rows.append(_prove_decoder(target, outputs, reference, expected, card, decoding, truths))
    proof = Proof(get_task(card.task).metric_name, rows)
    check_proof(proof, path, max_change)
    return proof


def to_input(path: Path, card: Card, images: np.ndarray) -> np.ndarray:
    """(N, S, S, C) uint8 pixels as the file takes them: as they are, as floats, or as int8 codes."""
    _, dtype = read_input(path)
    if dtype == np.uint8:
        return images
    floats = pixels_to_input(images, card)
    if dtype == np.float32:
        return floats
    scale, zero_point = read_input_scale(path)
    return np.clip(np.rint(floats / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)


def in_order(outputs: Sequence[OutputTensor], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A runtime's outputs, in the order of the file, in that of `read_outputs`."""
    return [values[output.index] for output in outputs]


def decode_all(
    outputs: Sequence[OutputTensor], values: Sequence[np.ndarray], card: Card, decoding: Decoding
) -> list[Prediction]:
    """What the raw outputs of each image say."""
    found = []
    for image in range(len(values[0])):
        one: dict[str, Output] = {}
        for output, value in zip(outputs, values, strict=True):
            raw = value[image : image + 1]
            one[output.name] = Quantized(raw, output.scale, output.zero_point) if output.scale else raw
        found.append(decode_outputs(one, card, decoding))
    return found


def _measure(
    runtime: Runtime,
    outputs: Sequence[OutputTensor],
    reference: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    expected: Sequence[Prediction],
    found: Sequence[Prediction],
    card: Card,
    truths: Sequence[Example] | None,
) -> Row:
    """A runtime's row."""
    gap = compare_tensors(outputs, reference, values)
    floats = any(not output.scale for output in outputs)
    return Row(
        runtime.name, runtime.title,
        images=len(expected),
        equal_tensors=gap.equal_images,
        equal_objects=sum(map(same_answer, expected, found)),
        objects=sum(map(count_objects, expected)),
        different=sum(map(count_different, expected, found)),
        max_steps=gap.max_steps,
        output=gap.output,
        share=gap.share,
        bound=max(runtime.bound, _FLOAT_BOUND) if floats else runtime.bound,
        figure=_figure(truths, found, card),
    )  # fmt: skip


def _figure(truths: Sequence[Example] | None, found: Sequence[Prediction], card: Card) -> float | None:
    if truths is None:
        return None
    task = get_task(card.task)
    return float(task.evaluate(truths, found, card.labels).figures[task.main_metric])


def _prove_decoder(
    target: Target,
    outputs: Sequence[OutputTensor],
    reference: Sequence[np.ndarray],
    expected: Sequence[Prediction],
    card: Card,
    decoding: Decoding,
    truths: Sequence[Example] | None,
) -> Row:
    """The C decoder on the reference's own tensors: what it finds is compared alone."""
    reason = target.why_not()
    if any(output.dtype != "int8" for output in outputs):
        reason = "The C decoder reads int8 outputs, and this file gives others."
    if reason:
        return Row(target.name, target.title, absent=reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_decoder(outputs, card, folder / "c", decoding)
        compile_decoder(folder / "c", folder / "program", target)
        images = [[values[i] for values in reference] for i in range(len(expected))]
        found = run_decoder(folder / "program", card, images, folder, target)
    runtime = Runtime(target.name, target.title, 0, lambda path, given: [])
    return _measure(runtime, outputs, reference, reference, expected, found, card, truths)


def check_proof(proof: Proof, path: Path, max_change: float | None = None) -> None:
    """Refuse answers that are further from the reference's than is let pass.

    Raises:
        MiradaError: a runtime's tensors differ by more steps than its bound, the C decoder finds other objects than the
            engine, or a main figure moves by more than `max_change`.
    """
    reference = proof.rows[0]
    for row in proof.rows:
        if row.absent:
            continue
        if row.max_steps > row.bound:
            raise MiradaError(
                f"{path} answers otherwise in {row.title}: {row.output} differs by {row.max_steps:g} steps from the "
                f"reference kernels, at most {row.bound:g} are let pass; do not ship it for that runtime."
            )
        if row.name in DECODERS and row.different:
            raise MiradaError(
                f"The {row.title} of {path} finds {row.different} objects otherwise than the engine: do not ship it."
            )
        if max_change is None or row.figure is None or reference.figure is None:
            continue
        if abs(row.figure - reference.figure) > max_change:
            raise MiradaError(
                f"{path} has {proof.metric} {row.figure:.4f} in {row.title} and {reference.figure:.4f} by the reference "
                f"kernels, further apart than {max_change:g}: do not ship it for that runtime."
            )


def proof_table(proof: Proof) -> str:
    """The table in Markdown, with a sentence for each runtime that could not be had."""
    head = ["runtime", "images", "tensors equal", "objects equal", "objects that differ"]
    head += ["largest difference", "values that differ", "bound"]
    figures = any(row.figure is not None for row in proof.rows)
    head += [proof.metric] if figures else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in proof.rows:
        if row.absent:
            continue
        decoder = row.name in DECODERS
        cells = [
            row.title, str(row.images), "its input" if decoder else f"{row.equal_tensors} of {row.images}",
            f"{row.equal_objects} of {row.images}", f"{row.different} of {row.objects}",
            "–" if decoder else f"{row.max_steps:.3g} steps", "–" if decoder else f"{100 * row.share:.2f} %",
            "no object differs" if decoder else f"{row.bound:g} steps",
        ]  # fmt: skip
        cells += ["–" if row.figure is None else f"{row.figure:.4f}"] if figures else []
        lines.append("| " + " | ".join(cells) + " |")
    absent = [f"- {row.title}: not tried. {row.absent}" for row in proof.rows if row.absent]
    return "\n".join([*lines, *([""] if absent else []), *absent]) + "\n"


def write_proof(proof: Proof, folder: Path) -> list[Path]:
    """Write `proof.json` and `proof.md`; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "proof.json": json.dumps(asdict(proof), indent=2, ensure_ascii=False) + "\n",
        "proof.md": proof_table(proof),
    }
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]
