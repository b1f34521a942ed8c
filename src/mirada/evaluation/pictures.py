"""The pictures of the report: which images are shown, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mirada.config import EvaluateConfig
from mirada.data.images import decode
from mirada.data.records import Dataset, Example
from mirada.inference.card import Card
from mirada.inference.variants import REFERENCE
from mirada.tasks import get_task

_PANEL = 400  # side of a drawn image in pixels


def side_by_side(panels: Mapping[str, Image.Image]) -> Image.Image:
    """Pictures of equal size in a row, each under its title."""
    gap, head = 8, 26
    width, height = next(iter(panels.values())).size
    sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height + head), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, (title, panel) in enumerate(panels.items()):
        sheet.paste(panel, (i * (width + gap), head))
        draw.text((i * (width + gap) + 2, 4), title, (30, 30, 30), ImageFont.load_default(15))
    return sheet


@dataclass
class Picture:
    """One image of the report: its name, a sentence about it and its panels, title -> drawing."""

    name: str
    caption: str
    panels: dict[str, Image.Image]


def choose_pictures(qualities: Sequence[tuple[float, float] | None], count: int) -> dict[str, list[int]]:
    """Indices of the best, the median and the worst images.

    Args:
        qualities: an image's quality and what decides between equals, higher first, as `Task.quality` gives them; images
            without are left out.
        count: at most so many of each; none is chosen twice.
    """
    known = {i: quality for i, quality in enumerate(qualities) if quality is not None}
    best = sorted(known, key=lambda i: (-known[i][0], -known[i][1]))[: min(count, -(-len(known) // 3))]
    rest = [i for i in known if i not in best]
    worst = sorted(rest, key=lambda i: (known[i][0], -known[i][1]))[: min(count, -(-len(rest) // 2))]
    rest = sorted((i for i in rest if i not in worst), key=lambda i: known[i][0])
    start = max(0, (len(rest) - count) // 2)
    return {"best": best, "median": rest[start : start + count], "worst": worst}


def draw_pictures(
    config: EvaluateConfig,
    card: Card,
    dataset: Dataset,
    truths: Sequence[Example],
    predictions: Mapping[str, Sequence[Any]],
    reference: Any,
) -> dict[str, list[Picture]]:
    """Truth and each variant's prediction, for the images that `choose_pictures` chose by float32's predictions."""
    task, labels = get_task(card.task), card.labels
    qualities = [task.quality(*pair, reference) for pair in zip(truths, predictions[REFERENCE], strict=True)]
    chosen = choose_pictures(qualities, config.pictures)
    wanted = {i for group in chosen.values() for i in group}
    examples = enumerate(dataset.examples(config.split))
    images = {i: decode(example.image, card.channels) for i, example in examples if i in wanted}
    pictures: dict[str, list[Picture]] = {}
    for group, indices in chosen.items():
        pictures[group] = []
        for i in indices:
            found = {name: row[i] for name, row in predictions.items()}
            panels = {"truth": task.draw_truth(images[i], truths[i], labels, _PANEL)}
            for name, prediction in found.items():
                panels[name] = task.draw_prediction(images[i], truths[i], prediction, labels, _PANEL, reference)
            caption = task.caption(truths[i], found, labels, reference)
            pictures[group].append(Picture(truths[i].image_id, caption, panels))
    return pictures
