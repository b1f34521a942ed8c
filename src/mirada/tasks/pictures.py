"""Boxes on photographs, and the plots of the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mirada import palette
from mirada.data.records import Example
from mirada.fonts import set_line
from mirada.inference.prediction import Detections
from mirada.palette import rgb
from mirada.tasks.matching import match_image

Colour = tuple[int, int, int]

RIGHT, WRONG, MISSED, IGNORED = map(rgb, (palette.RIGHT, palette.WRONG, palette.MISSED, palette.IGNORED))


def class_colour(label: int) -> Colour:
    """The colour of a class index."""
    return rgb(palette.CLASSES[label % len(palette.CLASSES)])


def draw_truth(image: np.ndarray, truth: Example, labels: Sequence[str], side: int) -> Image.Image:
    """The true boxes in their class's colour, ignored ones dashed and grey, on the image scaled to `side` pixels.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        truth: boxes in pixels of it.
        labels: class names, written beside the boxes when there are several.
        side: of the picture's longer side in pixels.
    """
    canvas, scale = scaled_canvas(image, side)
    for box, label, ignore in zip(truth.boxes_xyxy * scale, truth.labels, truth.ignore, strict=True):
        colour = IGNORED if ignore else class_colour(int(label))
        text = labels[label] if len(labels) > 1 and not ignore else ""
        _draw_box(canvas, box, colour, dashed=bool(ignore))
        if text:
            _draw_tag(canvas, box, colour, text)
    return canvas


def draw_detections(
    image: np.ndarray, truth: Example, found: Detections, labels: Sequence[str], side: int
) -> Image.Image:
    """Detections against the truth.

    Right ones are in their class's colour, wrong ones red and dashed, those on an ignored box grey and dashed; truths
    that were missed are white and dashed.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        truth: boxes in pixels of it.
        found: the detections to draw; cut them at a threshold first.
        labels: class names, written beside the score when there are several.
        side: of the picture's longer side in pixels.
    """
    canvas, scale = scaled_canvas(image, side)
    pairs, left = match_image(truth, found)
    met = {j for _, j in pairs}
    for j in np.flatnonzero(~truth.ignore):
        if int(j) not in met:
            _draw_box(canvas, truth.boxes_xyxy[j] * scale, MISSED, dashed=True)
    wrong = set(left) | {i for i, j in pairs if found.labels[i] != truth.labels[j]}
    counted = set(left) | {i for i, _ in pairs}
    tags = []
    for i in reversed(range(len(found))):  # the best on top
        label, box = int(found.labels[i]), found.boxes_xyxy[i] * scale
        colour = WRONG if i in wrong else class_colour(label) if i in counted else IGNORED
        _draw_box(canvas, box, colour, dashed=i in wrong or i not in counted)
        score = f"{found.scores[i]:.2f}"
        tags.append((box, colour, f"{labels[label]} {score}" if len(labels) > 1 else score))
    for tag in tags:  # after all boxes, so that no line crosses a number
        _draw_tag(canvas, *tag)
    return canvas


def draw_label(image: np.ndarray, text: str, right: bool | None, side: int) -> Image.Image:
    """An image with a line of text at its foot and, for a prediction, a frame: green, or red and dashed.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        text: what the image is, or was taken for.
        right: whether a prediction is; None for the truth.
        side: of the picture's longer side in pixels.
    """
    canvas, _ = scaled_canvas(image, side)
    colour = MISSED if right is None else RIGHT if right else WRONG
    if right is not None:
        _draw_box(canvas, np.array([1, 1, canvas.width - 3, canvas.height - 3]), colour, dashed=not right, width=4)
    _draw_tag(canvas, np.array([4, canvas.height - 6, side, side]), colour, text, size=20)
    return canvas


def draw_location(
    image: np.ndarray, true_box: np.ndarray, box: np.ndarray | None, text: str, right: bool | None, side: int
) -> Image.Image:
    """The true box, white and dashed, and a predicted one, green or red, with its text at the foot of the image.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        true_box: (4,) corners in pixels of it.
        box: (4,) of the prediction; None for the truth alone. Swapped corners are drawn as if they weren't.
        text: label and figures.
        right: whether the prediction is; None for the truth.
        side: of the picture's longer side in pixels.
    """
    canvas, scale = scaled_canvas(image, side)
    colour = MISSED if right is None else RIGHT if right else WRONG
    _draw_box(canvas, true_box * scale, MISSED, dashed=True)
    if box is not None:
        ordered = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])])
        _draw_box(canvas, ordered * scale, colour, dashed=False, width=4)
        _draw_box(canvas, true_box * scale, MISSED, dashed=True, rim=0)  # the two may lie on each other
    _draw_tag(canvas, np.array([4, canvas.height - 6, side, side]), colour, text, size=20)
    return canvas


def annotate(
    picture: Image.Image, boxes_xyxy: Sequence[Sequence[float] | None], labels: Sequence[int], texts: Sequence[str]
) -> None:
    """Draw boxes in their class's colour with their text on an RGB picture of any size; lines and letters grow with it.

    Args:
        picture: drawn on.
        boxes_xyxy: corners in its pixels, the most important first, which lies on top; None: the text alone, at the foot.
        labels: class indices.
        texts: one a box; an empty one is not drawn.
    """
    side = max(picture.size)
    width, size = max(2, round(side / 300)), max(11, round(side / 60))
    tags = []
    for box, label, text in reversed(list(zip(boxes_xyxy, labels, texts, strict=True))):
        corners = np.array([4, picture.height - 6, 0, 0] if box is None else box, np.float64)
        if box is not None:
            ordered = np.concatenate([np.minimum(corners[:2], corners[2:]), np.maximum(corners[:2], corners[2:])])
            _draw_box(picture, ordered, class_colour(label), dashed=False, width=width)
        tags.append((corners, class_colour(label), text))
    for corners, colour, text in (tag for tag in tags if tag[2]):  # after all boxes, so that no line crosses a word
        _draw_tag(picture, corners, colour, text, size)


def scaled_canvas(image: np.ndarray, side: int) -> tuple[Image.Image, float]:
    """The image with its longer side scaled to `side` pixels, and the scale."""
    pixels = image[..., 0] if image.shape[2] == 1 else image
    scale = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BICUBIC), scale


def _draw_box(
    canvas: Image.Image, box: np.ndarray, colour: Colour, *, dashed: bool, width: int = 2, rim: int = 2
) -> None:
    draw = ImageDraw.Draw(canvas)
    x1, y1, x2, y2 = (float(v) for v in np.clip(box, 0, np.array([canvas.width - 1, canvas.height - 1] * 2)))
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    for a, b in zip(corners, corners[1:], strict=False):
        for start, end in _dashes(a, b) if dashed else [(a, b)]:
            if rim:
                draw.line([start, end], (0, 0, 0), width + rim)
    for a, b in zip(corners, corners[1:], strict=False):  # over the dark rim, so that it shows on any ground
        for start, end in _dashes(a, b) if dashed else [(a, b)]:
            draw.line([start, end], colour, width)


def _draw_tag(canvas: Image.Image, box: np.ndarray, colour: Colour, text: str, size: int = 11) -> None:
    """Text on its box's colour, above the box or, at the border, inside it."""
    letters = set_line(text, size)
    x1, y1 = (float(v) for v in np.clip(box[:2], 0, np.array([canvas.width - 1, canvas.height - 1])))
    width, height = letters.width + 4, letters.height
    left, top = max(0.0, min(x1, canvas.width - width)), y1 - height if y1 >= height else y1
    ImageDraw.Draw(canvas).rectangle((left, top, left + width, top + height), colour)
    canvas.paste((0, 0, 0), (round(left + 2), round(top)), letters)


def _dashes(
    a: tuple[float, float], b: tuple[float, float], on: float = 5, off: float = 4
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    start, way = np.array(a), np.array(b) - np.array(a)
    length = float(np.hypot(*way))
    steps = np.arange(0, length, on + off) / max(length, 1e-9)
    ends = np.minimum(steps + on / max(length, 1e-9), 1)
    return [(tuple(start + s * way), tuple(start + e * way)) for s, e in zip(steps, ends, strict=True)]
