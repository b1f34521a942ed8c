"""The model that MLflow loads and serves: image files in, labels and boxes out, with LiteRT and without TensorFlow.

MLflow runs this file itself ('models from code'), with the modules of `mirada` that it needs lying beside it. An image is
the bytes of a file, these bytes in base64, or an (H, W, 3) RGB or (H, W) grey uint8 array, as large as the photograph is:
a model trained on tiles cuts it as the training did.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from mirada.data.images import encode
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.engine import Engine
from mirada.inference.prediction import STANDARD, Classification, Decoding, Detections, Localization, Prediction
from mirada.inference.tiling import AS_TRAINED, Viewing

_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}\s*")  # no image file looks like this


class ServedModel(PythonModel):
    """A `.tflite` variant and its card."""

    def load_context(self, context: Any) -> None:
        """Read the card and open the variant, which are the artifacts 'card' and 'variant'."""
        card = load_card(Path(context.artifacts["card"]).parent)
        self._engine = Engine(context.artifacts["variant"], card)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[dict]:
        """What the model finds in each image.

        Args:
            context: not used.
            model_input: one column, one image a row; or a list of images.
            params: `min_score`, detections below which are left out, 0..1; `view`, 'auto' (as the training did), 'whole' or
                'tiles'; `tile`, side of a tile in pixels of the image; `overlap`, share of it that neighbours share,
                0..0.8. What is absent or None, the model decides.

        Returns:
            One dictionary an image, with boxes [x1, y1, x2, y2] in pixels of the image as displayed. Detection:
            {"detections": [{"label", "score", "box"}]}, best first. Classification: {"label", "probability",
            "probabilities": {label: probability}}; localization: that and "box".

        Raises:
            MiradaError: an image can't be decoded, or a parameter is out of range.
        """
        images = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input
        engine, viewing = self._engine, read_viewing(params or {})
        wanted = (params or {}).get("min_score")
        min_score = float(engine.card.min_score if wanted is None else wanted)
        # Nothing is cut off: an answer has no place to say so.
        decoding = Decoding(score_floor=max(min_score, STANDARD.score_floor), max_detections=None)
        answers = []
        for number, image in enumerate(images):
            found = engine.predict(read_bytes(image, number), decoding, viewing).prediction
            answers.append(served_answer(found, engine.card, min_score))
        return answers


def read_viewing(params: Mapping[str, Any]) -> Viewing:
    """How images are to be looked at.

    Raises:
        MiradaError: a value is out of range.
    """
    tile, overlap = params.get("tile"), params.get("overlap")
    return Viewing(
        params.get("view") or AS_TRAINED.view,
        None if tile is None else int(tile),
        None if overlap is None else float(overlap),
    )


def read_bytes(image: Any, number: int) -> bytes:
    """The bytes of one image's file.

    Args:
        image: bytes, base64 text, or an (H, W, 3), (H, W, 1) or (H, W) uint8 array, the last two of uint16 too.
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
    if isinstance(image, np.ndarray) and image.dtype in (np.uint8, np.uint16) and image.ndim in (2, 3):
        array = image if image.ndim == 3 else image[..., None]
        if array.size and array.shape[-1] in ((1, 3) if array.dtype == np.uint8 else (1,)):
            return encode(array, "png")
    raise MiradaError(
        f"image {number} is a {type(image).__name__}: give the bytes of an image file, these in base64, or a uint8 array of "
        "shape (height, width, 3)."
    )


def served_answer(found: Prediction, card: Card, min_score: float = 0.0) -> dict[str, Any]:
    """One image's prediction in plain words and numbers, as `ServedModel.predict` returns it.

    Args:
        found: the engine's, boxes in pixels of the image.
        card: the model's card.
        min_score: detections below it are left out.
    """

    def boxes(boxes_xyxy: np.ndarray) -> list[list[float]]:
        return boxes_xyxy.astype(np.float64).round(2).tolist()

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
