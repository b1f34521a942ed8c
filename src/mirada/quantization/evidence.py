"""What int8 does to each layer: how much error it adds, and why; as rows, as sentences and as a plot.

The float network's values on some images are rounded to the int8 file's own grid, tensor by tensor, so that each layer is
judged by itself; running the int8 file on the same images tells how much has come together until there. Times are those of
`mirada.quantization.operator_times`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mirada.inference.card import Card
from mirada.inference.litert import pixels_to_input
from mirada.quantization.operators import MOVING, Opened, Operator, pair

FLOAT, HARMLESS = "stays float", "harmless"
WIDE, SATURATED, LEVELS = "range too wide", "saturated", "few levels"
HURTS = 0.02  # error from which on there is a cause to look for
_BLOCK = 1 << 15  # values that are compared at a time: what they need stays in the processor’s cache
_SILENT = 1e-6  # mean square, relative to the mean over the channels, up to which a channel says nothing


@dataclass
class LayerEvidence:
    """One operator of an int8 file.

    Attributes:
        variant: whose file it is.
        layer, op: the network's layer and LiteRT's operator; tensor: its output's name in the float file.
        hurt: error that the operator adds, relative to its output's size: the root of the rounding's, the clipping's and
            the weights' share together, each the mean over channels, of which none counts more than 1.
        why: 'range too wide' (most channels use few of the 256 levels), 'saturated' (values lie outside the range) or
            'few levels' (of the weights), whichever adds most; 'harmless' below `HURTS`; 'stays float'.
        low, high: ends of the output's range; scale, zero_point: of the output.
        weights: 'per channel', 'per tensor' or ''; weight_scale_min, weight_scale_max: over the channels.
        sqnr_db: signal to error of the output, with all errors that came together until there; own_sqnr_db: with the
            error of its own rounding and clipping alone; weight_sqnr_db: of the weights.
        rmse_over_scale: root mean square of `sqnr_db`'s error in steps of the output; 0.29 is rounding alone.
        saturation: share of the output's values outside the range.
        weight_bytes, output_bytes: memory of its weights with the bias, and of its output.
        time_ms: of the operator alone, in a model of its own; None where it was not measured.
    """

    variant: str
    layer: str
    op: str
    tensor: str
    hurt: float
    why: str
    low: float | None
    high: float | None
    scale: float | None
    zero_point: int | None
    weights: str
    weight_scale_min: float | None
    weight_scale_max: float | None
    sqnr_db: float | None
    own_sqnr_db: float | None
    weight_sqnr_db: float | None
    rmse_over_scale: float | None
    saturation: float | None
    weight_bytes: int
    output_bytes: int
    time_ms: float | None = None


class _Tally:
    """Sums over the images, a number a channel."""

    def __init__(self, channels: int) -> None:
        self.signal, self.rounding, self.clipping, self.total = np.zeros((4, channels))
        self.outside = self.count = 0

    def add(self, truth: np.ndarray, grid: tuple[float, float, float], codes: np.ndarray, zero_point: int) -> None:
        """One image: the float network's values, the range's ends and step, and what the int8 file says."""
        truth, codes = (value.reshape(-1, len(self.signal)) for value in (truth, codes))
        for rows in _blocks(truth.shape):
            self._add_rows(truth[rows].astype(np.float64), grid, codes[rows].astype(np.float64) - zero_point)
        self.count += truth.size

    def _add_rows(self, truth: np.ndarray, grid: tuple[float, float, float], levels: np.ndarray) -> None:
        low, high, step = grid
        inside = np.clip(truth, low, high)
        off = inside - (np.round((inside - low) / step) * step + low)
        beyond = truth - inside
        self.signal += (truth**2).sum(axis=0)
        self.rounding += (off**2).sum(axis=0)
        self.clipping += (beyond**2).sum(axis=0)
        self.total += ((truth - levels * step) ** 2).sum(axis=0)
        self.outside += int(np.count_nonzero(np.abs(beyond) > step / 2))

    def shares(self) -> tuple[float, float]:
        """Rounding's and clipping's error relative to the signal, mean square, mean over the channels that speak."""
        return _share(self.rounding, self.signal), _share(self.clipping, self.signal)


def _share(error: np.ndarray, signal: np.ndarray) -> float:
    speaking = signal > _SILENT * signal.mean()
    return float(np.minimum(error[speaking] / signal[speaking], 1.0).mean()) if speaking.any() else 0.0


def _db(signal: float, error: float) -> float | None:
    return round(10 * float(np.log10(signal / error)), 2) if signal > 0 and error > 0 else None


def layer_evidence(
    variant: str,
    quantized: bytes,
    truth: Opened,
    images: Sequence[np.ndarray],
    card: Card,
    times: Sequence[float] = (),
) -> list[LayerEvidence]:
    """Judge each operator of an int8 file.

    Args:
        variant: its name.
        quantized: the file's bytes.
        truth: a float file of the same network.
        images: (S, S, C) uint8, at least one.
        card: how pixels become inputs.
        times: milliseconds of each operator of the int8 file, in its order; empty: not measured.

    Returns:
        A row an operator, in the order of computation.
    """
    opened = Opened(quantized)
    pairs = pair(opened, truth)
    tallies = {
        operator.output: _Tally(int(np.prod(opened.tensors[operator.output]["shape"][-1:])))
        for operator, _ in pairs
        if _is_int8(opened, operator.output)
    }
    for image in images:
        inputs = pixels_to_input(image, card)
        opened.run(image if opened.takes_pixels else opened.encode(inputs))
        truth.run(inputs)
        for operator, same in pairs:
            if operator.output in tallies:
                zero_point = opened.tensors[operator.output]["quantization"][1]
                ends, codes = _grid(opened, operator.output), opened.value(operator.output)
                tallies[operator.output].add(truth.value(same.output), ends, codes, zero_point)
    moved = _moved(opened)
    rows = [_row(variant, opened, truth, ops, tallies.get(ops[0].output), ops[0].output in moved) for ops in pairs]
    took = dict(zip((operator.output for operator in opened.operators), times, strict=False))
    for row, (operator, _) in zip(rows, pairs, strict=True):
        row.time_ms = round(took[operator.output], 4) if operator.output in took else None
    return rows


def _is_int8(opened: Opened, index: int) -> bool:
    return opened.tensors[index]["dtype"] == np.int8 and opened.tensors[index]["quantization"][0] > 0


def _grid(opened: Opened, index: int) -> tuple[float, float, float]:
    """Ends of a tensor's range, and its step."""
    step, zero_point = opened.tensors[index]["quantization"]
    return (-128 - zero_point) * step, (127 - zero_point) * step, step


def _moved(opened: Opened) -> set[int]:
    """The tensors with values that were rounded before: pooling, reshaping and the like keep their input's range."""
    found = set()
    for operator in opened.operators:
        source, target = (opened.tensors[i]["quantization"] for i in (operator.inputs[0], operator.output))
        if operator.kind in MOVING and source == target:
            found.add(operator.output)
    return found


def _row(
    variant: str,
    opened: Opened,
    truth: Opened,
    operators: tuple[Operator, Operator],
    tally: _Tally | None,
    moved: bool,
) -> LayerEvidence:
    operator, same = operators
    scales, share, weight_db = _weights(opened, truth, operators, tally)
    details = opened.tensors[operator.output]
    low, high, step = _grid(opened, operator.output) if tally else (None, None, None)
    parts = dict(zip((WIDE, SATURATED), tally.shares() if tally and not moved else (0.0, 0.0), strict=True))
    parts[LEVELS] = share
    hurt = float(np.sqrt(sum(parts.values())))
    why = HARMLESS if tally else FLOAT
    if hurt >= HURTS:
        why = max(parts, key=lambda key: parts[key])
    signal, own, total = (
        (float(v.sum()) for v in (tally.signal, tally.rounding + tally.clipping, tally.total)) if tally else (0, 0, 0)
    )
    return LayerEvidence(
        variant=variant,
        layer=operator.layer,
        op=operator.kind,
        tensor=same.name,
        hurt=round(hurt, 5),
        why=why,
        low=low,
        high=high,
        scale=step,
        zero_point=int(details["quantization"][1]) if tally else None,
        weights="per channel" if scales.size > 1 else "per tensor" if scales.size else "",
        weight_scale_min=float(scales.min()) if scales.size else None,
        weight_scale_max=float(scales.max()) if scales.size else None,
        sqnr_db=_db(signal, total),
        own_sqnr_db=_db(signal, own),
        weight_sqnr_db=weight_db,
        rmse_over_scale=round(float(np.sqrt(total / tally.count)) / step, 3) if tally and step else None,
        saturation=tally.outside / tally.count if tally else None,
        weight_bytes=sum(_bytes(opened, index) for index in opened.constants(operator)),
        output_bytes=_bytes(opened, operator.output),
    )


def _weights(
    opened: Opened, truth: Opened, operators: tuple[Operator, Operator], tally: _Tally | None
) -> tuple[np.ndarray, float, float | None]:
    """Scales of the operator's weights, empty without any in int8, and what `_compare_weights` tells of them."""
    operator, same = operators
    constants = opened.constants(operator)
    for index, other in zip(operator.inputs, same.inputs, strict=False):
        if index in constants and _scales(opened, index).size and opened.tensors[index]["dtype"] == np.int8:
            added_to = _added_to(operator, tally)
            return _scales(opened, index), *_compare_weights(opened, truth, operator.kind, index, other, added_to)
    return np.zeros(0), 0.0, None


def _bytes(opened: Opened, index: int) -> int:
    details = opened.tensors[index]
    return int(np.prod(details["shape"])) * np.dtype(details["dtype"]).itemsize


def _scales(opened: Opened, index: int) -> np.ndarray:
    return opened.tensors[index]["quantization_parameters"]["scales"]


def _added_to(operator: Operator, tally: _Tally | None) -> np.ndarray | None:
    """What a constant is added to, mean square a channel: its error counts relative to that, not to the constant."""
    if operator.kind not in ("ADD", "SUB") or tally is None:
        return None
    return tally.signal * len(tally.signal) / tally.count


def _compare_weights(
    opened: Opened, truth: Opened, kind: str, index: int, same: int, added_to: np.ndarray | None
) -> tuple[float, float | None]:
    """The weights' error relative to their size, mean square, mean over channels; and their signal to error in dB."""
    scales = _scales(opened, index)
    parameters = opened.tensors[index]["quantization_parameters"]
    axis = 0 if kind in ("CONV_2D", "FULLY_CONNECTED") else -1  # of the output's channels
    zero_point = int(parameters["zero_points"][0])  # not 0 only where one scale serves all channels
    both = (
        np.atleast_1d(o.value(i)) for o, i in ((opened, index), (truth, same))
    )  # a factor of all values has no axis
    rounded, weights = (np.moveaxis(values, axis, 0) for values in both)
    if rounded.shape != weights.shape:
        return 0.0, None
    errors, signals = [], []
    for rows in _blocks(weights.shape):
        step = scales[rows] if scales.size > 1 else scales
        levels = rounded[rows].astype(np.float32) - zero_point
        off = weights[rows] - levels * step.reshape(-1, *[1] * (weights.ndim - 1))
        kept = tuple(range(1, weights.ndim))
        errors.append((off.astype(np.float64) ** 2).sum(axis=kept))
        signals.append((weights[rows].astype(np.float64) ** 2).sum(axis=kept))
    error, signal = np.concatenate(errors), np.concatenate(signals)
    size = signal if added_to is None or added_to.shape != signal.shape else added_to
    return _share(error, size), _db(float(signal.sum()), float(error.sum()))


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, _BLOCK * shape[0] // max(int(np.prod(shape)), 1))
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


def worst_layers(rows: Sequence[LayerEvidence], count: int) -> list[LayerEvidence]:
    """The rows that add most error, worst first."""
    return sorted((row for row in rows if row.hurt > 0), key=lambda row: -row.hurt)[:count]


def sentences(rows: Sequence[LayerEvidence]) -> list[str]:
    """What the rows of one variant say, for people: the three worst layers and why, and where most has come together."""
    said = []
    for row in worst_layers(rows, 3):
        if row.hurt >= HURTS:
            said.append(f"{row.layer} ({row.op}) adds {row.hurt:.1%} error: {reason_of(row)}.")
    if not said:
        said.append(f"No operator adds more than {max((row.hurt for row in rows), default=0.0):.1%} error.")
    measured = [row for row in rows if row.sqnr_db is not None]
    if measured:
        last = min(measured, key=lambda row: row.sqnr_db or 0.0)
        said.append(
            f"The error that has come together is largest in {last.layer}: {last.sqnr_db:.1f} dB signal to error."
        )
    if floats := sum(row.why == FLOAT for row in rows):
        said.append(f"{floats} of {len(rows)} operators stay float.")
    timed = sorted((row for row in rows if row.time_ms is not None), key=lambda row: -(row.time_ms or 0.0))
    if timed:
        slowest = ", ".join(f"{row.layer} ({row.op}) {row.time_ms:.3f} ms" for row in timed[:3])
        said.append(f"The slowest of {len(timed)} operators, each alone in a model of its own: {slowest}.")
    return said


def reason_of(row: LayerEvidence) -> str:
    """Why a row's operator hurts, in words; of rows from `HURTS` on."""
    if row.why == WIDE:
        return f"its range {row.low:.3g} to {row.high:.3g} is too wide, so that most channels use few of its 256 levels"
    if row.why == SATURATED:
        return f"{row.saturation:.2%} of its values lie outside its range {row.low:.3g} to {row.high:.3g}"
    return f"its weights have too few levels ({row.weights} scale{'s' if row.weights == 'per channel' else ''})"


def write_evidence(rows: Sequence[LayerEvidence], folder: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write `layers.csv` (all rows) and `layers.json` (variant -> sentences, its note the last)."""
    with (folder / "layers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(LayerEvidence)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    told = {
        name: sentences([row for row in rows if row.variant == name]) for name in dict.fromkeys(r.variant for r in rows)
    }
    for name, note in (notes or {}).items():
        told[name].append(note)
    (folder / "layers.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
