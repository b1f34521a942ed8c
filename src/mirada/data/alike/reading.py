"""The hashes of a photograph of the raw folder, in a worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mirada.data.alike.hashes import SIDE, Hashes, hashes_of
from mirada.data.annotations import RawImage
from mirada.data.images import open_image
from mirada.data.pixels.depth import choose_range, is_deep, read_deep
from mirada.data.pixels.opening import UNREADABLE, open_picture
from mirada.errors import MiradaError


def read_hashes(image: RawImage) -> Hashes | None:
    """What is to be kept of a photograph, decoded no larger than it takes; None where it can't be decoded."""
    try:
        content = image.content
        opened = open_image(content, image.transpose, reduce_to=4 * SIDE, depth_range=_range_of(content))
    except (MiradaError, *UNREADABLE):
        return None
    return hashes_of(opened, (image.width, image.height))


def _range_of(content: Path | bytes) -> tuple[float, float] | None:
    """The range of a deep image by itself, as the data set's is not known yet; None for one of 8 bits."""
    with open_picture(content) as picture:
        if not is_deep(picture):
            return None
    values = read_deep(content, transpose=False).values
    return choose_range([values[np.isfinite(values)]])
