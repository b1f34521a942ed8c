"""Scales that can't be right, and scales that cost accuracy: of values that flow, of weights, of biases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mirada.quantization.foreign.finding import Finding, counted, named
from mirada.quantization.foreign.network import ACTIVATIONS, QUANTIZED, Graph, Network, Step, Tensor

WIDEST = 1000.0  # a range of values that is wider than this is suspicious
FAR = 100.0  # a step so many times the network's median is, too
DEAD = 1e-7  # a step so small: its calibration saw nothing but zeros
LEVELS = 8  # of 255: a channel of weights that uses fewer has lost its shape
_BIAS_TOLERANCE = 0.02  # of the output's step, as LiteRT's kernels allow
_ANCHORED = {  # the grid that kernels compute on, whatever the file says: step, zero point in int8
    "LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0), "L2_NORMALIZATION": (1 / 128, 0),
    "LOG_SOFTMAX": (16 / 256, 127),
}  # fmt: skip
_COPIES = (  # kernels that copy integers and never look at scales
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "GATHER",
    "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "PAD",
)  # fmt: skip
_WEIGHTS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}  # axis of the channels
_ANEW = "quantize it anew from the float model"


def scale_findings(network: Network) -> list[Finding]:
    """What is to be said of the scales of the main graph."""
    graph = network.main
    return [
        *_impossible(graph),
        *_moved(graph),
        *_biases(graph),
        *_anchored(graph),
        *_ranges(graph),
        *_weights(graph),
    ]


def _impossible(graph: Graph) -> list[Finding]:
    """Scales that are no steps, zero points outside of their type, counts that fit no axis."""
    zero, outside, counts = [], [], []
    for tensor in graph.tensors:
        if not tensor.is_quantized:
            continue
        if not (np.isfinite(tensor.scales) & (tensor.scales > 0)).all():
            zero.append(tensor.label)
        low, high = QUANTIZED[tensor.dtype]
        if len(tensor.zero_points) and not ((tensor.zero_points >= low) & (tensor.zero_points <= high)).all():
            outside.append(tensor.label)
        sides = tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else -1
        if len(tensor.scales) > 1 and len(tensor.scales) != sides:
            counts.append(tensor.label)
    found = []
    if zero:
        what = f"the scale of {named(zero)} is zero, negative or no number"
        means = "all its values become 0 or nonsense"
        do = f"calibrate on images in which this layer says something, and {_ANEW}"
        found.append(Finding("scale_zero", "error", what, means, do, zero))
    if outside:
        what = f"the zero point of {named(outside)} lies outside of its type"
        found.append(Finding("zero_point", "error", what, "real 0 can't be written, kernels overflow", _ANEW, outside))
    if counts:
        what = f"{named(counts)} have more scales than channels, or fewer"
        found.append(Finding("scale_count", "error", what, "kernels read beyond their scales", _ANEW, counts))
    return found


def _moved(graph: Graph) -> list[Finding]:
    where = []
    for step in graph.steps:
        if step.kind not in _COPIES:
            continue
        sources = [tensor for tensor in graph.given(step) if tensor.dtype in ACTIVATIONS and tensor.is_quantized]
        for target in graph.made(step):
            if sources and target.is_quantized and not _same_grid(sources[0], target):
                where.append(f"{step.kind} {target.label}")
    if not where:
        return []
    what = f"{named(where)} only copies integers, but its input and output have different scales"
    means = "real values are multiplied by the ratio of the two without anybody wanting it"
    return [Finding("moved_scale", "error", what, means, _ANEW, where)]


def _same_grid(first: Tensor, second: Tensor) -> bool:
    if len(first.scales) != 1 or len(second.scales) != 1 or first.dtype != second.dtype:
        return True  # not to be judged here
    same_zero = int(first.zero_points[0]) == int(second.zero_points[0]) if len(first.zero_points) else True
    return same_zero and bool(np.isclose(first.scales[0], second.scales[0], rtol=1e-3, atol=0))


def _weighted(graph: Graph) -> Iterator[tuple[Step, Tensor, Tensor, Tensor | None]]:
    """Operators with quantized weights: the operator, what flows in, its weights, its bias."""
    for step in graph.steps:
        if step.kind not in _WEIGHTS or len(step.inputs) < 2 or min((*step.inputs[:2], *step.outputs), default=-1) < 0:
            continue
        flow = step.inputs[2 if step.kind == "TRANSPOSE_CONV" and len(step.inputs) > 2 else 0]
        place = 3 if step.kind == "TRANSPOSE_CONV" else 2
        bias = step.inputs[place] if len(step.inputs) > place and step.inputs[place] >= 0 else None
        weights = graph.tensors[step.inputs[1]]
        if step.outputs and weights.is_quantized and weights.is_constant and flow >= 0:
            yield step, graph.tensors[flow], weights, None if bias is None else graph.tensors[bias]


def _biases(graph: Graph) -> list[Finding]:
    where = []
    for step, flow, weights, bias in _weighted(graph):
        if bias is None or bias.dtype not in ("INT32", "INT64") or not bias.is_quantized or not flow.is_quantized:
            continue
        if not all(np.isfinite(tensor.scales).all() for tensor in (flow, weights, bias)):
            continue  # told of already
        target = graph.tensors[step.outputs[0]]
        if not target.is_quantized or len(flow.scales) != 1 or not target.scales[0] > 0:
            continue
        wanted = float(flow.scales[0]) * weights.scales.astype(np.float64)
        if len(bias.scales) not in (1, len(wanted)) and len(wanted) != 1:
            continue
        if (np.abs(wanted - bias.scales.astype(np.float64)) > _BIAS_TOLERANCE * float(target.scales[0])).any():
            where.append(f"{step.kind} {target.label}")
    if not where:
        return []
    what = f"the bias of {named(where)} has not the scale of its input times its weights"
    means = "the kernel adds it on another scale than it was written in, so that it shifts every value"
    return [Finding("bias_scale", "error", what, means, _ANEW, where)]


def _anchored(graph: Graph) -> list[Finding]:
    where = []
    for step in graph.steps:
        if step.kind not in _ANCHORED:
            continue
        scale, zero = _ANCHORED[step.kind]
        for target in graph.made(step):
            if target.dtype not in ("INT8", "UINT8") or len(target.scales) != 1 or not len(target.zero_points):
                continue
            shift = 128 if target.dtype == "UINT8" else 0
            right = np.isclose(target.scales[0], scale, rtol=1e-3) and int(target.zero_points[0]) == zero + shift
            if not right:
                where.append(f"{step.kind} {target.label}")
    if not where:
        return []
    what = f"{named(where)} has not the grid that kernels compute this function on"
    means = "a microcontroller's or an NPU's kernel refuses it, or gives values on a grid that the file doesn't tell"
    return [Finding("fixed_grid", "warning", what, means, _ANEW, where)]


def _ranges(graph: Graph) -> list[Finding]:
    """Steps of what flows that are far too wide, or say that calibration saw nothing."""
    flowing = [
        tensor
        for tensor in graph.tensors
        if tensor.dtype in ACTIVATIONS
        and len(tensor.scales) == 1
        and tensor.index not in graph.stored
        and np.isfinite(tensor.scales[0])
        and tensor.scales[0] > 0
    ]
    if not flowing:
        return []
    found = []
    median = float(np.median([tensor.scales[0] for tensor in flowing]))
    wide = [(t, _width(t)) for t in flowing if _width(t) > WIDEST or (_width(t) > 32 and t.scales[0] > FAR * median)]
    if wide:
        where = [f"{tensor.label} (range {width:.3g})" for tensor, width in sorted(wide, key=lambda pair: -pair[1])]
        what = f"the range of {named(where)} is huge"
        means = "one step of it swallows small values, whole channels may say nothing more"
        do = "calibrate by a percentile instead of the extremes, clip with ReLU6, or leave this layer float"
        found.append(Finding("scale_huge", "warning", what, means, do, where))
    dead = [tensor.label for tensor in flowing if tensor.scales[0] < DEAD]
    if dead:
        what = f"the range of {named(dead)} is as good as nothing"
        means = "calibration saw only zeros there, every other value is cut off"
        do = "calibrate on real images, prepared as the training prepared them"
        found.append(Finding("scale_dead", "warning", what, means, do, dead))
    return found


def _width(tensor: Tensor) -> float:
    low, high = QUANTIZED[tensor.dtype]
    return float(tensor.scales[0]) * (high - low)


def _weights(graph: Graph) -> list[Finding]:
    """Weights with one scale for all channels, the channels that starve by it, and channels that are all zero."""
    depthwise, other, starved, silent = [], [], [], []
    for step, _, weights, _ in _weighted(graph):
        label = f"{step.kind} {graph.tensors[step.outputs[0]].label}"
        used = _levels(weights, _WEIGHTS[step.kind])
        if used is not None and (dead := int((used == 0).sum())):
            silent.append(f"{label} ({dead} of {len(used)})")
        channels = weights.shape[_WEIGHTS[step.kind]] if len(weights.shape) > _WEIGHTS[step.kind] else 1
        if len(weights.scales) > 1 or channels < 2:
            continue
        thin = 0 if used is None else int(((used > 0) & (used < LEVELS)).sum())
        if thin:
            starved.append(f"{label} ({thin} of {channels} channels)")
        elif step.kind == "DEPTHWISE_CONV_2D":
            depthwise.append(label)
        elif step.kind != "FULLY_CONNECTED":  # which has one scale by design of most converters
            other.append(label)
    return _weight_findings(depthwise, other, starved, silent)


def _levels(weights: Tensor, axis: int) -> np.ndarray | None:
    """How many steps from real 0 each channel's largest weight lies; None where the values can't be had."""
    values = weights.values()
    if values is None or values.ndim <= axis or weights.dtype not in ("INT8", "UINT8"):
        return None
    zero = weights.zero_points.astype(np.int64) if len(weights.zero_points) else np.zeros(1, np.int64)
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.int64)
    return np.abs(rows - (zero[:, None] if len(zero) == len(rows) else zero[0])).max(axis=1, initial=0)


def _weight_findings(depthwise: list[str], other: list[str], starved: list[str], silent: list[str]) -> list[Finding]:
    found = []
    per_channel = "quantize anew with per-channel weights, the default of TensorFlow 2's converter"
    if starved:
        what = f"weights have one scale for all channels, and some channels use fewer than {LEVELS} of its 127 steps: "
        means = "these channels have lost their shape, often the largest single loss of an int8 network"
        found.append(Finding("starved_weights", "warning", what + named(starved), means, per_channel, starved))
    if depthwise:
        what = (
            f"{counted(len(depthwise), 'depthwise convolution')} with one scale for all channels ({named(depthwise)})"
        )
        means = "depthwise channels differ most in size, so that the small ones get few steps"
        found.append(Finding("per_tensor_depthwise", "warning", what, means, per_channel, depthwise))
    if other:
        what = f"{counted(len(other), 'convolution')} with one scale for all channels ({named(other)})"
        means = "no channel starves by it here, but per-channel scales are finer at no cost"
        found.append(Finding("per_tensor", "note", what, means, per_channel, other))
    if silent:
        what = f"channels whose weights are all zero: {named(silent)}"
        means = "they are computed for nothing, or their weights were smaller than a step"
        do = "look whether the float network has weights there, prune them if not"
        found.append(Finding("silent_channels", "note", what, means, do, silent))
    return found
