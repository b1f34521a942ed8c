"""What a classifier looks at: how its certainty falls where a part of the image is covered.

Occlusion sensitivity (Zeiler and Fergus, https://arxiv.org/abs/1311.2901): it needs no gradients, so that it shows the
int8 file itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from mirada.inference.litert import Model
from mirada.inference.prediction import Classification
from mirada.palette import WRONG, rgb
from mirada.tasks.pictures import scaled_canvas

PARTS = 5  # patches side by side that would cover the input; they move by half of one
LEAST = 0.05  # a fall that is drawn in full colour at least, so that nothing is made much of


def occlusion_map(image: np.ndarray, probability: Callable[[np.ndarray], float], side: int, step: int) -> np.ndarray:
    """How far a probability falls where a grey patch covers the image.

    Args:
        image: (H, W, C) uint8.
        probability: of an image of that shape.
        side: of the patch in pixels.
        step: by which it moves; the last ones of a row and column end at the border.

    Returns:
        (H, W) float64, the mean fall over all patches that cover the pixel; below 0 where the probability rises.
    """
    height, width = image.shape[:2]
    plain, grey = probability(image), image.mean(axis=(0, 1)).round().astype(np.uint8)
    falls, covers = np.zeros((height, width)), np.zeros((height, width))
    for top in _starts(height, side, step):
        for left in _starts(width, side, step):
            place = np.s_[top : top + side, left : left + side]
            covered = image.copy()
            covered[place] = grey
            falls[place] += plain - probability(covered)
            covers[place] += 1
    return falls / covers


def _starts(length: int, side: int, step: int) -> list[int]:
    last = max(0, length - side)
    return sorted({*range(0, last, step), last})


def explain(model: Model, image: np.ndarray, label: int) -> np.ndarray:
    """The map of a label's probability for a network's input, (S, S, C) uint8, as `occlusion_map` gives it."""

    def probability(shown: np.ndarray) -> float:
        found = model.find(shown)
        assert isinstance(found, Classification)
        return float(found.probabilities[label])

    side = max(1, image.shape[0] // PARTS)
    return occlusion_map(image, probability, side, max(1, side // 2))


def draw_saliency(image: np.ndarray, falls: np.ndarray, side: int) -> Image.Image:
    """The image in grey, red where covering it costs most.

    Args:
        image: (S, S, C) uint8.
        falls: (S, S) of `explain`.
        side: of the picture in pixels.
    """
    canvas, _ = scaled_canvas(image, side)
    strength = np.clip(falls / max(LEAST, float(falls.max())), 0, 1)
    mask = Image.fromarray((200 * strength).round().astype(np.uint8)).resize(canvas.size, Image.Resampling.BILINEAR)
    grey = canvas.convert("L").convert("RGB")
    return Image.composite(Image.new("RGB", canvas.size, rgb(WRONG)), grey, mask)
