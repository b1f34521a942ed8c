"""The photographs that judge a model: those of val and test as they are, beside the shards of the network's inputs.

A user gives a model a photograph, not a tile of it or the network's square, so this is what evaluation measures on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.images import encode, open_image
from mirada.data.inputs import Record, Settings, Unit, plan, reject_undecoded
from mirada.data.pixels.opening import open_picture
from mirada.data.records import Example, frame, serialize
from mirada.data.splits.areas import by_area
from mirada.data.tiles import Region, boxes_in, hidden_in
from mirada.errors import MiradaError

JUDGED = ("val", "test")


def plan_photographs(raw_images: Sequence[RawImage], splits: Mapping[str, str], data: DataConfig) -> list[Unit]:
    """The photographs of val and test, image by image; where photographs are split by area, each one's part.

    Args:
        raw_images, splits, data: as for `inputs.plan`.
    """
    if data.tile.size == 0:
        return [unit for unit in plan(raw_images, splits, data) if unit.split in JUDGED]
    units = []
    for image in raw_images:
        regions = {splits.get(image.source, "train"): Region(0, 0, image.width, image.height)}
        if data.split.kind == "area":
            regions = by_area(image.width, image.height, data.split, data.tile.size)
        for split, region in regions.items():
            whole = (region.width, region.height) == (image.width, image.height)
            units += [Unit(image, split, region, "whole" if whole else "crop")] if split in JUDGED else []
    return units


def make_photograph(unit: Unit, settings: Settings) -> Record | Rejected:
    """A photograph with its truth, in its own pixels; an image that can't be decoded is rejected.

    A whole one keeps the bytes of its file; a part of one, and one whose labels contradict its EXIF orientation, becomes a
    PNG.
    """
    image, region = unit.image, unit.region
    try:
        content = _bytes_of(unit, settings.depth_range)
    except MiradaError as error:
        return reject_undecoded(image.source, error)
    boxes, labels, ignore = boxes_in(region, image.boxes, settings.min_visible)
    corner = np.array([region.x1, region.y1, region.x1, region.y1], np.float32)
    example = Example(
        image_id=unit.image_id,
        image=content,
        boxes_xyxy=boxes - corner,
        labels=np.array([settings.classes.index(label) for label in labels], np.int64),
        ignore=ignore,
        source=image.source,
        placement=(1.0, 1.0, 0.0, 0.0, float(region.x1), float(region.y1)),
        hidden=hidden_in(region, image.boxes, settings.hidden),
    )
    return Record(unit.image_id, unit.split, frame(serialize(example)), {}, 0)


def _bytes_of(unit: Unit, depth_range: Sequence[float] | None) -> bytes:
    image, region = unit.image, unit.region
    if unit.part == "whole" and (image.transpose or _is_upright(unit)):
        return image.read()
    photograph = open_image(image.content, image.transpose, depth_range=depth_range)
    return encode(np.asarray(photograph.crop((region.x1, region.y1, region.x2, region.y2))), "png")


def _is_upright(unit: Unit) -> bool:
    with open_picture(unit.image.content) as opened:
        return opened.getexif().get(0x0112, 1) == 1
