"""The hashes of a photograph of the raw folder, in a worker."""

from __future__ import annotations

from mirada.data.alike.hashes import SIDE, Hashes, hashes_of
from mirada.data.annotations import RawImage
from mirada.data.images import open_alone
from mirada.errors import MiradaError

REDUCED = 4 * SIDE
"""Pixels of the longer side that hashes are made of, at least: all must be decoded alike."""


def read_hashes(image: RawImage) -> Hashes | None:
    """What is to be kept of a photograph, decoded no larger than it takes; None where it can't be decoded."""
    try:
        opened = open_alone(image.content, image.transpose, reduce_to=REDUCED)
    except MiradaError:
        return None
    return hashes_of(opened, (image.width, image.height))
