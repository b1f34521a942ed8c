"""Inputs of the network before their pixels are enhanced: what is corrupted there is corrupted as the world does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mirada.data.images import Placement, decode, fit_image, image_size, load_input, open_image
from mirada.data.records import Dataset, Example
from mirada.data.tiles import Region, grid
from mirada.errors import MiradaError


@dataclass(frozen=True)
class Scene:
    """One input of the network, as it is before its pixels are enhanced.

    Attributes:
        pixels: (H, W, C) uint8 at the input's scale; where something is yet to be enhanced, without the padding.
        enhance: what is yet to be done to them, 'none' or 'equalize'.
        side: of the input.
    """

    pixels: np.ndarray
    enhance: str
    side: int

    def shown(self, spoil: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """The input that the network sees, (S, S, C) uint8; `spoil` has its pixels before they are enhanced."""
        pixels = spoil(self.pixels) if spoil else self.pixels
        if self.enhance == "none":
            return pixels
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return fit_image(picture, self.side, "letterbox", enhance=self.enhance, zoom=1.0)[0]


def scenes_of(dataset: Dataset, split: str, examples: Sequence[Example]) -> list[Scene]:
    """The scenes of examples: the stored pixels, and where those are enhanced already, the photographs cut and scaled anew.

    Args:
        dataset: the processed data.
        split: 'val' or 'test'.
        examples: of that split.

    Raises:
        MiradaError: a photograph is missing.
    """
    if dataset.enhance == "none":
        return [Scene(decode(one.image, dataset.channels), "none", dataset.input_size) for one in examples]
    wanted, found = {one.image_id for one in examples}, {}
    for photograph in dataset.whole_photographs(split):
        regions = {name: region for name, region in _parts(photograph, dataset.tile[0]) if name in wanted}
        for name, pixels in _scaled(photograph, regions, dataset):
            found[name] = Scene(pixels, dataset.enhance, dataset.input_size)
    for name in wanted - found.keys():
        raise MiradaError(f"{dataset.folder} holds no photograph of {name}: run the preprocess stage again.")
    return [found[one.image_id] for one in examples]


def _parts(photograph: Example, tile_size: int) -> Iterator[tuple[str, Region]]:
    """The names of the inputs that the stage preprocess made of a photograph, and what each shows in its pixels."""
    width, height = image_size(photograph.image, transpose=True)
    whole = Region(0, 0, width, height)
    if not tile_size:
        yield photograph.image_id, whole
        return
    left, top = (int(corner) for corner in photograph.placement[4:])
    for region in grid(whole, tile_size, None):
        yield f"{photograph.source}#{region.x1 + left},{region.y1 + top}", region


def _scaled(photograph: Example, regions: dict[str, Region], dataset: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Name -> (H, W, C) pixels of parts of a photograph at the input's scale, not enhanced and not padded."""
    if not regions:
        return
    tile_size, side = dataset.tile[0], dataset.input_size
    if not tile_size:
        ((name, region),) = regions.items()
        yield name, _inner(region, *load_input(
            photograph.image, side, dataset.fit, channels=dataset.channels, transpose=True, depth_range=dataset.depth_range,
        ))  # fmt: skip
        return
    image = open_image(photograph.image, True, channels=dataset.channels, depth_range=dataset.depth_range)
    for name, region in regions.items():
        part = image.crop((region.x1, region.y1, region.x2, region.y2))
        yield name, _inner(region, *fit_image(part, side, dataset.fit, zoom=side / tile_size))


def _inner(region: Region, pixels: np.ndarray, placement: Placement) -> np.ndarray:
    """What of an input is no padding."""
    scale_x, scale_y, left, top = placement[0], placement[1], int(placement[2]), int(placement[3])
    return pixels[top : top + round(scale_y * region.height), left : left + round(scale_x * region.width)]
