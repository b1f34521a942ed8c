"""int8 from ranges of our own choice, with as many operators left in float as wanted.

The converter takes each tensor's range from the extremes of all calibration images (and of some tensors, whose memory an
operator reuses, the extremes of another's). Here every tensor is read by itself, image by image, so that the range can be
any statistic of them; a model is converted and observed once, and then made int8 as often as it takes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tf_keras as keras
from tensorflow.lite.python import schema_py_generated as schema

from mirada.inference.card import Card
from mirada.inference.litert import pixels_to_input
from mirada.learning.quantization.compaction import share_vectors
from mirada.learning.quantization.conversion import convert_observed, quantize_observed
from mirada.quantization.operators import Opened

RANGES = ("extremes", "mean", "percentile")
TAIL = 0.0005  # share of an image's values on either side that 'percentile' leaves out
_SAMPLE = 1 << 16  # values of a tensor that a percentile is taken from


class Observed:
    """A float network as a `.tflite`, and what its tensors are like.

    Args:
        model: the float model.
        card: how pixels become inputs.
        image: any (S, S, C) uint8 image.

    Attributes:
        content: the file; it runs in float.
        opened: its tensors and operators.
    """

    def __init__(self, model: keras.Model, card: Card, image: np.ndarray) -> None:
        self.card = card
        scaling = {"input_scale": card.input_scale, "input_offset": card.input_offset}
        self.content = bytearray(convert_observed(model, image, **scaling))
        self.opened = Opened(bytes(self.content))

    def observe(self, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        """Each computed tensor's (images, 4) smallest value, largest, and the ends without `TAIL`, by its name."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for image in images:
            self.opened.run(pixels_to_input(image, self.card))
            for operator in self.opened.operators:
                values = self.opened.value(operator.output).reshape(-1)
                sample = values[:: max(1, values.size // _SAMPLE)]
                low, high = np.quantile(sample, (TAIL, 1 - TAIL))
                found.setdefault(operator.name, []).append((values.min(), values.max(), low, high))
        return {name: np.array(rows, np.float64) for name, rows in found.items()}

    def ranges(self, seen: dict[str, np.ndarray], kind: str) -> dict[str, tuple[float, float]]:
        """The ends of each tensor's range.

        Args:
            seen: what `observe` returned.
            kind: 'extremes' of all images; 'mean' of each image's extremes; 'percentile': the mean of the ends that leave
                out `TAIL` on either side. An output of the network has its extremes in any case.
        """
        outputs = {op.name for op in self.opened.operators if op.output in self.opened.outputs}
        found = {}
        for name, rows in seen.items():
            if kind == "extremes" or name in outputs:
                low, high = rows[:, 0].min(), rows[:, 1].max()
            else:
                low, high = rows[:, :2].mean(axis=0) if kind == "mean" else rows[:, 2:].mean(axis=0)
            found[name] = (min(float(low), 0.0), max(float(high), 0.0))
        return found

    def quantize(self, ranges: dict[str, tuple[float, float]], float_layers: Iterable[str] = ()) -> bytes:
        """The int8 `.tflite`.

        Args:
            ranges: what `ranges` returned.
            float_layers: names of the operators that stay float. Where one of them gives an output of the network, the
                outputs are float32 too.
        """
        chosen = sorted(set(float_layers))
        graph = schema.Model.GetRootAs(self.content, 0).Subgraphs(0)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            quantization = tensor.Quantization()
            if (ends := ranges.get(tensor.Name().decode())) and quantization and quantization.MinLength() == 1:
                # views of the file's bytes, which are changed in their place
                quantization.MinAsNumpy()[0], quantization.MaxAsNumpy()[0] = ends
        outputs = {op.name for op in self.opened.operators if op.output in self.opened.outputs}
        return share_vectors(quantize_observed(bytes(self.content), chosen, float_outputs=bool(outputs & set(chosen))))
