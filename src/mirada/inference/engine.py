"""From a photograph to what a model finds in it: the one road, for evaluation, the service, scripts and MLflow's model.

A photograph is looked at as the training saw the world: as a whole, or in tiles of the size that the card names, enlarged
as the training enlarged them. What tiles find is put together, so that an object on a seam is found once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirada.data.images import (
    Placement,
    boxes_from_input,
    brightness,
    fit_image,
    image_size,
    load_input,
    open_image,
    to_mode,
)
from mirada.data.records import Example
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model
from mirada.inference.maps import Outputs
from mirada.inference.merging import suppress_wide
from mirada.inference.prediction import Decoding, Detections, Localization, Prediction, best_score, decode_outputs
from mirada.inference.tiling import AS_TRAINED, Tile, TileCutter, Viewing, own_zone, plan_tiles, seen_better
from mirada.inference.variants import choose_variant, load_variants
from mirada.workers.crew import share_out

Photograph = Path | str | bytes | Image.Image | np.ndarray
"""A file, its bytes, a PIL image, or an (H, W, 3), (H, W, 1) or (H, W) uint8 array, RGB or grey; a grey one may hold deeper
numbers, as a thermal camera gives them."""

Job = tuple[Tile, np.ndarray, Placement]
Seen = tuple[Tile, Placement, Outputs, float]  # and the seconds of inference
TOGETHER = (
    16  # tiles whose outputs are decoded in a row: right after an inference the processor's caches hold no such code
)
CANDIDATES = 300  # best cells of a tile that reach suppression; a whole photograph keeps more
EVERYTHING = Decoding(max_detections=None)
TILE_DETECTIONS = 40  # of one tile that reach merging: its zone has no room for more
WHOLE_DETECTIONS = 100  # of a photograph that is looked at as a whole, where nobody says how many


@dataclass
class Answer:
    """What a model finds in one photograph.

    Attributes:
        prediction: by the card's task; its boxes are in pixels of the photograph as displayed, cut to it.
        width, height: of the photograph as displayed, in pixels.
        view: 'whole' or 'tiles'.
        tiles: parts that were looked at; 0 for the whole.
        left_out: detections that `max_detections` cut off.
        timings_ms: 'decode' (of the file), 'prepare' (cutting and scaling), 'inference', 'merge' (decoding of the outputs
            and putting together), summed over threads, and 'total', by the clock.
        placement: of the photograph in the network's input, where it was looked at as a whole.
        looks: best score, 0 without any, and mean of a sample of the pixels, 0 to 255, of each input of the network.
    """

    prediction: Prediction
    width: int
    height: int
    view: str
    tiles: int
    left_out: int
    timings_ms: dict[str, float]
    placement: Placement | None = None
    looks: list[tuple[float, float]] = field(default_factory=list)


class Engine:
    """A `.tflite` variant with its card, ready for photographs. One thread at a time may call it.

    Args:
        path: the variant's file.
        card: of the model.
        viewing: whole or in tiles.
        decoding: what is kept of the detections; without `max_detections` 100 in a whole view, all that tiles find.
        threads: for a whole photograph threads of one inference, for tiles inferences at a time.
        gate: entered around each inference: a lock or semaphore that several engines share.

    Attributes:
        model: the variant, for inputs of the network.

    Raises:
        MiradaError: the file is absent or damaged, or does not fit the card.
    """

    def __init__(
        self,
        path: str | Path,
        card: Card,
        viewing: Viewing = AS_TRAINED,
        decoding: Decoding = EVERYTHING,
        threads: int = 1,
        gate: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.path, self.card, self.viewing, self.decoding, self.threads = Path(path), card, viewing, decoding, threads
        self._gate = gate or nullcontext()
        self.model = Model(path, card, threads)
        self._models: list[Model] = []  # for tiles

    def predict(
        self,
        photograph: Photograph,
        decoding: Decoding | None = None,
        viewing: Viewing | None = None,
        size: tuple[int, int] | None = None,
    ) -> Answer:
        """What the model finds.

        Args:
            photograph: a file, bytes, a PIL image or an array.
            decoding, viewing: in the place of the engine's own.
            size: width and height of the photograph as displayed, where the caller has read the header already.

        Raises:
            MiradaError: it can't be decoded, or is looked at in a way that the task has no use for.
        """
        started, decoding = time.perf_counter(), decoding or self.decoding
        source, size = _open_header(photograph, size)
        tiles = plan_tiles(self.card, viewing or self.viewing, *size)
        answer = self._by_tiles(source, size, tiles, decoding) if tiles else self._at_once(source, size, decoding)
        answer.timings_ms["total"] = time.perf_counter() - started
        answer.timings_ms = {name: round(1000 * s, 3) for name, s in answer.timings_ms.items()}
        return answer

    def predict_many(self, photographs: Sequence[Photograph]) -> Iterator[Answer]:
        """The answers one after the other, in the order of the photographs."""
        return map(self.predict, photographs)

    def _at_once(self, source: Path | bytes | Image.Image, size: tuple[int, int], decoding: Decoding) -> Answer:
        card, started = self.card, time.perf_counter()
        if isinstance(source, Image.Image):
            image = to_mode(source, card.channels, card.depth_range)
            pixels, placement = fit_image(image, card.input_size, card.fit, enhance=card.enhance)
        else:
            pixels, placement = load_input(
                source, card.input_size, card.fit, channels=card.channels, enhance=card.enhance, transpose=True,
                full_size=size, depth_range=card.depth_range,
            )  # fmt: skip
        decoded = time.perf_counter()
        outputs, seconds = self._infer(self.model, pixels)
        ran = time.perf_counter()
        found = decode_outputs(outputs, card, replace(decoding, max_detections=None))
        most = WHOLE_DETECTIONS if decoding.max_detections is None else decoding.max_detections
        found, left_out = _cut(in_photograph(found, placement, size), most)
        merged = time.perf_counter()
        timings = {"decode": decoded - started, "prepare": 0.0, "inference": seconds, "merge": merged - ran}
        return Answer(found, *size, "whole", 0, left_out, timings, placement, [(best_score(found), brightness(pixels))])

    def _by_tiles(
        self, source: Path | bytes | Image.Image, size: tuple[int, int], tiles: list[Tile], decoding: Decoding
    ) -> Answer:
        started, card = time.perf_counter(), self.card
        if isinstance(source, Image.Image):
            image = to_mode(source, card.channels, card.depth_range)
        else:
            image = open_image(source, True, channels=card.channels, depth_range=card.depth_range)
        cutter = TileCutter(image, card.input_size, card.enhance)
        spent = {"decode": time.perf_counter() - started, "prepare": 0.0, "inference": 0.0, "merge": 0.0}
        parts: list[Detections] = []
        within = replace(decoding, max_detections=TILE_DETECTIONS, candidates=CANDIDATES)
        bright: list[float] = []
        seen = self._see(self._cut_tiles(cutter, tiles, spent, bright))
        while group := list(islice(seen, TOGETHER)):
            begun = time.perf_counter()
            parts += [self._find(tile, placement, outputs, size, within) for tile, placement, outputs, _ in group]
            spent["merge"] += time.perf_counter() - begun
            spent["inference"] += sum(seconds for *_, seconds in group)
        merging = time.perf_counter()
        every = Detections(
            np.concatenate([part.boxes_xyxy for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )
        kept = suppress_wide(every.boxes_xyxy, every.scores, every.labels, decoding.nms_iou)
        found, left_out = _cut(every[kept], decoding.max_detections)
        spent["merge"] += time.perf_counter() - merging
        looks = list(zip(map(best_score, parts), bright, strict=True))
        return Answer(found, *size, "tiles", len(tiles), left_out, spent, looks=looks)

    @staticmethod
    def _cut_tiles(
        cutter: TileCutter, tiles: list[Tile], spent: dict[str, float], bright: list[float]
    ) -> Iterator[Job]:
        for tile in tiles:
            begun = time.perf_counter()
            pixels, placement = cutter.cut(tile)
            bright.append(brightness(pixels))
            spent["prepare"] += time.perf_counter() - begun
            yield tile, pixels, placement

    def _find(
        self, tile: Tile, placement: Placement, outputs: Outputs, size: tuple[int, int], within: Decoding
    ) -> Detections:
        """What a tile's outputs tell, in pixels of the photograph."""
        within = replace(within, zone=own_zone(tile, *size, self.card.input_size))
        found = in_photograph(decode_outputs(outputs, self.card, within), placement, size)
        assert isinstance(found, Detections)
        return found[~seen_better(found.boxes_xyxy, tile, *size)]

    def _infer(self, model: Model, pixels: np.ndarray) -> tuple[Outputs, float]:
        model.set_image(pixels)
        with self._gate:
            begun = time.perf_counter()
            model.invoke()
            seconds = time.perf_counter() - begun
        return model.read_codes(), seconds

    def _see(self, jobs: Iterator[Job]) -> Iterator[Seen]:
        """Run the jobs through as many models as there are threads, in their order; what waits is bounded."""
        models = [self.model] if self.threads == 1 else self._models
        while len(models) < self.threads:
            models.append(Model(self.path, self.card))
        return share_out(models, lambda model, job: (job[0], job[2], *self._infer(model, job[1])), jobs)


def open_engine(
    folder: str | Path,
    variant: str | None = None,
    *,
    viewing: Viewing = AS_TRAINED,
    decoding: Decoding = EVERYTHING,
    threads: int = 1,
) -> Engine:
    """A variant of a model, from the folder that quantize wrote.

    The card, `model.json`, lies there or in `train` beside it, where the pipeline leaves it.

    Args:
        folder: with `variants.json`.
        variant: its name; None: 'best' where there is one, else 'int8', else the first.
        viewing, decoding, threads: as `Engine` has them.

    Raises:
        MiradaError: a stage has not run, a file is damaged, or there is no such variant.
    """
    variants = load_variants(Path(folder))
    name = choose_variant(list(variants), variant)
    places = (Path(folder), Path(folder).parent / "train")
    card = load_card(next((place for place in places if (place / "model.json").is_file()), places[-1]))
    return Engine(variants[name], card, viewing, decoding, threads)


def predict_photographs(
    engines: Mapping[str, Engine], photographs: Iterable[Example], advance: Callable[[], object] = lambda: None
) -> tuple[list[Example], dict[str, list[Any]], dict[str, list[Answer]]]:
    """Show stored photographs to several engines, each to all before the next.

    Args:
        engines: name -> engine; at least one.
        photographs: as `Dataset.whole_photographs` gives them.
        advance: called after each photograph.

    Returns:
        The photographs without their pixels, name -> predictions in the same order, and name -> whole answers.
    """
    truths: list[Example] = []
    answers: dict[str, list[Answer]] = {name: [] for name in engines}
    for photograph in photographs:
        for name, engine in engines.items():
            answers[name].append(engine.predict(photograph.image))
        truths.append(replace(photograph, image=b""))
        advance()
    predictions = {name: [answer.prediction for answer in row] for name, row in answers.items()}
    return truths, predictions, answers


def in_photograph(found: Prediction, placement: Placement, size: tuple[int, int]) -> Prediction:
    """A prediction in pixels of the network's input as one in pixels of the photograph, boxes cut to it."""
    limits = np.array([*size, *size], np.float32)
    if isinstance(found, Detections):
        boxes = np.clip(boxes_from_input(found.boxes_xyxy, placement), 0, limits)
        return Detections(boxes, found.scores, found.labels)
    if isinstance(found, Localization):
        box = boxes_from_input(found.box_xyxy[None], placement)[0]
        return replace(found, box_xyxy=np.clip(box, 0, limits), scale=placement[:2])
    return found


def _cut(found: Prediction, most: int | None) -> tuple[Prediction, int]:
    """At most so many detections, the best, and how many were left out."""
    if not isinstance(found, Detections) or most is None or len(found) <= most:
        return found, 0
    return found[:most], len(found) - most


def _open_header(
    photograph: Photograph, size: tuple[int, int] | None = None
) -> tuple[Path | bytes | Image.Image, tuple[int, int]]:
    """What to decode, and its width and height as displayed."""
    if isinstance(photograph, np.ndarray):
        photograph = _picture_of(photograph)
    if isinstance(photograph, Image.Image):
        return photograph, photograph.size
    source = Path(photograph) if isinstance(photograph, str) else photograph
    return source, size or image_size(source, transpose=True)


def _picture_of(array: np.ndarray) -> Image.Image:
    """An array as an image, a deep grey one in Pillow's mode for its numbers."""
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    deep = {"u2": np.uint16, "i2": np.int32, "i4": np.int32, "f4": np.float32, "f8": np.float32}
    if pixels.ndim == 2 and pixels.dtype.str[1:] in deep:
        return Image.fromarray(np.ascontiguousarray(pixels, deep[pixels.dtype.str[1:]]))
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise MiradaError(
            f"an array of shape {array.shape} and type {array.dtype} is no photograph: give uint8 of shape "
            "(height, width, 3) or (height, width)."
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
