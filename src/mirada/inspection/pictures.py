"""Pictures of findings: images with the boxes that are meant, and around small ones the part of the image where they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from mirada.data.folders.layout import is_image
from mirada.data.images import open_alone
from mirada.data.records import Box
from mirada.errors import MiradaError
from mirada.inspection.finding import Example, Finding
from mirada.inspection.survey import Survey
from mirada.tasks.pictures import annotate

SIDE = 360  # pixels of a picture's longer side
_SMALL = 1 / 14  # of the image's longer side: what is smaller is shown with its surroundings only
_AROUND = 7  # times the boxes' extent that is shown of it
_LEAST = 72  # pixels of the image around small boxes


def draw_examples(survey: Survey, finding: Finding, count: int) -> list[tuple[Example, bytes | None]]:
    """The finding's first examples, each with its picture as the bytes of a WebP; None where there is no picture to show."""
    drawn: list[tuple[Example, bytes | None]] = []
    for example in finding.examples[:count]:
        drawn.append((example, _draw(survey, example)))
    return drawn


def _draw(survey: Survey, example: Example) -> bytes | None:
    image = survey.by_source.get(example.source)
    source = image.content if image else survey.raw_dir / example.source
    if isinstance(source, Path) and image is None and not (is_image(example.source) and source.is_file()):
        return None
    whole = image is None or not example.boxes or _extent(example.boxes, image.width, image.height) is None
    try:
        photograph = _open(source, image.transpose if image else False, SIDE * 2 if whole else None)
    except MiradaError:
        return None
    full = (image.width, image.height) if image else photograph.size
    window = (0.0, 0.0, float(full[0]), float(full[1]))
    if not whole:
        window = _extent(example.boxes, *full) or window
    return _webp(draw_boxes(photograph, full, window, example.boxes, example.others, survey.classes))


@lru_cache(maxsize=2)
def _open(source: Path | bytes, transpose: bool, reduce_to: int | None) -> Image.Image:
    """The decoded image, kept for the next picture of it."""
    return open_alone(source, transpose, reduce_to=reduce_to)


def _extent(boxes: Sequence[Box], width: int, height: int) -> tuple[float, float, float, float] | None:
    """The part of an image around small boxes; None where the whole image shows them well enough."""
    x1, y1 = min(box.x1 for box in boxes), min(box.y1 for box in boxes)
    x2, y2 = max(box.x2 for box in boxes), max(box.y2 for box in boxes)
    if max(x2 - x1, y2 - y1) >= _SMALL * max(width, height):
        return None
    side = min(max(_AROUND * max(x2 - x1, y2 - y1), _LEAST), width, height)
    left = min(max(0.0, (x1 + x2 - side) / 2), width - side)
    top = min(max(0.0, (y1 + y2 - side) / 2), height - side)
    return left, top, left + side, top + side


def draw_boxes(
    photograph: Image.Image,
    full: tuple[int, int],
    window: tuple[float, float, float, float],
    boxes: Sequence[Box],
    others: Sequence[Box],
    classes: Sequence[str],
) -> Image.Image:
    """A part of a photograph with boxes on it.

    Args:
        photograph: decoded, perhaps at a smaller scale.
        full: its width and height at full scale, in whose pixels window and boxes are.
        window: x1, y1, x2, y2 of the part.
        boxes: to draw in their class's colour, with its name where there are few.
        others: to draw thinly.
        classes: names, in the order of their colours.
    """
    shrunk = photograph.width / full[0], photograph.height / full[1]
    part = (window[0] * shrunk[0], window[1] * shrunk[1], window[2] * shrunk[0], window[3] * shrunk[1])
    scale = SIDE / max(window[2] - window[0], window[3] - window[1])
    size = max(1, round((window[2] - window[0]) * scale)), max(1, round((window[3] - window[1]) * scale))
    canvas = photograph.resize(size, Image.Resampling.BICUBIC, box=part).convert("RGB")
    draw = ImageDraw.Draw(canvas)

    def placed(box: Box) -> list[float]:
        x1, y1, x2, y2 = box.x1 - window[0], box.y1 - window[1], box.x2 - window[0], box.y2 - window[1]
        return [x1 * scale, y1 * scale, x2 * scale, y2 * scale]

    for box in others[:300]:
        draw.rectangle(placed(box), outline=(235, 235, 235), width=1)
    labels = [classes.index(box.label) if box.label in classes else 0 for box in boxes]
    texts = [box.label if len(boxes) <= 4 else "" for box in boxes]
    annotate(canvas, [placed(box) for box in boxes], labels, texts)
    return canvas


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()
