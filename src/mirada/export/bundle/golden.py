"""Golden vectors: test pictures, the tensors that they become and give, and what is found in them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.data.images import image_size, open_image
from mirada.data.records import Dataset
from mirada.data.tiles import Region, grid
from mirada.errors import MiradaError
from mirada.export.bundle.script import GOLDEN, PLAIN_SCORE, describe, read_pixels
from mirada.inference.card import Card
from mirada.inference.engine import Engine
from mirada.inference.litert import Model
from mirada.inference.prediction import Decoding
from mirada.inference.tiling import Viewing

SPLIT = "test"
MOST_PIXELS = 1024  # of a picture's longer side
_SEAM_TILES = 2.5  # sides of a tile that the picture which is looked at in tiles is wide and high


@dataclass
class Golden:
    """One picture and the answers to it.

    Attributes:
        name: such as '01'.
        png: the picture.
        view: how it is looked at, 'whole' or 'auto'.
        found: as `script.describe` tells it.
        tensors: 'input' as the network takes it, 'output/<name>' by the default kernels and
            'reference/<name>' by the reference kernels, which give the same bytes on every machine and in TensorFlow Lite
            Micro; empty for a picture that is looked at in tiles.
    """

    name: str
    png: bytes
    view: str
    found: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)


def make_golden(dataset: Dataset, path: Path, card: Card, count: int) -> list[Golden]:
    """Choose test pictures, evenly over the split, and ask the model.

    Where the model looks at photographs in tiles, the pictures are parts of them as large as a tile; one more, of several
    tiles, is looked at as the training did.

    Args:
        dataset: the processed data.
        path: the bundle's `.tflite`.
        card: the bundle's card.
        count: how many; fewer where the split holds fewer.

    Raises:
        MiradaError: the split is empty.
    """
    pictures = list(_choose(dataset, card, count))
    if not pictures:
        raise MiradaError(
            f"{dataset.folder} has no {SPLIT} photographs, which a bundle is tested with: preprocess again."
        )
    decoding = Decoding(score_floor=PLAIN_SCORE)
    engine, plain = Engine(path, card, decoding=decoding), Model(path, card, reference=True)
    golden = [_ask(engine, plain, f"{number:02}", png) for number, png in enumerate(pictures, 1)]
    if card.tile_size:
        png = _tiles_together(dataset, card)
        found = describe(engine.predict(png, viewing=Viewing("auto")), card)
        golden.append(Golden("tiles", png, "auto", found))
    return golden


def _ask(engine: Engine, plain: Model, name: str, png: bytes) -> Golden:
    card = engine.card
    found = describe(engine.predict(png, viewing=Viewing("whole")), card)
    pixels = read_pixels(png, card)
    tensors = {"input": engine.model.to_tensor(pixels)}
    for kind, model in (("output", engine.model), ("reference", plain)):
        model.set_image(pixels)
        model.invoke()
        tensors |= {f"{kind}/{output}": np.array(value) for output, value in model.read_tensors().items()}
    return Golden(name, png, "whole", found, tensors)


def _choose(dataset: Dataset, card: Card, count: int) -> Iterator[bytes]:
    """PNGs of photographs, or of parts of them as large as a tile."""
    places: list[tuple[int, Region | None]] = []
    for number, photograph in enumerate(dataset.whole_photographs(SPLIT)):
        if card.tile_size:
            width, height = image_size(photograph.image, transpose=True)
            places += [(number, region) for region in grid(Region(0, 0, width, height), card.tile_size, 0.0)]
        else:
            places.append((number, None))
    chosen = [
        places[i] for i in np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    ]
    for number, photograph in enumerate(dataset.whole_photographs(SPLIT)):
        regions = [region for at, region in chosen if at == number]
        if regions:
            image = open_image(photograph.image, True, channels=card.channels, depth_range=card.depth_range)
            yield from (_png(image, region) for region in regions)


def _tiles_together(dataset: Dataset, card: Card) -> bytes:
    """The middle of the first photograph, some tiles wide and high."""
    photograph = next(dataset.whole_photographs(SPLIT))
    image = open_image(photograph.image, True, channels=card.channels, depth_range=card.depth_range)
    width, height = (min(side, round(_SEAM_TILES * card.tile_size)) for side in image.size)
    x, y = (image.width - width) // 2, (image.height - height) // 2
    return _png(image, Region(x, y, x + width, y + height))


def _png(image: Image.Image, region: Region | None) -> bytes:
    if region is not None:
        image = image.crop((region.x1, region.y1, region.x2, region.y2))
    elif max(image.size) > MOST_PIXELS:
        image = image.copy()
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    image.info.clear()  # a profile or a date is no part of the picture
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_golden(golden: list[Golden], folder: Path) -> None:
    """`golden/`: a PNG and an .npz a picture, and expected.json."""
    place = folder / GOLDEN
    place.mkdir()
    told = []
    for one in golden:
        (place / f"{one.name}.png").write_bytes(one.png)
        tensors = f"{one.name}.npz" if one.tensors else None
        if tensors:
            np.savez_compressed(place / tensors, **one.tensors)  # type: ignore[arg-type]  # its own keyword is a bool
        told.append({"picture": f"{one.name}.png", "view": one.view, "tensors": tensors, "found": one.found})
    (place / "expected.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
