"""The model that MLflow loads and serves: image files in, labels and boxes out, with LiteRT and without TensorFlow.

MLflow runs this file itself ('models from code'), with the modules of `mirada` that it needs lying beside it. An image is
the bytes of a file, these bytes in base64, or an (H, W, 3) RGB or (H, W) grey uint8 array. It is taken whole: a model
trained on tiles expects images as large as those tiles.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from mirada.data.images import Placement, boxes_from_input, encode, image_size, load_input
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model
from mirada.inference.prediction import Classification, Detections, Localization

_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}\s*")  # no image file looks like this


class ServedModel(PythonModel):
    """A `.tflite` variant and its card."""

    def load_context(self, context: Any) -> None:
        """Read the card and open the variant, which are the artifacts 'card' and 'variant'."""
        self._card = load_card(Path(context.artifacts["card"]).parent)
        self._model = Model(context.artifacts["variant"], self._card)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[dict]:
        """What the model finds in each image.

        Args:
            context: not used.
            model_input: one column, one image a row; or a list of images.
            params: `min_score`, detections below which are left out, 0..1.

        Returns:
            One dictionary an image, with boxes [x1, y1, x2, y2] in pixels of the image as displayed. Detection:
            {"detections": [{"label", "score", "box"}]}, best first. Classification: {"label", "probability",
            "probabilities": {label: probability}}; localization: that and "box".

        Raises:
            MiradaError: an image can't be decoded.
        """
        images = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input
        min_score = float((params or {}).get("min_score", 0.0))
        return [self._predict(image, number, min_score) for number, image in enumerate(images)]

    def _predict(self, image: Any, number: int, min_score: float) -> dict[str, Any]:
        card, data = self._card, read_bytes(image, number)
        pixels, placement = load_input(
            data, card.input_size, card.fit, channels=card.channels, enhance=card.enhance, transpose=True
        )
        found = self._model.find(pixels)
        return served_answer(found, card, placement, image_size(data, transpose=True), min_score)


def read_bytes(image: Any, number: int) -> bytes:
    """The bytes of one image's file.

    Args:
        image: bytes, base64 text, or an (H, W, 3), (H, W, 1) or (H, W) uint8 array.
        number: which of the images it is, from 0, for the message.

    Raises:
        MiradaError: it is none of these.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        if not _BASE64.fullmatch(bytes(image)):
            return bytes(image)
        image = bytes(image).decode("ascii")  # MLflow's server hands the text of {"inputs": [...]} on as bytes
    if isinstance(image, str):
        try:
            return base64.b64decode("".join(image.split()), validate=True)
        except ValueError as error:
            raise MiradaError(
                f"image {number} is no base64 text ({error}): send the file's bytes in base64."
            ) from error
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        array = image if image.ndim == 3 else image[..., None]
        if array.size and array.shape[-1] in (1, 3):
            return encode(array, "png")
    raise MiradaError(
        f"image {number} is a {type(image).__name__}: give the bytes of an image file, these in base64, or a uint8 array of "
        "shape (height, width, 3)."
    )


def served_answer(
    found: Any, card: Card, placement: Placement, size: tuple[int, int], min_score: float = 0.0
) -> dict[str, Any]:
    """One image's prediction in plain words and numbers, as `ServedModel.predict` returns it.

    Args:
        found: what `decode_outputs` gave.
        card: the model's card.
        placement: of the image in the network's input.
        size: width and height of the image in pixels.
        min_score: detections below it are left out.
    """

    def boxes(boxes_xyxy: np.ndarray) -> list[list[float]]:
        corners = boxes_from_input(boxes_xyxy, placement).astype(np.float64)
        return np.clip(corners, 0, np.array([*size, *size])).round(2).tolist()

    if isinstance(found, Detections):
        found = found.at_least(min_score)
        triples = zip(found.labels, found.scores, boxes(found.boxes_xyxy), strict=True)
        rows = [{"label": card.labels[label], "score": round(float(s), 4), "box": box} for label, s, box in triples]
        return {"detections": rows}
    assert isinstance(found, Classification)
    probabilities = {name: round(float(p), 6) for name, p in zip(card.labels, found.probabilities, strict=True)}
    answer = {"label": card.labels[found.label], "probability": round(found.probability, 6)}
    answer["probabilities"] = probabilities
    if isinstance(found, Localization):
        answer["box"] = boxes(found.box_xyxy[None])[0]
    return answer


set_model(ServedModel())
