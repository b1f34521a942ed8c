"""Ways to run a model that tell what they find and no tensors: LiteRT with the decoding in the file, and MediaPipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mirada.export.bundle.postprocess import DETECTED
from mirada.export.comparing import Answering
from mirada.export.runtimes import REFERENCE, XNNPACK, Runtime
from mirada.inference.card import Card
from mirada.inference.prediction import Classification, Detections, Prediction, choose_label


def ask_litert(path: Path, card: Card, inputs: np.ndarray) -> list[Answering]:
    """LiteRT with a file that `add_postprocess` changed, by the reference kernels and with XNNPACK.

    Args:
        path: the file.
        card: of the model.
        inputs: (N, S, S, C) images as the file takes them.
    """

    def ask(runtime: Runtime, kernels: str) -> Answering:
        def find() -> list[Prediction]:
            return read_answers(runtime.run(path, inputs), card)

        return Answering(
            f"{runtime.name}_in_graph", f"LiteRT, decoded in the file, {kernels}", runtime.name, 0.01, 1e-5, find
        )

    return [ask(REFERENCE, "reference kernels"), ask(XNNPACK, "XNNPACK")]


def read_answers(outputs: Sequence[np.ndarray], card: Card) -> list[Prediction]:
    """What the outputs of such a file say of each image: boxes, labels, scores and their number, or probabilities."""
    if len(outputs) == len(DETECTED):
        boxes, labels, scores, counts = outputs
        corners = boxes[..., [1, 0, 3, 2]] * np.float32(card.input_size)
        return [
            Detections(corners[i, :n], scores[i, :n], labels[i, :n].astype(np.int64))
            for i, n in enumerate(counts.reshape(-1).astype(int))
        ]
    return [Classification(row, choose_label(row, card)) for row in outputs[0].astype(np.float64)]
