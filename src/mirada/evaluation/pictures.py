"""The pictures of the report: which images are shown, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mirada.config import EvaluateConfig
from mirada.data.images import open_image
from mirada.data.records import Dataset
from mirada.evaluation.measuring import Measured, viewing_of
from mirada.fonts import set_line
from mirada.inference.card import Card
from mirada.inference.tiling import Tile, plan_tiles
from mirada.inference.variants import REFERENCE
from mirada.tasks import get_task
from mirada.tasks.pictures import scaled_canvas

_PANEL, _PHOTOGRAPH = 400, 1400  # longer side of a drawn image in pixels


def side_by_side(panels: Mapping[str, Image.Image]) -> Image.Image:
    """Pictures of equal size in a row, each under its title."""
    gap, head = 8, 26
    width, height = next(iter(panels.values())).size
    sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height + head), (255, 255, 255))
    for i, (title, panel) in enumerate(panels.items()):
        sheet.paste(panel, (i * (width + gap), head))
        sheet.paste((30, 30, 30), (i * (width + gap) + 2, 4), set_line(title, 15))
    return sheet


@dataclass
class Picture:
    """One image of the report: its name, a sentence about it, its panels, title -> drawing, and whether to zoom in."""

    name: str
    caption: str
    panels: dict[str, Image.Image]
    large: bool = False


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
    config: EvaluateConfig, card: Card, dataset: Dataset, measured: Measured, beside: str | None
) -> dict[str, list[Picture]]:
    """Truth and predictions on the photographs that `choose_pictures` chose by float32's predictions.

    On photographs that were looked at in tiles only float32 and the variant `beside` it are drawn, large enough to zoom in,
    and how the tiles lie.
    """
    task, labels, truths = get_task(card.task), card.labels, measured.truths
    reference, predictions = measured.results[REFERENCE], measured.predictions
    qualities = [task.quality(*pair, reference) for pair in zip(truths, predictions[REFERENCE], strict=True)]
    chosen = choose_pictures(qualities, config.pictures)
    wanted = {i for group in chosen.values() for i in group}
    photographs = enumerate(dataset.whole_photographs(config.split))
    images = {i: _pixels(photograph.image, card) for i, photograph in photographs if i in wanted}
    pictures: dict[str, list[Picture]] = {}
    for group, indices in chosen.items():
        pictures[group] = []
        for i in indices:
            tiled = measured.answers[REFERENCE][i].tiles > 0
            side = _PHOTOGRAPH if tiled else _PANEL
            shown = {REFERENCE, beside} if tiled else set(predictions)
            found = {name: row[i] for name, row in predictions.items() if name in shown}
            panels = {"truth": task.draw_truth(images[i], truths[i], labels, side)}
            for name, prediction in found.items():
                panels[name] = task.draw_prediction(images[i], truths[i], prediction, labels, side, reference)
            if tiled:
                panels["tiles"] = draw_tiles(
                    images[i], plan_tiles(card, viewing_of(config), *images[i].shape[1::-1]), side
                )
            caption = task.caption(truths[i], found, labels, reference)
            pictures[group].append(Picture(truths[i].image_id, caption, panels, tiled))
    return pictures


def _pixels(content: bytes, card: Card) -> np.ndarray:
    image = open_image(content, True, channels=card.channels, depth_range=card.depth_range)
    return np.asarray(image).reshape(image.height, image.width, -1)


def draw_tiles(image: np.ndarray, tiles: Sequence[Tile], side: int) -> Image.Image:
    """How the tiles lie on a photograph: their borders, and one of them whole.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        tiles: of `plan_tiles`.
        side: of the picture's longer side in pixels.
    """
    canvas, scale = scaled_canvas(image, side)
    draw = ImageDraw.Draw(canvas)
    for number, tile in enumerate(tiles):
        region, whole = tile.region, number == len(tiles) // 2
        corners = [round(value * scale) for value in (region.x1, region.y1, region.x2 - 1, region.y2 - 1)]
        draw.rectangle(corners, outline=(255, 176, 0) if whole else (255, 255, 255), width=4 if whole else 1)
    return canvas
