"""A variant shown to the runtimes that are cheap to ask, for the page of the stage evaluate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.evaluation.pictures import Picture
from mirada.evaluation.runtimes import Runtimes
from mirada.evaluation.weaknesses.robustness import pick_examples
from mirada.export.comparing import SHOWN, count_different
from mirada.export.proof import absent_sentences, beyond_bounds, prove, tabulate_proof
from mirada.export.runtimes import REFERENCE, TFLM, XNNPACK
from mirada.inference.card import Card
from mirada.inference.litert import Model
from mirada.inference.prediction import Decoding, Detections, Prediction
from mirada.tasks import get_task
from mirada.tasks.pictures import draw_detections

_PANEL = 400  # longer side of a drawn image in pixels
_PICTURES = 2


def show_runtimes(
    variant: str, path: Path, card: Card, dataset: Dataset, split: str, most: int, decoding: Decoding
) -> Runtimes:
    """Show inputs of a split to LiteRT's reference kernels, to XNNPACK and, where it is installed, to TFLM.

    Nothing is refused here, as an export refuses it: the table says it.

    Args:
        variant: its name.
        path: its file.
        card: of the model.
        dataset: the processed data.
        split: of it.
        most: at most so many inputs, spread evenly over the split.
        decoding: of detections.
    """
    started = time.perf_counter()
    examples = pick_examples(dataset, split, most)
    images, model = [decode(example.image, card.channels) for example in examples], Model(path, card)
    inputs = np.concatenate([model.to_tensor(image) for image in images])
    truths: list[Example] | None = [replace(example, image=b"") for example in examples]
    if not any((~example.ignore).any() for example in examples):
        truths = None
    proof = prove(path, card, inputs, truths, (XNNPACK, TFLM), decoding, decoders=(), lenient=True)
    pictures = _draw(examples, images, proof.found[REFERENCE.name], proof.found.get(XNNPACK.name), card)
    sentences = absent_sentences(proof) + beyond_bounds(proof, path)
    asked = [row for row in proof.rows if not row.absent]
    return Runtimes(
        variant, len(examples), time.perf_counter() - started, tabulate_proof(proof), sentences,
        figures={row.name: row.figure for row in asked if row.figure is not None},
        equal={row.name: row.equal_tensors for row in asked},
        absent={row.name: row.absent for row in proof.rows if row.absent},
        pictures=pictures,
    )  # fmt: skip


def _draw(
    examples: Sequence[Example],
    images: Sequence[np.ndarray],
    reference: Sequence[Prediction],
    other: Sequence[Prediction] | None,
    card: Card,
) -> list[Picture]:
    """The inputs of which most objects are found by one of the two alone."""
    if other is None:
        return []
    apart = [count_different(*pair) for pair in zip(reference, other, strict=True)]
    worst = sorted((i for i, count in enumerate(apart) if count), key=lambda i: (-apart[i], i))[:_PICTURES]
    pictures = []
    for i in worst:
        pair = {REFERENCE.title: (reference[i], other[i]), XNNPACK.title: (other[i], reference[i])}
        panels = {title: _panel(images[i], examples[i], *two, card) for title, two in pair.items()}
        count = f"{apart[i]} object{'s' if apart[i] > 1 else ''} found by one of the two alone"
        pictures.append(Picture(examples[i].image_id, count, panels))
    return pictures


def _panel(image: np.ndarray, example: Example, found: Prediction, against: Prediction, card: Card) -> Image.Image:
    """What one finds: detections against those of the other, answers of the other tasks against the truth."""
    if isinstance(found, Detections) and isinstance(against, Detections):
        shown = against.at_least(SHOWN)
        fellow = replace(
            example, boxes_xyxy=shown.boxes_xyxy, labels=shown.labels, ignore=np.zeros(len(shown), bool)
        )  # fmt: skip
        return draw_detections(image, fellow, found.at_least(SHOWN), card.labels, _PANEL)
    task = get_task(card.task)
    result = task.evaluate([example], [found], card.labels)
    return task.draw_prediction(image, example, found, card.labels, _PANEL, result)
