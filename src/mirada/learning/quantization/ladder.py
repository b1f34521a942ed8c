"""The candidates for int8 within a budget of accuracy, from the cheapest to make to the dearest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mirada.errors import MiradaError
from mirada.inference.litert import Model
from mirada.learning.quantization.ranges import RANGES, Observed
from mirada.learning.quantization.schemes import preflight, require_schemes
from mirada.learning.quantization.selective import Selection
from mirada.learning.quantization.variants import Conversions
from mirada.quantization.budget import Candidate, Ladder, Validation
from mirada.quantization.calibration import POOL, calibration_images, choose_hardest
from mirada.quantization.evidence import layer_evidence

_PROBES = 8  # images that the search for the worst operators looks at
_MORE = 4  # times as many images for a rung with more of them
_WORDS = {
    "extremes": "the extremes of all",
    "mean": "the mean of each image's extremes",
    "percentile": "the ends without each image's outermost 0.05 %",
}


class Candidates:
    """Makes the candidates, each only when it is asked for.

    Args:
        made: the variants' maker.
        contents: variant -> `.tflite` of what is there already. seconds: variant -> what that took, any training included.
        float32: the float32 file.
        judge: measures on val.
        ladder: what was climbed so far; what can't be made is noted there.
    """

    def __init__(
        self,
        made: Conversions,
        contents: dict[str, bytes],
        seconds: dict[str, float],
        float32: Path,
        judge: Validation,
        ladder: Ladder,
    ) -> None:
        self.config, self.made, self.contents, self.float32 = made.config, made, contents, float32
        self.seconds, self.judge, self.ladder = seconds, judge, ladder
        random = made.choose_random(made.config.calibration_images)
        self._ways = {"int8": ("extremes", random)}  # rung -> ranges, images
        self._seen: dict[tuple[int, ...], dict[str, np.ndarray]] = {}

    def ready(self) -> list[Candidate]:
        """Plain int8, and qat where it is a variant: what takes no more than measuring it."""
        text = f"ranges by the converter, {len(self._ways['int8'][1])} random images"
        tuned = [self._qat()] if "qat" in self.contents and "qat" in self.config.ladder else []
        return [self._variant("int8", "calibration", text), *tuned]

    def __iter__(self) -> Iterator[Candidate]:
        """What is to be made, in the order of climbing."""
        ways = {
            "calibration": self._calibrated,
            "selective": self._selected,
            "qat": self._tuned,
            "qat_selective": self._tuned_selected,
        }
        for kind in self.config.ladder:
            try:
                yield from ways[kind]()
            except MiradaError as error:  # a rung that can't be climbed is no reason to give up the others
                self.ladder.skipped.append(f"{kind}: {error}")

    def _images(self, indices: list[int]) -> Iterator[np.ndarray]:
        return calibration_images(self.made.dataset, indices)

    # -- the rungs -------------------------------------------------------------------------------------------------

    def _variant(self, name: str, kind: str, what: str) -> Candidate:
        """What is a variant too, and may be there already."""
        content = self.contents.get(name) or self.made.convert(name)
        return Candidate(name, kind, what, content, seconds=self.seconds.get(name, 0.0))

    def _calibrated(self) -> Iterator[Candidate]:
        """Full int8 with other ranges, of other images, of more images."""
        count, card = self.config.calibration_images, self.made.card
        balanced = self.made.choose_balanced(count)
        for kind in RANGES:
            text = f"ranges: {_WORDS[kind]}, {len(balanced)} class-balanced images"
            yield self._with_ranges(kind, kind, balanced, text)
        pool = self.made.choose_balanced(POOL * count)
        hardest = choose_hardest(self.made.dataset, pool, count, Model(self.float32, card), card)
        text = f"ranges: {_WORDS['extremes']}, the {len(hardest)} hardest of {len(pool)} images"
        yield self._with_ranges("hardest", "extremes", hardest, text)
        more = self.made.choose_balanced(_MORE * count)
        if len(more) > len(balanced):
            text = f"ranges: {_WORDS['extremes']}, {len(more)} class-balanced images"
            yield self._with_ranges("more_images", "extremes", more, text)

    def _with_ranges(self, rung: str, kind: str, indices: list[int], what: str) -> Candidate:
        self._ways[rung] = (kind, indices)
        network = self.made.network
        return Candidate(rung, "calibration", what, network.quantize(self._ranges(network, kind, indices)))

    def _selected(self) -> Iterator[Candidate]:
        """Int8 with the worst operators in float: what is left may do with the extremes, or with the best ranges so far."""
        yield from self._select("selective", self.made.network)

    def _tuned(self) -> Iterator[Candidate]:
        """Quantization-aware training, where `ready` had none."""
        require_schemes(preflight(self.made.float_model))
        if "qat" not in self.contents:
            yield self._qat()

    def _qat(self) -> Candidate:
        epochs = self.made.tuned().epochs
        return self._variant("qat", "qat", f"tuned with int8's rounding in place, {epochs} epochs")

    def _tuned_selected(self) -> Iterator[Candidate]:
        """The tuned weights, with the worst operators in float."""
        require_schemes(preflight(self.made.float_model))
        yield from self._select("qat_selective", self.made.tuned_network)

    def _select(self, kind: str, network: Observed) -> Iterator[Candidate]:
        best = min((entry for entry in self.ladder.rungs if entry.rung in self._ways), key=lambda entry: entry.drop)
        for base in dict.fromkeys((self._plain(), best.rung)):
            ranges = self._ranges(network, *self._ways[base])
            probes = list(self._images(self.made.choose_balanced(_PROBES)))
            rows = layer_evidence(kind, network.quantize(ranges), network.opened, probes, self.made.card)
            selection = Selection(network, ranges, probes, self.judge.load, self.config.float_layers)
            found = selection.search(rows, self.judge.drop, self.ladder.fits)
            rung = kind if base == self._plain() else f"{kind}_{base}"
            tuned = "tuned weights, " if kind == "qat_selective" else ""
            what = f"{tuned}ranges of {base}, {len(found.names)} of {len(rows)} operators in float"
            yield Candidate(rung, kind, what, found.content, found.layers)

    def _plain(self) -> str:
        """The best rung so far whose ranges are the extremes: what lies far out is the selection's business."""
        plain = [entry for entry in self.ladder.rungs if self._ways.get(entry.rung, ("",))[0] == "extremes"]
        return min(plain, key=lambda entry: entry.drop).rung

    def _ranges(self, network: Observed, kind: str, indices: list[int]) -> dict[str, tuple[float, float]]:
        key = (id(network), *indices)
        if key not in self._seen:
            self._seen[key] = network.observe(self._images(indices))
        return network.ranges(self._seen[key], kind)
