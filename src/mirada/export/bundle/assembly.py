"""The bundle's `.tflite` and card: ends of the wanted type, metadata, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirada.config import DeviceConfig
from mirada.data.records import Dataset
from mirada.errors import MiradaError
from mirada.export.bundle import model_file
from mirada.export.bundle.labels import labels_text
from mirada.export.bundle.metadata import LABELS_FILE, Description, describe
from mirada.export.bundle.operators import check_device
from mirada.export.bundle.postprocess import CLASSIFIED, DETECTED, add_postprocess
from mirada.export.bundle.strip_plan import lower_peak
from mirada.inference.card import Card
from mirada.inference.tflite_file import read_tables, to_bytes

_PARTS = {
    "objectness": "Logits of a cell: whether an object has its centre there.",
    "classes": "Logits of the labels.",
    "distances": "From a cell's centre to the box: left, top, right, bottom, in strides, before the softplus.",
    "box": "Corners of the box: left, top, right, bottom, in pixels of the input.",
    "scores": "Logits over the cells: how much each has to say.",
}
_ANSWERS = dict(zip(DETECTED, (
    "Boxes: top, left, bottom, right as shares of the input's side, best first.",
    "Labels of the boxes, as indices.",
    "Scores of the boxes, 0 to 1.",
    "How many boxes there are.",
), strict=True))  # fmt: skip
_PROBABILITIES = {CLASSIFIED[0]: "Probabilities of the labels."}


def assemble(
    path: Path,
    card: Card,
    variant: str,
    device: DeviceConfig,
    kind: str | None,
    licence: str,
    *,
    strips: bool = False,
    postprocess: bool = False,
) -> tuple[bytes, Card]:
    """The `.tflite` of a bundle, and the card that goes with it.

    Args:
        path: the variant's file.
        card: the model's card.
        variant: its name.
        device: what it is for.
        kind: type of input and outputs; None: as the variant has them.
        licence: of the data, empty where nobody says.
        strips: the first layers strip by strip, where that takes less memory.
        postprocess: decode and suppress within the file; the card does not fit its outputs then.

    Raises:
        MiradaError: the device has no use for it, it can't have such ends, or a label can't be written.
    """
    tables = read_tables(path.read_bytes())
    steps = model_file.input_steps(tables)
    if kind is not None:
        model_file.set_ends(tables, kind, variant)
    if strips:
        tables = read_tables(lower_peak(to_bytes(tables)))
    floats = model_file.types_of_ends(tables)[0] == "float32"
    scale, offset = card.input_scale, card.input_offset
    if steps is not None:  # the float that becomes the very integer which the uint8 input is
        scale, offset = steps[0], -steps[1] * steps[0]
    if postprocess:
        add_postprocess(tables, card)
    content = attach_description(tables, card, variant, licence, scale, offset)
    check_device(tables, len(content), device, path)
    return content, replace(card, input_scale=scale, input_offset=offset) if floats else card


def attach_description(tables: Any, card: Card, variant: str, licence: str, scale: float, offset: float) -> bytes:
    """A `.tflite` with its metadata and labels.

    Args:
        tables: of the file.
        card, variant, licence: as for `assemble`.
        scale, offset: the float input is `pixel * scale + offset`.

    Raises:
        MiradaError: a label can't be written.
    """
    labels = labels_text(card.labels).encode()
    metadata = describe(_description(tables, card, variant, licence, scale, offset))
    return model_file.attach(tables, metadata, {LABELS_FILE: labels})


def _description(tables: Any, card: Card, variant: str, licence: str, scale: float, offset: float) -> Description:
    parts = {name: part for part, names in card.outputs.items() for name in names}
    outputs = {name: _PARTS.get(parts.get(name, ""), "Not used.") for name in model_file.output_names(tables)}
    known = {tuple(answers): answers for answers in (_ANSWERS, _PROBABILITIES)}
    outputs = known.get(tuple(outputs), outputs)
    return Description(
        name=f"{card.dataset} {variant}",
        text=f"{card.task} of {', '.join(card.labels)}; the file of labels names them in order.",
        licence=f"Data: {licence}" if licence else "",
        input_size=card.input_size,
        channels=card.channels,
        mean=-offset / scale,
        std=1 / scale,
        floats=model_file.types_of_ends(tables)[0] == "float32",
        outputs=outputs,
        labelled=[name for name in outputs if parts.get(name) == "classes" or name in _PROBABILITIES],
        detections=outputs is _ANSWERS,
    )


def licence_of(dataset: Dataset) -> str:
    """Of the data, as the file's metadata say it; empty where nobody says."""
    return str(dataset.about.get("source", {}).get("licence", ""))


def choose_figures(metrics: Mapping[str, Any], variant: str, size_bytes: int, path: Path) -> dict[str, float]:
    """What `metrics.json` says of a variant.

    Raises:
        MiradaError: it says nothing, or is of another file of that name.
    """
    if variant not in metrics:
        raise MiradaError(
            f"{path} has no figures of {variant}: run the evaluate stage again, or set reports_dir=null for a bundle "
            "without."
        )
    figures = {key: value for key, value in metrics[variant].items() if isinstance(value, (int, float))}
    if figures.get("size_bytes") != size_bytes:
        raise MiradaError(
            f"{path} has the figures of another {variant} ({figures.get('size_bytes', 0):,.0f} bytes, the file has "
            f"{size_bytes:,}): run the evaluate stage again, or set reports_dir=null for a bundle without."
        )
    return figures
