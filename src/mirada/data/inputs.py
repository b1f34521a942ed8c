"""From an annotated image to the records that a network is fed with: what to cut out, and the cutting.

`plan` decides with metadata only. `make_record` runs in workers, which import neither TensorFlow nor the stages.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.config import TASKS, DataConfig, PreprocessConfig
from mirada.data import images
from mirada.data.annotations import RawImage, Rejected, reject
from mirada.data.formats import FORMATS
from mirada.data.objects import crops
from mirada.data.pixels.depth import (
    SAMPLED_IMAGES,
    Deep,
    DepthUnknown,
    choose_range,
    describe_range,
    read_deep,
    sample_values,
)
from mirada.data.pixels.opening import UNREADABLE
from mirada.data.records import Example, frame, serialize
from mirada.data.splits.areas import by_area
from mirada.data.splits.shares import order_key
from mirada.data.tiles import Region, boxes_in, grid, hidden_in
from mirada.errors import MiradaError
from mirada.files import read_part


@dataclass(frozen=True)
class Settings:
    """How an image becomes a record; see `DataConfig`, `PreprocessConfig` and `TileConfig`.

    `hidden` are the names that its `Example.hidden` has.
    """

    task: str
    classes: tuple[str, ...]
    input_size: int
    fit: str
    channels: int
    enhance: str
    encoding: str
    quality: int
    tile_size: int
    min_visible: float
    depth_range: tuple[float, float] | None = None
    hidden: tuple[str, ...] = ()


def settings_of(
    config: PreprocessConfig,
    classes: Sequence[str],
    depth_range: tuple[float, float] | None = None,
    hidden: Iterable[str] = (),
) -> Settings:
    """How the stage's settings make records, the range that a deep image's values are scaled by, and flags to keep."""
    return Settings(
        task=config.data.task,
        classes=tuple(classes),
        input_size=config.input_size,
        fit=config.fit,
        channels=config.channels,
        enhance=config.enhance,
        encoding=config.encoding,
        quality=config.quality,
        tile_size=config.data.tile.size,
        min_visible=config.data.tile.min_visible,
        depth_range=depth_range,
        hidden=tuple(hidden),
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """One record to make: a whole image, a tile of it, or a crop that shows one of its objects.

    Attributes:
        image: with the boxes that count in this record.
        split: of the whole image.
        region: the part of the image.
        part: 'whole', 'tile' or 'crop'.
    """

    image: RawImage
    split: str
    region: Region
    part: str

    @property
    def image_id(self) -> str:
        """The image's source, and the corner of a tile, or both corners of a crop, as crops may share one."""
        region = self.region
        corners = {
            "whole": "",
            "tile": f"#{region.x1},{region.y1}",
            "crop": f"#{region.x1},{region.y1},{region.x2},{region.y2}",
        }
        return self.image.source + corners[self.part]


@dataclass(frozen=True)
class Record:
    """A record as a shard stores it, and what to count of it: label -> boxes that count, and boxes to ignore."""

    image_id: str
    split: str
    framed: bytes
    per_class: Mapping[str, int]
    ignored: int

    def count_into(self, counts: dict[str, Any]) -> None:
        """Add it to what `dataset.json` counts of its split."""
        counts["images"] += 1
        counts["ignored"] += self.ignored
        for label, number in self.per_class.items():
            counts["boxes"] += number
            counts["per_class"][label] += number


def read_image(item: Any, data: DataConfig) -> tuple[RawImage | Rejected, str]:
    """An annotated image, or why not, and the sha256 of the image's file.

    Args:
        item: from the listing of `data.format`.
        data: how to read it.
    """
    found = FORMATS[data.format].read(item, data)
    if isinstance(found, Rejected):
        return found, ""
    return found, hashlib.sha256(found.read()).hexdigest()


def plan(raw_images: Sequence[RawImage], splits: Mapping[str, str], data: DataConfig) -> list[Unit]:
    """List every record to make, image by image, row by row.

    Args:
        raw_images: all that is used, each fit for its task.
        splits: source -> split; not needed when `data.split.kind` is 'area'.
        data: its `task`, `tile` and `split`.
    """
    units: list[Unit] = []
    for image in raw_images:
        whole = Region(0, 0, image.width, image.height)
        if TASKS[data.task] == "object" and len(image.boxes) > 1:
            for box, window in crops(image.width, image.height, image.boxes):
                units.append(Unit(replace(image, boxes=(box,)), splits[image.source], window, "crop"))
            continue
        if data.tile.size == 0:
            units.append(Unit(image, splits[image.source], whole, "whole"))
            continue
        regions = {splits.get(image.source, "train"): whole}
        if data.split.kind == "area":
            regions = by_area(image.width, image.height, data.split, data.tile.size)
        for split, region in regions.items():
            overlap = data.tile.overlap if split == "train" else None
            units += [Unit(image, split, tile, "tile") for tile in grid(region, data.tile.size, overlap)]
    return units


def count_boxes(units: Sequence[Unit], min_visible: float) -> dict[str, Counter[str]]:
    """Boxes that count, split -> label -> number, without opening an image."""
    counts: dict[str, Counter[str]] = {"train": Counter(), "val": Counter(), "test": Counter()}
    for unit in units:
        _, labels, ignore = boxes_in(unit.region, unit.image.boxes, min_visible)
        counts[unit.split].update(label for label, ignored in zip(labels, ignore, strict=True) if not ignored)
    return counts


def make_record(unit: Unit, settings: Settings) -> Record | Rejected:
    """Decode, cut, scale and encode one record; an image that can't be decoded is rejected."""
    try:
        array, placement = _whole(unit, settings) if unit.part == "whole" else _part(unit, settings)
    except MiradaError as error:
        return reject_undecoded(unit.image.source, error)
    boxes, labels, ignore = boxes_in(unit.region, unit.image.boxes, settings.min_visible)
    boxes_xyxy = np.clip(images.boxes_to_input(boxes, placement), 0, settings.input_size)
    if TASKS[settings.task] == "label":
        boxes_xyxy[:] = (0, 0, settings.input_size, settings.input_size)  # with the padding
    example = Example(
        image_id=unit.image_id,
        image=images.encode(array, settings.encoding, settings.quality),
        boxes_xyxy=boxes_xyxy,
        labels=np.array([settings.classes.index(label) for label in labels], np.int64),
        ignore=ignore,
        source=unit.image.source,
        placement=placement,
        hidden=hidden_in(unit.region, unit.image.boxes, settings.hidden),
    )
    counting = Counter(label for label, ignored in zip(labels, ignore, strict=True) if not ignored)
    return Record(unit.image_id, unit.split, frame(serialize(example)), dict(counting), int(ignore.sum()))


def reject_undecoded(source: str, error: MiradaError) -> Rejected:
    """An image that can't be decoded, or of which nobody knows how to show its values."""
    if isinstance(error, DepthUnknown):
        return reject(source, "depth_unknown")
    return Rejected(source, "image_undecodable", "the image is cut short or damaged: copy or export it again")


def settle_depth(
    images: Sequence[RawImage], units: Sequence[Unit], data: DataConfig, map_in_workers: Callable[..., Iterable[Any]]
) -> tuple[tuple[float, float] | None, list[str]]:
    """The range that images of more than 8 bits are scaled by, and a line that says so.

    It is the one that was set, else that of what the training split shows, of at most SAMPLED_IMAGES records drawn by the
    split's seed. None where no image, or none of the training, is deep.

    Args:
        images: all that are used.
        units: as `plan` made them.
        data: its `depth_range` and `split`.
        map_in_workers: applies (function, items, what, name) as the stage does.
    """
    deep, seed = sum("depth_reduced" in image.repairs for image in images), data.split.seed
    if not deep and not data.depth_range:
        return None, []
    if data.depth_range:
        low, high = data.depth_range
        return (low, high), [describe_range((low, high), deep, by_hand=True)]
    found = [unit for unit in units if unit.split == "train" and "depth_reduced" in unit.image.repairs]
    sampled = sorted(found, key=lambda unit: order_key(seed, unit.image_id))[:SAMPLED_IMAGES]
    sampled.sort(key=lambda unit: unit.image.source)  # parts of a photograph follow one another: it is decoded once
    samples = map_in_workers(partial(sample_unit, seed=seed), sampled, "sampling depths", attrgetter("image_id"))
    chosen = choose_range(samples)
    return chosen, [describe_range(chosen, deep, by_hand=False)]


def sample_unit(unit: Unit, seed: int) -> np.ndarray:
    """Some values of what a record shows of a deep image; none where it can't be decoded."""
    region = unit.region
    try:
        deep = _deep_photograph(unit.image.path, unit.image.part, unit.image.transpose)
        return sample_values(deep, (region.x1, region.y1, region.x2, region.y2), seed, unit.image_id)
    except (MiradaError, *UNREADABLE):
        return np.zeros(0)


@lru_cache(maxsize=1)
def _deep_photograph(path: Path, part: tuple[int, int] | None, transpose: bool) -> Deep:
    """The decoded image, kept for its next part."""
    return read_deep(path if part is None else read_part(path, *part), transpose)


def _whole(unit: Unit, settings: Settings) -> tuple[np.ndarray, images.Placement]:
    """The whole image as the network's input."""
    image = unit.image
    full_size = (image.width, image.height)
    return images.load_input(
        image.content,
        settings.input_size,
        settings.fit,
        channels=settings.channels,
        enhance=settings.enhance,
        transpose=image.transpose,
        full_size=full_size,
        depth_range=settings.depth_range,
    )


def _part(unit: Unit, settings: Settings) -> tuple[np.ndarray, images.Placement]:
    """A part of an image as the network's input. All tiles are zoomed alike; a short one is padded."""
    region = unit.region
    photograph = _photograph(
        unit.image.path, unit.image.part, unit.image.transpose, settings.channels, settings.depth_range
    )
    part = photograph.crop((region.x1, region.y1, region.x2, region.y2))
    zoom = settings.input_size / settings.tile_size if unit.part == "tile" else None
    array, placement = images.fit_image(part, settings.input_size, settings.fit, enhance=settings.enhance, zoom=zoom)
    return array, (*placement[:4], float(region.x1), float(region.y1))


@lru_cache(maxsize=1)
def _photograph(
    path: Path,
    part: tuple[int, int] | None,
    transpose: bool,
    channels: int,
    depth_range: tuple[float, float] | None,
) -> Image.Image:
    """The decoded image, kept for its next part."""
    source = path if part is None else read_part(path, *part)
    return images.open_image(source, transpose, channels=channels, depth_range=depth_range)
