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
from mirada.export.comparing import Answering, compare_tensors, count_different, count_objects, same_answer
from mirada.export.runtimes import REFERENCE, RUNTIMES, Runtime
from mirada.files import write_whole
from mirada.inference.card import Card
from mirada.inference.file_tables import OutputTensor, read_outputs
from mirada.inference.maps import Output, Quantized
from mirada.inference.prediction import STANDARD, Decoding, Prediction, decode_outputs
from mirada.tables import Table
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
        allowed: what is let pass of one that tells no tensors, in words.
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
    allowed: str = ""


@dataclass(frozen=True)
class Proof:
    """The table.

    Attributes:
        metric: what people call the main figure.
        rows: the reference first.
        found: name of a runtime -> what it finds in each image.
    """

    metric: str
    rows: list[Row] = field(default_factory=list)
    found: dict[str, list[Prediction]] = field(default_factory=dict, repr=False)


def prove(
    path: Path,
    card: Card,
    inputs: np.ndarray,
    truths: Sequence[Example] | None = None,
    runtimes: Sequence[Runtime] = RUNTIMES,
    decoding: Decoding = STANDARD,
    max_change: float | None = None,
    answering: Sequence[Answering] = (),
    decoders: Sequence[Target] = TARGETS,
    lenient: bool = False,
) -> Proof:
    """Show images to every runtime, and compare.

    Args:
        path: the `.tflite` file.
        card: of the model.
        inputs: (N, S, S, C) images as the file takes them (`Model.to_tensor`); at least one.
        truths: what is in them; None: the main figure is not measured.
        runtimes: besides the reference; those that can't be had say why.
        decoding: of detections.
        max_change: by how much a runtime's main figure may differ from the reference's; None: by any.
        answering: those that tell what they find in the same images, and no tensors; each is held against its kin.
        decoders: compilers of the C decoder.
        lenient: nothing is refused; a runtime in which the file does not run is told as absent.

    Raises:
        MiradaError: a runtime answers otherwise than its bound allows, or the file does not run in one that is there.
    """
    found_by: dict[str, list[Prediction]] = {}
    outputs = read_outputs(path, card, PARTS[card.task])
    reference = in_order(outputs, REFERENCE.run(path, inputs))
    expected = decode_all(outputs, reference, card, decoding)
    found_by[REFERENCE.name] = expected
    rows = [_measure(REFERENCE, outputs, reference, reference, expected, expected, card, truths)]
    for runtime in runtimes:
        if runtime.name == REFERENCE.name:
            continue
        if reason := runtime.why_not():
            rows.append(Row(runtime.name, runtime.title, absent=reason, bound=runtime.bound))
            continue
        try:
            values = in_order(outputs, runtime.run(path, inputs))
        except MiradaError as error:
            if lenient or (runtime.emulated and isinstance(error, CrashedError)):
                rows.append(Row(runtime.name, runtime.title, absent=str(error), bound=runtime.bound))
                continue
            raise
        found = found_by[runtime.name] = decode_all(outputs, values, card, decoding)
        rows.append(_measure(runtime, outputs, reference, values, expected, found, card, truths))
    for target in decoders:
        rows.append(_prove_decoder(target, outputs, reference, expected, card, decoding, truths))
    rows += [_prove_answers(one, found_by, path, card, truths) for one in answering]
    proof = Proof(get_task(card.task).metric_name, rows, found_by)
    if not lenient:
        check_proof(proof, path, max_change)
    return proof


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


def _prove_answers(
    asked: Answering,
    found_by: dict[str, list[Prediction]],
    path: Path,
    card: Card,
    truths: Sequence[Example] | None,
) -> Row:
    """What one finds that tells no tensors, held against the runtime whose kernels it runs.

    Raises:
        MiradaError: the two differ by more than is let pass.
    """
    expected, kin = found_by[REFERENCE.name], found_by[asked.kin]
    if asked.absent:
        return Row(asked.name, asked.title, absent=asked.absent)
    found = asked.find()
    equal = sum(map(asked.agrees, kin, found))
    if equal < len(kin):
        raise MiradaError(
            f"{path} finds other objects in {asked.title} than the engine does, in {len(kin) - equal} of {len(kin)} images; "
            f"{asked.bound} are let pass: do not ship it for that."
        )
    return Row(
        asked.name, asked.title,
        images=len(expected),
        equal_objects=equal,
        objects=sum(map(count_objects, expected)),
        different=sum(map(count_different, expected, found)),
        allowed=asked.bound,
        figure=_figure(truths, found, card),
    )  # fmt: skip


def check_proof(proof: Proof, path: Path, max_change: float | None = None) -> None:
    """Refuse answers that are further from the reference's than is let pass.

    Raises:
        MiradaError: a runtime's tensors differ by more steps than its bound, the C decoder finds other objects than the
            engine, or a main figure moves by more than `max_change`.
    """
    reference = proof.rows[0]
    if beyond := beyond_bounds(proof, path):
        raise MiradaError(beyond[0])
    for row in proof.rows:
        if row.absent:
            continue
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


def beyond_bounds(proof: Proof, path: Path) -> list[str]:
    """A sentence on each runtime whose tensors differ by more steps than are let pass."""
    return [
        f"{path} answers otherwise in {row.title}: {row.output} differs by {row.max_steps:g} steps from the reference "
        f"kernels, at most {row.bound:g} are let pass; do not ship it for that runtime."
        for row in proof.rows
        if not row.absent and row.max_steps > row.bound
    ]


def tabulate_proof(proof: Proof) -> Table:
    """The runtimes that were there, a row each."""
    head = ["runtime", "images", "tensors equal", "objects equal", "objects that differ"]
    head += ["largest difference", "values that differ", "bound"]
    figures = any(row.figure is not None for row in proof.rows)
    lines = []
    for row in proof.rows:
        if row.absent:
            continue
        decoder = row.name in DECODERS
        tensors = f"{row.equal_tensors} of {row.images}", f"{row.max_steps:.3g} steps", f"{100 * row.share:.2f} %"
        if decoder or row.allowed:
            tensors = "its input" if decoder else "–", "–", "–"
        cells = [
            row.title, str(row.images), tensors[0], f"{row.equal_objects} of {row.images}",
            f"{row.different} of {row.objects}", *tensors[1:],
            "no object differs" if decoder else row.allowed or f"{row.bound:g} steps",
        ]  # fmt: skip
        lines.append(cells + (["–" if row.figure is None else f"{row.figure:.4f}"] if figures else []))
    return Table(head + ([proof.metric] if figures else []), lines)


def absent_sentences(proof: Proof) -> list[str]:
    """Of each runtime that was not tried, why."""
    return [f"{row.title}: not tried. {row.absent}" for row in proof.rows if row.absent]


def proof_table(proof: Proof) -> str:
    """The table in Markdown, with a sentence for each runtime that could not be had."""
    table = tabulate_proof(proof)
    rows = [table.head, ["---"] * len(table.head), *table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    absent = [f"- {sentence}" for sentence in absent_sentences(proof)]
    return "\n".join([*lines, *([""] if absent else []), *absent]) + "\n"


def write_proof(proof: Proof, folder: Path) -> list[Path]:
    """Write `proof.json` and `proof.md`; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"metric": proof.metric, "rows": [asdict(row) for row in proof.rows]}
    contents = {
        "proof.json": json.dumps(told, indent=2, ensure_ascii=False) + "\n",
        "proof.md": proof_table(proof),
    }
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]
