"""What the network is fed: one batch as it comes out of the input, drawn with its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mirada.config import TASKS
from mirada.data.records import Example
from mirada.files import written_aside
from mirada.inference.card import Card
from mirada.tasks.pictures import draw_label, draw_truth

if TYPE_CHECKING:
    from mirada.learning.training import Trainer

BATCH = "batch.png"
_COLUMNS, _MOST, _SIDE, _GAP = 4, 16, 320, 6


def write_batch(trainer: Trainer, path: Path) -> None:
    """Draw the first batch of the first epoch as this process gets it; after an epoch, when the cache is filled."""
    batch = next(iter(trainer.input.epoch(0).take(1)))
    sheet = draw_batch({key: value.numpy() for key, value in batch.items()}, trainer.card)
    with written_aside(path) as part:
        sheet.save(part, "PNG")


def draw_batch(batch: Mapping[str, np.ndarray], card: Card) -> Image.Image:
    """A sheet of a batch's images, at most 16, with what they are to teach.

    Boxes are in their class's colour, ignored ones grey and dashed; an image with one label has it at its foot, with that of
    the image that it is mixed with, and the share of that.

    Args:
        batch: as `TrainingInput.epoch` yields it.
        card: says how pixels were scaled, and what the labels are called.
    """
    pixels = (batch["image"] - card.input_offset) / card.input_scale
    images = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[:_MOST]
    draw = _draw_label if TASKS[card.task] == "label" else _draw_boxes
    drawn = [draw(image, batch, number, card) for number, image in enumerate(images)]
    columns, step = min(_COLUMNS, len(drawn)), _SIDE + _GAP
    sheet = Image.new("RGB", (columns * step - _GAP, -(-len(drawn) // columns) * step - _GAP), (255, 255, 255))
    for number, picture in enumerate(drawn):
        sheet.paste(picture, (number % columns * step, number // columns * step))
    return sheet


def _draw_boxes(image: np.ndarray, batch: Mapping[str, np.ndarray], number: int, card: Card) -> Image.Image:
    there = batch["labels"][number] >= 0
    boxes, labels, ignore = (batch[key][number][there] for key in ("boxes_xyxy", "labels", "ignore"))
    whole = Example(image_id="", image=b"", boxes_xyxy=boxes, labels=labels, ignore=ignore, source="")
    return draw_truth(image, whole, card.labels, _SIDE)


def _draw_label(image: np.ndarray, batch: Mapping[str, np.ndarray], number: int, card: Card) -> Image.Image:
    text = card.labels[batch["labels"][number][0]]
    if batch.get("mixed_share", np.zeros(number + 1))[number] > 0:
        text += f", {batch['mixed_share'][number]:.0%} {card.labels[batch['mixed_label'][number]]}"
    return draw_label(image, text, None, _SIDE)
