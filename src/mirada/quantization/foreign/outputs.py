"""Boxes and scores that share one scale, which is what spoils most detectors that were quantized as they are."""

from __future__ import annotations

from mirada.quantization.foreign.finding import Finding
from mirada.quantization.foreign.network import ACTIVATIONS, MOVES, Graph, Network, Step, Tensor

FEW, SOME = 32, 200  # of 256 steps between a score of 0 and of 1: fewer make an error, a warning
_SCORES = ("LOGISTIC", "SOFTMAX")
_COCO = (84, 85)  # numbers a box of 80 classes with 4 or 5 of its own
_BOX = (4, 5)  # numbers that a box itself has: corners, perhaps an objectness


def output_findings(network: Network) -> list[Finding]:
    """Outputs that carry boxes and scores on one scale."""
    graph = network.main
    found, told = [], set()
    for index in graph.outputs:
        tensor = graph.tensors[index]
        joined = _joined(graph, index)
        if joined is not None:
            target = graph.tensors[joined.outputs[0]]
            told.add(index)
            found.append(_shared(tensor, float(target.scales[0])))
    labels = len(network.metadata.labels) if network.metadata else 0
    for index in graph.outputs:
        tensor, source = graph.tensors[index], _quantized_source(graph, index)
        wide = _carries_both(tensor, labels)
        if index not in told and wide and source is not None and len(source.scales) == 1:
            what = f"{tensor.label} has {wide} numbers a place, as boxes with scores have, on one scale"
            means = "whichever part has the smaller values loses steps to the other"
            do = "give boxes and scores outputs of their own, and quantize anew"
            found.append(Finding("shared_output", "warning", what, means, do, [tensor.label]))
    return found


def _carries_both(tensor: Tensor, labels: int) -> int:
    """The side of an output that is as long as a box with its scores, 0 for none."""
    wanted = {*_COCO, *(labels + box for box in _BOX if labels > 1)}
    sides = [side for side in tensor.shape[1:] if side in wanted]
    return sides[0] if len(tensor.shape) > 2 and sides else 0


def _quantized_source(graph: Graph, index: int) -> Tensor | None:
    """The quantized tensor that an output is, or is dequantized from."""
    step = graph.maker.get(index)
    if step is not None and step.kind == "DEQUANTIZE" and step.inputs and step.inputs[0] >= 0:
        index = step.inputs[0]
    tensor = graph.tensors[index]
    return tensor if tensor.dtype in ACTIVATIONS and tensor.is_quantized else None


def _joined(graph: Graph, index: int) -> Step | None:
    """The concatenation of scores with what is none that an output comes from, where its result is quantized."""
    seen: set[int] = set()
    while index >= 0 and index not in seen:
        seen.add(index)
        step = graph.maker.get(index)
        if step is None:
            return None
        if step.kind == "CONCATENATION":
            parts = [_are_scores(graph, part) for part in step.inputs if part >= 0]
            target = graph.tensors[step.outputs[0]]
            one = target.dtype in ACTIVATIONS and len(target.scales) == 1
            return step if one and True in parts and False in parts else None
        if step.kind not in MOVES or not step.inputs:
            return None
        index = step.inputs[0]
    return None


def _are_scores(graph: Graph, index: int) -> bool | None:
    """Whether a tensor's values come from a logistic function or a softmax; None for what was joined before."""
    origins = list(graph.origins(index))
    kinds = {origin.kind for origin in origins}
    return None if not kinds else kinds <= set(_SCORES)


def _shared(tensor: Tensor, scale: float) -> Finding:
    steps = min(int(1 / scale + 1e-3), 256) if scale > 0 else 0  # 0.05 of a float32 is a hair more
    severity = "error" if steps < FEW else "warning" if steps < SOME else "note"
    what = f"{tensor.label} carries boxes and scores on one scale of {scale:.3g}"
    means = f"between a score of 0 and of 1 lie {steps} of its 256 steps"
    if severity == "error":
        means += ", so that scores are lost"
    do = "give boxes and scores outputs of their own (convert the network before they are concatenated), and quantize anew"
    return Finding("shared_scale", severity, what, means, do if severity != "note" else "nothing", [tensor.label])
