"""From the bytes of an image file to what the model finds in it: the same functions as training and evaluation.

Numbers are not rounded: what `evaluate` decodes and what the service answers are the same bits.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirada.config import LimitsConfig
from mirada.data.images import Placement, boxes_from_input, load_input
from mirada.errors import MiradaError
from mirada.inference.card import Card
from mirada.inference.litert import Model
from mirada.inference.prediction import STANDARD, Classification, Decoding, Detections, Localization, decode_outputs
from mirada.service.model.bundle import Bundle
from mirada.service.problems import Refusal
from mirada.service.safety import check_image, unreadable


@dataclass
class Found:
    """What a variant finds in one image.

    Attributes:
        width, height: of the image as displayed, in pixels.
        content: 'detections' and, but for detection, 'probabilities', as the API gives them.
        timings_ms: 'decode' (with scaling to the input), 'model', 'postprocess' and 'total'.
    """

    width: int
    height: int
    content: dict[str, Any]
    timings_ms: dict[str, float]


class Predictor:
    """A model's variants, each opened once a thread, at its first use there.

    Args:
        bundle: the model.
        limits: of an image.
        inferences: so many may run at a time; other threads decode and encode meanwhile. None: as many as there are threads.
    """

    def __init__(
        self, bundle: Bundle, limits: LimitsConfig, inferences: AbstractContextManager[Any] | None = None
    ) -> None:
        self.bundle, self.limits = bundle, limits
        self._inferences = inferences or nullcontext()
        self._local = threading.local()

    def check_variant(self, name: str) -> None:
        """Refuse a variant that the model lacks.

        Raises:
            Refusal: 422, there is none of that name.
        """
        if name not in self.bundle.variants:
            known = ", ".join(self.bundle.variants)
            raise Refusal(422, f"There is no variant of that name: choose one of {known}.")

    def open_variant(self, name: str) -> Model:
        """The variant, open in this thread.

        Raises:
            Refusal: 422, there is none of that name.
        """
        self.check_variant(name)
        opened: dict[str, Model] = self._local.__dict__.setdefault("models", {})
        if name not in opened:
            opened[name] = Model(self.bundle.variants[name], self.bundle.card)
        return opened[name]

    def predict(self, data: bytes, variant: str, min_score: float) -> Found:
        """What a variant finds in an image file.

        Args:
            data: the file's bytes.
            variant: its name.
            min_score: detections below it are left out.

        Raises:
            Refusal: the image or the variant is refused.
        """
        card, started = self.bundle.card, time.perf_counter()
        size = check_image(data, self.limits)
        model = self.open_variant(variant)
        try:
            pixels, placement = load_input(
                data,
                card.input_size,
                card.fit,
                channels=card.channels,
                enhance=card.enhance,
                transpose=True,
                full_size=size,
            )
        except (MiradaError, MemoryError) as error:
            raise unreadable() from error
        model.set_image(pixels)
        decoded = time.perf_counter()
        with self._inferences:
            begun = time.perf_counter()
            model.invoke()
            ran = time.perf_counter()
        outputs = model.read()
        # What scores less can't push out what scores more, so nothing changes but the time.
        floor = Decoding(score_floor=max(min_score, STANDARD.score_floor))
        content = api_answer(decode_outputs(outputs, card, floor), card, placement, size, min_score)
        ended = time.perf_counter()
        spans = {"decode": decoded - started, "model": ran - begun, "postprocess": ended - ran}
        timings = {name: round(1000 * seconds, 3) for name, seconds in (spans | {"total": ended - started}).items()}
        return Found(*size, content, timings)


def api_answer(found: Any, card: Card, placement: Placement, size: tuple[int, int], min_score: float) -> dict[str, Any]:
    """A prediction as the API gives it.

    Args:
        found: what `decode_outputs` gave.
        card: the model's card.
        placement: of the image in the network's input.
        size: width and height of the image in pixels.
        min_score: detections below it are left out.

    Returns:
        'detections': [{'label', 'score', 'box'}], best first, boxes [x1, y1, x2, y2] in pixels of the image as displayed,
        None for a classification; 'probabilities': [{'label', 'score'}], of a classification or localization.
    """

    def boxes(boxes_xyxy: np.ndarray) -> list[list[float]]:
        corners = boxes_from_input(boxes_xyxy, placement).astype(np.float64)
        return np.clip(corners, 0, np.array([*size, *size])).tolist()

    if isinstance(found, Detections):
        found = found.at_least(min_score)
        rows = zip(found.labels.tolist(), found.scores.tolist(), boxes(found.boxes_xyxy), strict=True)
        return {"detections": [{"label": card.labels[label], "score": score, "box": box} for label, score, box in rows]}
    assert isinstance(found, Classification)
    box = boxes(found.box_xyxy[None])[0] if isinstance(found, Localization) else None
    pairs = zip(card.labels, found.probabilities.tolist(), strict=True)
    return {
        "detections": [{"label": card.labels[found.label], "score": found.probability, "box": box}],
        "probabilities": [{"label": label, "score": score} for label, score in pairs],
    }
