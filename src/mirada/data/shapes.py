"""Circles, squares and triangles drawn on noise, with VOC XML: data for tests and for scale."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw

from mirada.data.records import Box

LABELS = ("circle", "square", "triangle")
_TRIES = 20


def draw_shapes(index: int, classes: int, objects: int, size: int, seed: int) -> tuple[Image.Image, list[Box]]:
    """Draw one image; equal arguments give equal pixels.

    Args:
        index: the image's number; its first object is of class `index % classes`, so that every class occurs.
        classes: how many of `LABELS` are drawn, 1 to 3.
        objects: an image holds 1 to so many.
        size: side of the square image in pixels.
        seed: of the whole data set.

    Returns:
        The RGB image and the exact box of each object; two boxes never overlap by more than a tenth of the smaller one.
    """
    random = np.random.default_rng((seed, index))
    pixels = random.normal(random.uniform(50, 110), 12, (size, size, 3))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw, boxes = ImageDraw.Draw(image), list[Box]()
    for number in range(int(random.integers(1, objects + 1))):
        label = LABELS[index % classes if number == 0 else int(random.integers(classes))]
        for _ in range(_TRIES):
            side = int(random.integers(size // 7, size // 3 + 1))
            x, y = (int(corner) for corner in random.integers(0, size - side + 1, 2))
            box = Box(x, y, x + side, y + side, label)
            if all(_overlap(box, other) <= 0.1 for other in boxes):
                break
        else:
            continue  # no room left
        colour = random.integers(0, 256, 3)
        colour[random.integers(3)] = 255  # one channel far from the background
        _draw(draw, box, (int(colour[0]), int(colour[1]), int(colour[2])))
        boxes.append(box)
    return image, boxes


def _overlap(a: Box, b: Box) -> float:
    """The shared area as a share of the smaller box."""
    shared = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    return shared / min((a.x2 - a.x1) * (a.y2 - a.y1), (b.x2 - b.x1) * (b.y2 - b.y1))


def _draw(draw: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    """Fill a shape that touches all four sides of its box."""
    left, top, right, bottom = box.x1, box.y1, box.x2 - 1, box.y2 - 1  # Pillow's corners are inclusive
    if box.label == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif box.label == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        draw.polygon(((left, bottom), (right, bottom), ((left + right) // 2, top)), fill=colour)


def write_voc(path: Path, width: int, height: int, boxes: list[Box]) -> None:
    """Write the VOC XML of an image beside it.

    Args:
        path: the image; the XML has its name.
        width, height: of the image in pixels.
        boxes: what is on it.
    """
    lines = ["<annotation>", f"  <filename>{escape(path.name)}</filename>"]
    lines.append(f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
    for box in boxes:
        lines += [
            "  <object>",
            f"    <name>{escape(box.label)}</name>",
            f"    <difficult>{box.difficult:d}</difficult>",
        ]
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (box.x1, box.y1, box.x2, box.y2), strict=True)
        lines.append("    <bndbox>" + "".join(f"<{tag}>{value:g}</{tag}>" for tag, value in corners) + "</bndbox>")
        lines.append("  </object>")
    path.with_suffix(".xml").write_text("\n".join([*lines, "</annotation>", ""]), encoding="utf-8")
