"""Splits that cut each photograph, so that one is enough to train and to test."""

from __future__ import annotations

from mirada.config import SplitConfig
from mirada.data.tiles import Region


def by_area(width: int, height: int, config: SplitConfig, tile_size: int) -> dict[str, Region]:
    """Cut one image into regions from left to right: train, val, test. No pixel is in two.

    A region that would be narrower than half a tile shows cut objects only; train gets it.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        config: `val` and `test` are shares of the width.
        tile_size: side of a tile in pixels.

    Returns:
        split -> region, only those that are.
    """
    widths = {split: round(width * share) for split, share in (("val", config.val), ("test", config.test))}
    widths = {split: size for split, size in widths.items() if size >= max(1, tile_size / 2)}
    start = width - sum(widths.values())
    regions = {"train": Region(0, 0, start, height)}
    for split, size in widths.items():
        regions[split] = Region(start, 0, start + size, height)
        start += size
    return {split: region for split, region in regions.items() if region.width > 0}
