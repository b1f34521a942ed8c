"""Made photographs with structure at every scale, as real ones have it, and what people do to them."""

import io

import numpy as np
from PIL import Image


def photograph(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Fields of random colours from coarse to fine, added up; two seeds have nothing in common."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24, 48):
        field = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(field.resize(size, Image.Resampling.BICUBIC), float) / cells**0.7
    total -= total.min()
    return Image.fromarray((total / total.max() * 200 + 20).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return Image.open(buffer)
