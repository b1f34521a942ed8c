"""From the bytes of an image file to what the API says of it, by the engine that evaluation and scripts use, too.

Numbers are not rounded: what `evaluate` decodes and what the service answers are the same bits.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mirada.config import LimitsConfig
from mirada.data.pixels.depth import DepthUnknown
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.engine import Answer, Engine
from mirada.inference.prediction import STANDARD, Classification, Decoding, Detections, Localization
from mirada.inference.tiling import AS_TRAINED, Viewing, count_tiles, tile_side
from mirada.inference.usual import traits_of
from mirada.service.model.bundle import Bundle
from mirada.service.problems import Refusal
from mirada.service.safety import check_image, unreadable


@dataclass
class Found:
    """What a variant finds in one image.

    Attributes:
        width, height: of the image as displayed, in pixels.
        content: as the API gives it: 'view', 'tiles', 'left_out', 'detections' and, but for detection, 'probabilities'.
        timings_ms: as `engine.Answer` has them.
        traits: as `usual.traits_of`, of an image that was looked at as those of validation; else none.
    """

    width: int
    height: int
    content: dict[str, Any]
    timings_ms: dict[str, float]
    traits: list[dict[str, float]] = field(default_factory=list)


class Predictor:
    """A model's variants, each opened once a thread, at its first use there.

    Args:
        bundle: the model.
        limits: of an image and of the answer.
        inferences: so many may run at a time; other threads decode and encode meanwhile. It is entered tile by tile, so
            that a photograph of many tiles lets others in between. None: as many as there are threads.
    """

    def __init__(
        self, bundle: Bundle, limits: LimitsConfig, inferences: AbstractContextManager[Any] | None = None
    ) -> None:
        self.bundle, self.limits = bundle, limits
        self._inferences = inferences
        self._local = threading.local()

    def check_variant(self, name: str) -> None:
        """Refuse a variant that the model lacks.

        Raises:
            Refusal: 422, there is none of that name.
        """
        if name not in self.bundle.variants:
            known = ", ".join(self.bundle.variants)
            raise Refusal(422, f"There is no variant of that name: choose one of {known}.")

    def check_viewing(self, viewing: Viewing) -> None:
        """Refuse a way to look that the model has no use for.

        Raises:
            Refusal: 422.
        """
        try:
            tile_side(self.bundle.card, viewing)
        except MiradaError as error:
            raise Refusal(422, str(error)) from error

    def count_tiles(self, size: tuple[int, int], viewing: Viewing) -> int:
        """Tiles of an image of so many pixels; 0 where it is looked at as a whole.

        Raises:
            Refusal: 422, there are more than there may be, or as `check_viewing`.
        """
        self.check_viewing(viewing)
        tiles, most = count_tiles(self.bundle.card, viewing, *size), self.limits.tiles
        if tiles > most:
            raise Refusal(422, f"The image would be cut into {tiles} tiles of at most {most}: ask for larger ones.")
        return tiles

    def open_variant(self, name: str) -> Engine:
        """The variant, open in this thread.

        Raises:
            Refusal: 422, there is none of that name.
        """
        self.check_variant(name)
        opened: dict[str, Engine] = self._local.__dict__.setdefault("engines", {})
        if name not in opened:
            opened[name] = Engine(self.bundle.variants[name], self.bundle.card, gate=self._inferences)
        return opened[name]

    def warm_up(self) -> None:
        """Open every variant in this thread and run it once on nothing: a first inference takes longer than a later one."""
        side, channels = self.bundle.card.input_size, self.bundle.card.channels
        for name in self.bundle.variants:
            model = self.open_variant(name).model
            model.set_image(np.zeros((side, side, channels), np.uint8))
            model.invoke()

    def predict(self, data: bytes, variant: str, min_score: float, viewing: Viewing = AS_TRAINED) -> Found:
        """What a variant finds in an image file.

        Args:
            data: the file's bytes.
            variant: its name.
            min_score: detections below it are left out.
            viewing: whole or in tiles.

        Raises:
            Refusal: the image, the variant or the way to look is refused.
        """
        size = check_image(data, self.limits)
        self.count_tiles(size, viewing)
        engine = self.open_variant(variant)
        # What scores less can't push out what scores more, so nothing changes but the time.
        floor = max(min_score, STANDARD.score_floor)
        decoding = Decoding(score_floor=floor, max_detections=self.limits.max_detections)
        try:
            answer = engine.predict(data, decoding, viewing, size)
        except DepthUnknown as error:
            raise Refusal(
                422, "The image holds floats, whose range the model doesn't know: send it with 8 bits."
            ) from error
        except (MiradaError, MemoryError) as error:
            raise unreadable() from error
        card = self.bundle.card
        usual = viewing == AS_TRAINED and floor <= max(card.min_score, STANDARD.score_floor)
        traits = traits_of(answer, card.min_score if card.task == "detection" else 0.0) if usual else []
        return Found(*size, api_answer(answer, card, min_score), answer.timings_ms, traits)


def api_answer(answer: Answer, card: Card, min_score: float) -> dict[str, Any]:
    """A prediction as the API gives it.

    Args:
        answer: the engine's.
        card: the model's card.
        min_score: detections below it are left out.

    Returns:
        'view', 'tiles', 'left_out'; 'detections': [{'label', 'score', 'box'}], best first, boxes [x1, y1, x2, y2] in pixels
        of the image as displayed, None for a classification; 'probabilities': [{'label', 'score'}], of a classification
        or localization.
    """
    content: dict[str, Any] = {"view": answer.view, "tiles": answer.tiles, "left_out": answer.left_out}
    found = answer.prediction
    if isinstance(found, Detections):
        found = found.at_least(min_score)
        rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
        detections = [{"label": card.labels[label], "score": score, "box": box} for label, score, box in rows]
        return content | {"detections": detections}
    assert isinstance(found, Classification)
    box = found.box_xyxy.tolist() if isinstance(found, Localization) else None
    pairs = zip(card.labels, found.probabilities.tolist(), strict=True)
    return content | {
        "detections": [{"label": card.labels[found.label], "score": found.probability, "box": box}],
        "probabilities": [{"label": label, "score": score} for label, score in pairs],
    }
