"""Images as bad weather, cheap cameras and hard compression make them: five corruptions at three strengths.

Kinds and strengths are those of Hendrycks and Dietterich (https://arxiv.org/abs/1903.12261), of whose five strengths these
are the first, the third and the fifth; theirs are for images of 224 pixels, about what a network takes in.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

CORRUPTIONS: dict[str, tuple[float, float, float]] = {
    "noise": (0.08, 0.18, 0.38),  # standard deviation, of 1 for white
    "blur": (1.0, 3.0, 6.0),  # standard deviation in pixels
    "JPEG": (25.0, 15.0, 7.0),  # quality of the file
    "brightness": (0.1, 0.3, 0.5),  # added to the value of HSV, of 1
    "contrast": (0.4, 0.2, 0.05),  # factor of the distance from the mean
}
STRENGTHS = ("weak", "medium", "strong")


def corrupt(image: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """A corrupted copy of an image.

    Args:
        image: (H, W, 3) or (H, W, 1) uint8.
        kind: of `CORRUPTIONS`.
        strength: 0, 1 or 2, an index of `STRENGTHS`.
        seed: of the noise.
    """
    amount = CORRUPTIONS[kind][strength]
    if kind == "noise":
        return _add_noise(image, amount, seed)
    return _KINDS[kind](image, amount)


def _add_noise(image: np.ndarray, amount: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    return _pixels(image / np.float32(255) + np.float32(amount) * noise)


def _blur(image: np.ndarray, amount: float) -> np.ndarray:
    return _array(_picture(image).filter(ImageFilter.GaussianBlur(amount)), image)


def _compress(image: np.ndarray, amount: float) -> np.ndarray:
    buffer = io.BytesIO()
    _picture(image).save(buffer, "JPEG", quality=round(amount))
    return _array(Image.open(buffer), image)


def _brighten(image: np.ndarray, amount: float) -> np.ndarray:
    """Hue and saturation stay: all channels grow by the factor by which the largest does; black becomes grey."""
    shares = image / np.float32(255)
    value = shares.max(axis=2, keepdims=True)
    raised = np.minimum(value + np.float32(amount), 1)
    scaled = shares * np.divide(raised, value, out=np.zeros_like(value), where=value > 0)
    return _pixels(np.where(value > 0, scaled, raised))


def _flatten(image: np.ndarray, amount: float) -> np.ndarray:
    shares = image / np.float32(255)
    means = shares.mean(axis=(0, 1), keepdims=True)
    return _pixels((shares - means) * np.float32(amount) + means)


_KINDS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "blur": _blur,
    "JPEG": _compress,
    "brightness": _brighten,
    "contrast": _flatten,
}


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _array(picture: Image.Image, like: np.ndarray) -> np.ndarray:
    return np.asarray(picture, np.uint8).reshape(like.shape)


def _pixels(shares: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
