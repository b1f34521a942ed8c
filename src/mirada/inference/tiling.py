"""How a photograph is looked at: as a whole, or in overlapping tiles at the scale that the training saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mirada.data.images import Placement, equalize, fit_image
from mirada.data.tiles import Region, grid
from mirada.errors import MiradaError
from mirada.inference.card import Card

VIEWS = ("auto", "whole", "tiles")
SEAM_PX = 1.0  # a box that ends so near to a border of its tile ends at it
BEYOND = 0.125  # share of what neighbours have in common by which their zones overlap on either side of its middle
OVERLAP = 0.5  # share of a tile's side: an object of up to half a tile is whole in one of them


@dataclass(frozen=True)
class Viewing:
    """How photographs are to be looked at; what is None, the card decides.

    Attributes:
        view: 'whole' scales the photograph into the network's input; 'tiles' cuts it; 'auto' does what the training did.
        tile: side of a tile in pixels of the photograph.
        overlap: share of a tile's side by which neighbours overlap, 0..0.8.
        scales: sizes at which the photograph is looked at: at 2 things look twice as large as in the training.
    """

    view: str = "auto"
    tile: int | None = None
    overlap: float | None = None
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.view not in VIEWS:
            raise MiradaError(f"view must be one of {', '.join(VIEWS)}, got {self.view!r}.")
        if self.tile is not None and self.tile < 16:
            raise MiradaError(f"tile must be at least 16 pixels of the photograph, got {self.tile}.")
        if self.overlap is not None and not 0 <= self.overlap <= 0.8:
            raise MiradaError(f"overlap must be from 0 to 0.8 of a tile's side, got {self.overlap:g}.")
        if not self.scales or min(self.scales) <= 0:
            raise MiradaError(f"scales must hold one size above 0 at least, got {list(self.scales)}.")


AS_TRAINED = Viewing()


@dataclass(frozen=True)
class Tile:
    """A part of a photograph as the network sees it.

    Attributes:
        region: in pixels of the photograph.
        zoom: pixels of the input to a pixel of the photograph.
        shared: pixels that it has in common with its neighbour, at least.
    """

    region: Region
    zoom: float
    shared: int


def tile_side(card: Card, viewing: Viewing) -> int:
    """Side of a tile in pixels of the photograph; 0 where it is looked at as a whole.

    Raises:
        MiradaError: tiles are asked for, and neither the caller nor the card says how large.
    """
    if viewing.view == "whole" or (viewing.view == "auto" and not (viewing.tile or card.tile_size)):
        return 0
    if card.task != "detection":
        raise MiradaError(f"view=tiles cuts photographs into parts, which {card.task} has no use for: use view=whole.")
    side = viewing.tile or card.tile_size
    if not side:
        raise MiradaError(
            "view=tiles needs tile=<pixels of a photograph>: the model was trained on whole images, so its card names none."
        )
    return side


def plan_tiles(card: Card, viewing: Viewing, width: int, height: int) -> list[Tile]:
    """The tiles that cover a photograph, scale by scale, row by row; none where it is looked at as a whole."""
    side = tile_side(card, viewing)
    if not side:
        return []
    overlap = OVERLAP if viewing.overlap is None else viewing.overlap
    tiles = []
    for scale in viewing.scales:
        shown = max(1, round(side / scale))
        zoom = card.input_size / shown
        shared = shown - max(1, round(shown * (1 - overlap)))
        tiles += [Tile(region, zoom, shared) for region in grid(Region(0, 0, width, height), shown, overlap)]
    return tiles


def count_tiles(card: Card, viewing: Viewing, width: int, height: int) -> int:
    """How many tiles `plan_tiles` would give, without making them."""
    side = tile_side(card, viewing)
    if not side:
        return 0
    overlap, count = OVERLAP if viewing.overlap is None else viewing.overlap, 0
    for scale in viewing.scales:
        shown = max(1, round(side / scale))
        step = max(1, round(shown * (1 - overlap)))
        # One that ends at the border, and before it one a step.
        count += (1 + len(range(0, width - shown, step))) * (1 + len(range(0, height - shown, step)))
    return count


class TileCutter:
    """Cuts tiles out of a photograph and scales them.

    Tiles of one row that are enlarged by a whole number are cut from a strip that was enlarged once, as wide as the
    photograph and as high as a tile; what the next row shares with it is kept.

    Args:
        image: RGB or grey.
        input_size: side of the network's input.
        enhance: as in the card, done to each tile.
    """

    def __init__(self, image: Image.Image, input_size: int, enhance: str) -> None:
        self._image, self._size, self._enhance = image, input_size, enhance
        self._strip: np.ndarray | None = None
        self._rows, self._zoom = (0, 0), 0

    def cut(self, tile: Tile) -> tuple[np.ndarray, Placement]:
        """The tile's (S, S, C) uint8 pixels, and where they lie in the photograph, as `records.Example` has it."""
        region, zoom = tile.region, tile.zoom
        corner = float(region.x1), float(region.y1)
        box = (region.x1, region.y1, region.x2, region.y2)
        if round(region.width * zoom) != self._size or round(region.height * zoom) != self._size:
            part = self._image.crop(box)
            array, placement = fit_image(part, self._size, "letterbox", enhance=self._enhance, zoom=zoom)
            return array, (*placement[:4], *corner)
        placement = (self._size / region.width, self._size / region.height, 0.0, 0.0, *corner)
        if self._enhance == "none" and zoom == int(zoom):
            strip = self._enlarge(region.y1, region.y2, int(zoom))
            at = region.x1 * int(zoom)
            return strip[:, at : at + self._size], placement
        kernel = Image.Resampling.BICUBIC if zoom >= 1 else Image.Resampling.HAMMING
        scaled = self._image.resize((self._size, self._size), kernel, box=box)
        if self._enhance == "equalize":
            scaled = equalize(scaled)
        return np.asarray(scaled).reshape(self._size, self._size, -1), placement

    def _enlarge(self, top: int, bottom: int, zoom: int) -> np.ndarray:
        """The photograph's rows `top` to `bottom`, enlarged; rows that the last strip holds are taken from there."""
        if self._strip is not None and (self._rows, self._zoom) == ((top, bottom), zoom):
            return self._strip
        image, first = self._image, top
        strip = np.empty(((bottom - top) * zoom, image.width * zoom, len(image.getbands())), np.uint8)
        if self._strip is not None and self._zoom == zoom and self._rows[0] <= top < self._rows[1] <= bottom:
            known = self._strip[(top - self._rows[0]) * zoom :]
            strip[: len(known)] = known
            first = self._rows[1]
        if first < bottom:
            size = image.width * zoom, (bottom - first) * zoom
            new = image.resize(size, Image.Resampling.BICUBIC, box=(0, first, image.width, bottom))
            strip[(first - top) * zoom :] = np.asarray(new).reshape(size[1], size[0], -1)
        self._strip, self._rows, self._zoom = strip, (top, bottom), zoom
        return strip


def own_zone(tile: Tile, width: int, height: int, input_size: int) -> tuple[float, float, float, float]:
    """The part of a tile that no neighbour sees better: x1, y1, x2, y2 in pixels of the input.

    It ends in the middle of what neighbours share, and a bit beyond, so that an object there is told by both and nobody
    misses it; at the photograph's own borders it ends with the tile.
    """
    region, inset = tile.region, tile.shared * (0.5 - BEYOND) * tile.zoom
    x2, y2 = region.width * tile.zoom, region.height * tile.zoom
    pad_x, pad_y = (input_size - x2) / 2, (input_size - y2) / 2  # of a photograph smaller than a tile
    return (
        0.0 if region.x1 == 0 else inset,
        0.0 if region.y1 == 0 else inset,
        float(input_size) if region.x2 == width else pad_x + x2 - inset,
        float(input_size) if region.y2 == height else pad_y + y2 - inset,
    )


def seen_better(boxes_xyxy: np.ndarray, tile: Tile, width: int, height: int) -> np.ndarray:
    """(N,) bool, the boxes that a border of their tile cuts while the tile beyond it shows all that this one does, and more.

    Objects longer than what neighbours share may be cut wherever they are seen; their boxes stay.

    Args:
        boxes_xyxy: (N, 4) corners in pixels of the photograph.
        tile: where they were found.
        width, height: of the photograph.
    """
    region, shared = tile.region, tile.shared
    x1, y1, x2, y2 = np.asarray(boxes_xyxy).T
    right = (x2 >= region.x2 - SEAM_PX) & (x1 >= region.x2 - shared) & (region.x2 < width)
    left = (x1 <= region.x1 + SEAM_PX) & (x2 <= region.x1 + shared) & (region.x1 > 0)
    below = (y2 >= region.y2 - SEAM_PX) & (y1 >= region.y2 - shared) & (region.y2 < height)
    above = (y1 <= region.y1 + SEAM_PX) & (y2 <= region.y1 + shared) & (region.y1 > 0)
    return right | left | below | above
