"""How much two small pictures are one: hashes propose, this decides.

Compared are the details of the pictures, that is each less its mean over 9 x 9 pixels: two X-rays of different people have
the same bright and dark parts, and hashes that differ by few bits, but not the same details.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mirada.data.alike.hashes import SIDE, WINDOWS

_BLUR = 9  # pixels
_NOISE = 16.0  # of a picture whose details are fainter than a quarter of a grey value, nothing can be said
_SHORTEST = 40  # side of a crop in pixels of the small picture
_HOPE = 0.35  # what does not fit so well at one of nine sizes fits at none
Corners = tuple[float, float, float, float]


def details(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W) grey values less their surroundings, each of norm 1, or less where there is hardly anything: float32."""
    padded = np.pad(pictures.astype(np.float32), ((0, 0), (_BLUR // 2,) * 2, (_BLUR // 2,) * 2), mode="edge")
    sums = np.pad(padded.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    around = sums[:, _BLUR:, _BLUR:] - sums[:, :-_BLUR, _BLUR:] - sums[:, _BLUR:, :-_BLUR] + sums[:, :-_BLUR, :-_BLUR]
    rest = pictures - around / _BLUR**2
    rest -= rest.mean((1, 2), keepdims=True)
    return (rest / np.maximum(np.linalg.norm(rest, axis=(1, 2), keepdims=True), _NOISE)).astype(np.float32)


def brightness_differs(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two small pictures of one thing differ in brightness or contrast by more than coding them anew does."""
    contrast = max(float(first.std()), 1.0), max(float(second.std()), 1.0)
    return bool(abs(float(first.mean()) - float(second.mean())) > 4 or not 0.94 < contrast[0] / contrast[1] < 1.06)


@dataclass(frozen=True)
class Fit:
    """Where a crop lies in a photograph, corners as shares of the sides, and how well it fits there, 1 at best."""

    likeness: float
    corners: Corners


def fit_crop(whole: np.ndarray, crop: np.ndarray, window: int) -> Fit:
    """Look for a crop in a photograph: in all places, at sizes near that of the window whose hash was near.

    Normalised cross-correlation of details by FFT.

    Args:
        whole: (64, 64) small picture of the photograph.
        crop: (64, 64) small picture of what may be a crop of it.
        window: index in `WINDOWS`.
    """
    x1, _, x2, _ = WINDOWS[window]
    about = round((x2 - x1) * SIDE)
    # Scaled by a tenth, details are still nearly those of the scaled picture, at a fraction of the cost.
    pattern = details(np.asarray(Image.fromarray(crop).resize((about, about), Image.Resampling.HAMMING))[None])[0]
    ground = details(whole[None])[0]
    if min(np.linalg.norm(pattern), np.linalg.norm(ground)) < 0.5:  # a wall, a sky: it would fit everywhere
        return Fit(0.0, WINDOWS[window])
    best, size = Fit(-1.0, WINDOWS[window]), (about, about)
    for step in (3, 2, 1):
        sizes = [(size[0] + step * x, size[1] + step * y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
        sizes = [(w, h) for w, h in sizes if _SHORTEST <= w <= SIDE and _SHORTEST <= h <= SIDE]
        found, nearest = _best_place(ground, pattern, sizes)
        if found.likeness > best.likeness:
            best, size = found, nearest
        if best.likeness < _HOPE:
            break
    return best


def _best_place(ground: np.ndarray, pattern: np.ndarray, sizes: list[tuple[int, int]]) -> tuple[Fit, tuple[int, int]]:
    """The best place of a crop's details, scaled to each of the sizes in pixels of the small picture; and its size."""
    picture = Image.fromarray(pattern)
    templates = np.zeros((len(sizes), SIDE, SIDE), np.float32)
    for template, (width, height) in zip(templates, sizes, strict=True):
        template[:height, :width] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    templates /= np.linalg.norm(templates, axis=(1, 2), keepdims=True) + 1e-6
    # Where the template lies inside, nothing comes in again from the other side.
    spectrum = np.fft.rfft2(ground) * np.conj(np.fft.rfft2(templates))
    products = np.fft.irfft2(spectrum, (SIDE, SIDE))
    energy = np.pad((ground**2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, size = Fit(-1.0, (0.0, 0.0, 1.0, 1.0)), sizes[0]
    for product, (width, height) in zip(products, sizes, strict=True):
        inside = (
            energy[height:, width:] - energy[:-height, width:] - energy[height:, :-width] + energy[:-height, :-width]
        )
        scores = product[: SIDE - height + 1, : SIDE - width + 1] / np.sqrt(np.maximum(inside, 1e-2))
        y, x = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[y, x] > best.likeness:
            corners = (x / SIDE, y / SIDE, (x + width) / SIDE, (y + height) / SIDE)
            best, size = Fit(float(scores[y, x]), corners), (width, height)
    return best, size
