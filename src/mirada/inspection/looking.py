"""One look at an image, for workers: what it is, and statistics of its pixels at a small scale."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from mirada.config import DataConfig
from mirada.data.alike.hashes import Hashes, hashes_of
from mirada.data.alike.reading import REDUCED
from mirada.data.annotations import RawImage, Rejected
from mirada.data.images import open_alone
from mirada.data.inputs import read_image
from mirada.data.pixels.opening import open_picture
from mirada.errors import MiradaError

SIDE = 128  # pixels of the longer side of what statistics are made of
THUMBNAIL = 32  # pixels of each side of what is kept


@dataclass(frozen=True, slots=True)
class Seen:
    """What an image file is and shows; some eight kilobytes.

    Attributes:
        digest: sha256 of the file.
        size_bytes: of the file.
        format, mode: in Pillow's words.
        frames: pictures in the file.
        mean: of red, green and blue, 0..255.
        contrast: standard deviation of the grey picture.
        low, high: 1st and 99th percentile of the grey picture.
        colour: how far red, green and blue lie apart, on average; 0 is grey.
        sharpness: mean difference between neighbouring pixels of the small picture.
        thumbnail: (THUMBNAIL, THUMBNAIL) grey, uint8, the aspect not kept.
        hashes: by which alike images are found.
    """

    digest: str
    size_bytes: int
    format: str
    mode: str
    frames: int
    mean: tuple[float, float, float]
    contrast: float
    low: float
    high: float
    colour: float
    sharpness: float
    thumbnail: bytes
    hashes: Hashes | None = None

    @property
    def brightness(self) -> float:
        """Of the grey picture, 0..255 (ITU-R 601-2 luma)."""
        red, green, blue = self.mean
        return 0.299 * red + 0.587 * green + 0.114 * blue

    def thumbnail_array(self) -> np.ndarray:
        """(THUMBNAIL, THUMBNAIL) uint8."""
        return np.frombuffer(self.thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL)


def look(item: Any, data: DataConfig) -> tuple[RawImage | Rejected, Seen | None]:
    """Read an item of a listing and decode its image, or say why that can't be done.

    Args:
        item: from the listing of `data.format`.
        data: how to read it.
    """
    found, digest = read_image(item, data)
    if isinstance(found, Rejected):
        return found, None
    content = found.content
    try:
        picture = open_alone(content, found.transpose, reduce_to=REDUCED)
    except MiradaError:
        advice = "the image is cut short or damaged: copy or export it again"
        return Rejected(found.source, "image_undecodable", advice, len(found.boxes)), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its header was good enough before
        with open_picture(content) as header:
            about = header.format or "", header.mode, int(getattr(header, "n_frames", 1))
    size_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
    seen = measure(picture, digest, size_bytes, *about)
    return found, replace(seen, hashes=hashes_of(picture, (found.width, found.height)))


def measure(picture: Image.Image, digest: str, size_bytes: int, image_format: str, mode: str, frames: int) -> Seen:
    """The statistics of an RGB picture of any size; the rest is kept as it is given."""
    shrink = SIDE / max(picture.size)
    if shrink < 1:
        small = max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))
        picture = picture.resize(small, Image.Resampling.BOX)
    pixels = np.asarray(picture, np.int16)
    grey_picture = picture.convert("L")
    grey = np.asarray(grey_picture, np.int16)
    low, high = np.percentile(grey, (1, 99))
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1]
    apart = (pixels.max(axis=2) - pixels.min(axis=2)).mean()
    red, green, blue = (float(value) for value in pixels.reshape(-1, 3).mean(axis=0))
    thumbnail = grey_picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Seen(
        digest=digest,
        size_bytes=size_bytes,
        format=image_format,
        mode=mode,
        frames=frames,
        mean=(red, green, blue),
        contrast=float(grey.std()),
        low=float(low),
        high=float(high),
        colour=float(apart),
        sharpness=float(np.mean(steps)) if steps else 0.0,
        thumbnail=thumbnail.tobytes(),
    )
