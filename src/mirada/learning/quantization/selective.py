"""Which operators to leave in float so that int8 keeps its accuracy: as few as possible, found by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mirada.inference.litert import Model, pixels_to_input
from mirada.learning.quantization.ranges import Observed
from mirada.quantization.evidence import LEVELS, LayerEvidence, worst_layers
from mirada.quantization.operators import MOVING, Operator

_WORST = 10  # operators that the search starts from
_WORTH = 0.95  # the outputs' error must come down to this share of it for an operator to be worth its float weights


@dataclass
class Selected:
    """What the search found.

    Attributes:
        names: of the operators' outputs, as the file has them. layers: of the network, the same operators.
        content: the `.tflite`.
    """

    names: list[str]
    layers: list[str]
    content: bytes


class Selection:
    """A search for the operators to leave in float.

    Args:
        observed: the network.
        ranges: of its tensors.
        images: (S, S, C) uint8, that the outputs' error is measured on.
        load: opens a `.tflite`.
        limit: at most so many operators stay float.
    """

    def __init__(
        self,
        observed: Observed,
        ranges: dict[str, tuple[float, float]],
        images: Sequence[np.ndarray],
        load: Callable[[bytes], Model],
        limit: int,
    ) -> None:
        self.observed, self.ranges, self.images, self.load, self.limit = observed, ranges, images, load, limit
        self._truth = self._outputs_of_float()

    def search(
        self, rows: Sequence[LayerEvidence], drop: Callable[[bytes], float], fits: Callable[[float], bool]
    ) -> Selected:
        """Leave more and more in float, each time what brings the outputs nearest to the float network's, until it fits.

        Args:
            rows: the evidence on the network with all in int8.
            drop: measures a `.tflite`; asked after each step, and then for each operator whether it is needed.
            fits: whether a drop is small enough.

        Returns:
            The smallest set found that fits; where none does, the one with the smallest drop.
        """
        units = self._units(rows)
        chosen: frozenset[str] = frozenset()
        content = self._quantize(chosen)
        error, best = self._error(content), (drop(content), 0, chosen, content)
        while not fits(best[0]):
            tried = [chosen | unit for unit in units if not unit <= chosen and len(chosen | unit) <= self.limit]
            found = [(self._error(self._quantize(names)), len(names), sorted(names)) for names in tried]
            if not found or min(found)[0] > _WORTH * error:
                break
            error, count, names = min(found)
            chosen = frozenset(names)
            content = self._quantize(chosen)
            best = min(best, (drop(content), count, chosen, content), key=lambda entry: entry[:2])
        _, _, chosen, content = best
        if fits(best[0]):
            chosen, content = self._prune(chosen, content, lambda smaller: fits(drop(smaller)))
        return Selected(sorted(chosen), self._layers(chosen), content)

    def _units(self, rows: Sequence[LayerEvidence]) -> list[frozenset[str]]:
        """What may be left in float together: an operator, and, where its output's range hurts, all that read it too."""
        operators = self.observed.opened.operators
        units = []
        for row in worst_layers(rows, _WORST):
            operator = next(op for op in operators if op.name == row.tensor)
            units.append(frozenset({operator.name}))
            if row.why != LEVELS:
                units.append(frozenset({operator.name} | self._readers(operator)))
        return list(dict.fromkeys(units))

    def _readers(self, operator: Operator) -> set[str]:
        """Names of the operators that compute with the output of one, be it after others that only moved its values."""
        names = set()
        for reader in self.observed.opened.operators:
            if operator.output in reader.inputs:
                names |= {reader.name} | (self._readers(reader) if reader.kind in MOVING else set())
        return names

    def _prune(
        self, chosen: frozenset[str], content: bytes, fits: Callable[[bytes], bool]
    ) -> tuple[frozenset[str], bytes]:
        """Without the operators that it can do without."""
        for name in sorted(chosen):
            if len(chosen) > 1 and fits(smaller := self._quantize(chosen - {name})):
                chosen, content = chosen - {name}, smaller
        return chosen, content

    def _quantize(self, names: frozenset[str]) -> bytes:
        return self.observed.quantize(self.ranges, names)

    def _layers(self, names: frozenset[str]) -> list[str]:
        return [f"{op.layer} {op.kind}" for op in self.observed.opened.operators if op.name in names]

    def _outputs_of_float(self) -> dict[str, np.ndarray]:
        """Output name -> (images, ...) of the float network."""
        opened = self.observed.opened
        found: dict[str, list[np.ndarray]] = {}
        for image in self.images:
            opened.run(pixels_to_input(image, self.observed.card))
            for index, name in opened.outputs.items():
                found.setdefault(name, []).append(opened.value(index)[0])
        return {name: np.stack(values) for name, values in found.items()}

    def _error(self, content: bytes) -> float:
        """The outputs' mean square error, relative to how they vary, mean over the outputs."""
        model = self.load(content)
        said = [model.predict(image) for image in self.images]
        errors = []
        for name in said[0]:
            truth, found = self._truth[name], np.stack([outputs[name][0] for outputs in said])
            axes = tuple(range(truth.ndim - 1))
            spread = np.maximum(truth.astype(np.float64).var(axis=axes), 1e-9)
            errors.append(float((((truth - found) ** 2).mean(axis=axes) / spread).mean()))
        return float(np.mean(errors))
