"""Is a file whole int8? What stays float, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mirada.quantization.foreign.finding import Finding, counted, named
from mirada.quantization.foreign.network import ACTIVATIONS, UNPACKS, Graph, Network, Step

INTEGER, FLOAT, HYBRID, CONVERSION, UNPACKING, OTHER = (
    "int8", "float", "dynamic range", "conversion", "unpacking", "no numbers",
)  # fmt: skip
# What TensorFlow's converters give an int8 form (tensorflow/lite/tools/optimize/operator_property.cc, and what the newer
# quantizer of MLIR adds).
HAS_INT8 = frozenset(
    ("ABS", "ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BATCH_TO_SPACE_ND", "BROADCAST_TO",
     "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "EQUAL", "EXPAND_DIMS", "FULLY_CONNECTED",
     "GATHER", "GATHER_ND", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU", "LESS",
     "LESS_EQUAL", "LOGISTIC", "LOG_SOFTMAX", "LSTM", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL",
     "NOT_EQUAL", "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6",
     "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SELECT_V2", "SHAPE",
     "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUARED_DIFFERENCE", "SQUEEZE",
     "STRIDED_SLICE", "SUB", "SUM", "SVDF", "TANH", "TILE", "TOPK_V2", "TRANSPOSE", "TRANSPOSE_CONV",
     "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNPACK", "WHERE")
)  # fmt: skip
_QUANTIZE_ANEW = "quantize it anew from the float model, with a few hundred representative images"
_COMPILED = {"ethos-u": "Vela for Arm's Ethos-U", "edgetpu-custom-op": "the Edge TPU compiler for Coral"}


@dataclass(frozen=True)
class Precision:
    """What a file computes in.

    Attributes:
        kind: 'int8', 'uint8', 'int16', 'int8 and int16', 'partly int8', 'dynamic range', 'float16 weights', 'float32',
            'compiled' or 'no numbers'.
        integers, floats: operators that compute in integers, and in floating point.
        roles: of each operator of the main graph, by its place.
        reasons: of operators that stay float, by their place.
        islands: groups of float operators that lie between quantized ones.
    """

    kind: str
    integers: int
    floats: int
    roles: list[str]
    reasons: dict[int, str]
    islands: list[list[Step]]

    @property
    def is_whole(self) -> bool:
        """Whether no operator computes in floating point and there are quantized ones."""
        return self.integers > 0 and not self.floats

    @property
    def sentence(self) -> str:
        """The answer, for people."""
        total = self.integers + self.floats
        if self.kind == "compiled":
            return "It is compiled for one device already, and can't be looked into."
        if self.is_whole:
            return f"Whole {self.kind}: all {counted(total, 'operator')} that compute do so in integers."
        if self.integers:
            return f"Not whole: {self.floats} of {counted(total, 'operator')} that compute stay in floating point."
        how = {"dynamic range": "int8 weights, but all computing in floating point", "float16 weights": "float16 weights, "
               "computing in float32", "float32": "all in float32"}  # fmt: skip
        return f"Not quantized: {how.get(self.kind, self.kind)} ({counted(total, 'operator')})."


def precision_of(network: Network) -> Precision:
    """Sort the operators of the main graph."""
    graph = network.main
    roles = [_role(graph, step) for step in graph.steps]
    floats = [step for step, role in zip(graph.steps, roles, strict=True) if role in (FLOAT, HYBRID)]
    integers = roles.count(INTEGER)
    islands = _islands(graph, floats) if integers else []
    inside = {step.place for island in islands for step in island}
    reasons = {step.place: _reason(step, roles[step.place], bool(integers), step.place in inside) for step in floats}
    kind = _kind(graph, roles, len(floats), integers)
    return Precision(kind, integers, len(floats), roles, reasons, islands)


def _role(graph: Graph, step: Step) -> str:
    if step.kind in UNPACKS and all(index in graph.stored for index in step.outputs):
        return UNPACKING
    flow = graph.computed(step)
    if step.kind in ("QUANTIZE", "DEQUANTIZE"):
        return CONVERSION
    if any(tensor.is_float for tensor in flow):
        weights = [tensor for tensor in graph.given(step) if tensor.is_constant]
        return HYBRID if any(tensor.is_quantized for tensor in weights) else FLOAT
    if any(tensor.is_quantized and tensor.dtype in ACTIVATIONS for tensor in flow):
        return INTEGER
    return OTHER


def _kind(graph: Graph, roles: list[str], floats: int, integers: int) -> str:
    if any(step.custom in _COMPILED for step in graph.steps):
        return "compiled"
    if floats and integers:
        return "partly int8"
    if integers:
        flows = [graph.computed(s) for s, role in zip(graph.steps, roles, strict=True) if role == INTEGER]
        types = {
            tensor.dtype for flow in flows for tensor in flow if tensor.is_quantized and tensor.dtype in ACTIVATIONS
        }
        return " and ".join(dtype.lower() for dtype in ACTIVATIONS if dtype in types)
    if HYBRID in roles:
        return "dynamic range"
    if not floats:
        return "no numbers"
    stored = {tensor.dtype for tensor in graph.tensors if tensor.is_constant}
    return "float16 weights" if "FLOAT16" in stored else "float32"


def _islands(graph: Graph, floats: list[Step]) -> list[list[Step]]:
    """Groups of float operators that are fed by quantized values, and whose values are quantized again."""
    places, seen, found = {step.place for step in floats}, set(), []
    for first in floats:
        if first.place in seen:
            continue
        group, todo, ends = [], [first], set()
        seen.add(first.place)
        while todo:
            step = todo.pop()
            group.append(step)
            before = [graph.maker[i] for i in step.inputs if i in graph.maker and i not in graph.stored]
            after = [reader for index in step.outputs for reader in graph.readers.get(index, [])]
            ends |= {"in" for other in before if other.kind == "DEQUANTIZE"}
            ends |= {"out" for other in after if other.kind == "QUANTIZE"}
            for other in (*before, *after):
                if other.place in places and other.place not in seen:
                    seen.add(other.place)
                    todo.append(other)
        if ends == {"in", "out"}:
            found.append(sorted(group, key=lambda step: step.place))
    return found


def _reason(step: Step, role: str, mixed: bool, inside: bool) -> str:
    if step.custom.startswith("Flex"):
        return "an operator of TensorFlow itself (select)"
    if step.custom:
        return "a custom operator"
    if role == HYBRID:
        return "dynamic range: int8 weights, float values"
    if step.kind not in HAS_INT8:
        return "the converters know no int8 form of it"
    if not mixed:
        return "nothing here is quantized"
    return "an island between int8 operators" if inside else "float up to an end of the network"


def precision_findings(network: Network, precision: Precision, runs: bool) -> list[Finding]:
    """What is to be said of operators that stay float, and of foreign ones; `runs`: whether LiteRT runs the file."""
    return [*_foreign_operators(network, runs), *_whole_file(precision), *_float_operators(network.main, precision)]


def _foreign_operators(network: Network, runs: bool) -> list[Finding]:
    found = []
    custom = Counter(step.custom for graph in network.graphs for step in graph.steps if step.custom)
    for name, count in custom.items():
        times = "" if count == 1 else f" ({count} times)"
        if name in _COMPILED:
            what = f"this file was compiled by {_COMPILED[name]}"
            means = "only that device runs it, and its inside can't be judged"
            found.append(Finding("compiled", "warning", what, means, "check the file that it was compiled from"))
        elif name.startswith("Flex"):
            what = f"{name}{times} is an operator of TensorFlow itself (select)"
            means = "only a runtime built with the Flex delegate runs it, in float, and no microcontroller or NPU does"
            do = "rewrite that layer with operators of TensorFlow Lite and convert again"
            found.append(Finding("select_operator", "warning", what, means, do, [name]))
        elif name == "TFLite_Detection_PostProcess":
            what = "boxes are decoded and suppressed inside the network (TFLite_Detection_PostProcess)"
            means = "LiteRT and TFLM have it, on a CPU and with float results; NPUs leave it to the CPU"
            found.append(
                Finding("post_process", "note", what, means, "nothing, unless a device wants the raw maps", [name])
            )
        else:
            what = f"the custom operator {name}{times} is none of TensorFlow Lite's own"
            means = "only a runtime that brings it along runs the file, and LiteRT as it is installed here does not"
            do = "take the runtime it was made for (MediaPipe, say), or rewrite that layer and convert again"
            if runs:
                means = (
                    "LiteRT as it is installed here brings it along, in float; others, microcontrollers and NPUs do not"
                )
                do = "nothing for LiteRT on a CPU; for any other target rewrite that layer and convert again"
            found.append(Finding("custom_operator", "warning", what, means, do, [name]))
    return found


def _whole_file(precision: Precision) -> list[Finding]:
    if precision.kind == "float32":
        what = f"nothing is quantized: {counted(precision.floats, 'operator')} compute in float32"
        means = "it is about four times as large as in int8, and a device without floating point can't run it"
        return [Finding("float", "warning", what, means, _QUANTIZE_ANEW)]
    if precision.kind == "float16 weights":
        what = "the weights are stored as float16, and everything is computed in float32"
        means = (
            "half the size and right for GPUs, but a CPU gains no time and a device without floating point can't run it"
        )
        return [Finding("float16", "warning", what, means, f"where int8 is wanted, {_QUANTIZE_ANEW}")]
    if precision.kind == "dynamic range":
        hybrid = precision.roles.count(HYBRID)
        what = f"dynamic range: {counted(hybrid, 'operator')} have int8 weights and compute on float values"
        means = (
            "it is small, but no microcontroller or NPU runs it, and each value is quantized anew at every inference"
        )
        return [Finding("dynamic_range", "warning", what, means, _QUANTIZE_ANEW)]
    return []


def _float_operators(graph: Graph, precision: Precision) -> list[Finding]:
    """Of a file that is quantized in part."""
    if not precision.integers or not precision.floats:
        return []
    groups: dict[str, list[Step]] = {}
    for place, reason in precision.reasons.items():
        groups.setdefault(reason, []).append(graph.steps[place])
    found = []
    for reason, steps in groups.items():
        if reason.startswith(("a custom", "an operator of")):
            continue  # told of already
        kinds = named([f"{count} {kind}" for kind, count in Counter(step.kind for step in steps).most_common()])
        where = [f"{step.kind} {graph.tensors[step.outputs[0]].label}" for step in steps if step.outputs]
        what = f"{counted(len(steps), 'operator')} stay{'s' if len(steps) == 1 else ''} float ({kinds}), {reason}"
        if reason.startswith("an island"):
            what += f", in {counted(len(precision.islands), 'island')}"
            means = "each island costs a Dequantize and a Quantize, and a device without floating point stops there"
            do = "keep them if they were left float for accuracy's sake, otherwise quantize anew with a converter that "
            do += "may not leave operators float (TFLITE_BUILTINS_INT8 alone)"
        elif reason.startswith("float up to"):
            means = "a device without floating point can't compute this end"
            do = "cut it off and compute it in code, or quantize anew with it inside"
        elif reason.startswith("dynamic"):
            means = "they got int8 weights but no ranges for their values"
            do = _QUANTIZE_ANEW
        else:
            means = "around each of them values are converted to float and back, on the CPU"
            do = "replace the layer by one with an int8 form, or compute it outside of the network"
        found.append(Finding("float_operators", "warning", what, means, do, where))
    return found
