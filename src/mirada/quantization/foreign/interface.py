"""What whoever uses a file meets: types and shapes of its ends, state, signatures, labels; and what takes its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.quantization.foreign.finding import Finding, named
from mirada.quantization.foreign.network import Network, Tensor
from mirada.quantization.foreign.precision import UNPACKING, Precision

_STATE = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


@dataclass(frozen=True)
class Share:
    """What the operators of one kind take of the file.

    Attributes:
        kind: of operator; '' for what is not constants (structure, names, metadata).
        count: operators. computes: what they compute in. size_bytes: of their constants.
    """

    kind: str
    count: int
    computes: str
    size_bytes: int


def sizes_of(network: Network, precision: Precision) -> list[Share]:
    """Bytes by kind of operator, the largest first.

    What several read counts for the first alone; what is unpacked first counts for the operator that reads it then.
    """
    sizes: dict[tuple[str, str], list[int]] = {}
    counted_already: set[int] = set()
    for number, graph in enumerate(network.graphs):
        for step in graph.steps:
            role = precision.roles[step.place] if number == 0 else "in another graph"
            entry = sizes.setdefault((step.name, role), [0, 0])
            entry[0] += 1
            if number == 0 and role == UNPACKING:
                continue
            for tensor in graph.packed(step):
                if tensor.buffer not in counted_already:
                    counted_already.add(tensor.buffer)
                    entry[1] += len(tensor.data)
    shares = [Share(kind, count, role, size) for (kind, role), (count, size) in sizes.items()]
    rest = network.size_bytes - sum(share.size_bytes for share in shares)
    return [*sorted(shares, key=lambda share: -share.size_bytes), Share("", 0, "", rest)]


def interface_findings(network: Network, precision: Precision) -> list[Finding]:
    """What is to be said of the ends, the shapes and the metadata."""
    return [*_types(network, precision), *_shapes(network), *_state(network), *_metadata(network)]


def _ends(network: Network) -> tuple[list[Tensor], list[Tensor]]:
    graph = network.main
    return [graph.tensors[i] for i in graph.inputs], [graph.tensors[i] for i in graph.outputs]


def _types(network: Network, precision: Precision) -> list[Finding]:
    inputs, outputs = _ends(network)
    floats = [tensor.label for tensor in (*inputs, *outputs) if tensor.is_float]
    found = []
    if precision.is_whole and floats:
        ends = f"{len(floats)} float inputs or outputs ({named(floats)})"
        what = f"the inside is {precision.kind}, but it has {ends}"
        means = "values are converted on the CPU at each inference, four times as much memory at these ends"
        do = "convert with inference_input_type and inference_output_type int8 or uint8 for a microcontroller or an NPU"
        found.append(Finding("float_ends", "note", what, means, do, floats))
    bare = [t.label for t in (*inputs, *outputs) if t.dtype in ("INT8", "UINT8", "INT16") and not t.is_quantized]
    if bare:
        what = f"{named(bare)} hold integers without a scale"
        means = "nothing says what real numbers they stand for"
        found.append(Finding("no_scale", "warning", what, means, "ask its maker, or convert again", bare))
    if "uint8" in precision.kind:
        what = "it computes in uint8, the form of TensorFlow 1"
        means = "weights have one scale a tensor, and newer kernels and compilers know int8 better"
        do = "quantize again with TensorFlow 2's converter where the float model is at hand"
        found.append(Finding("uint8", "note", what, means, do))
    return found


def _shapes(network: Network) -> list[Finding]:
    inputs, outputs = _ends(network)
    found = []
    moving = [t.label for t in (*inputs, *outputs) if any(side < 0 for side in t.signature)]
    if moving:
        what = f"sides of {named(moving)} may change"
        means = "memory can't be planned ahead: TFLM, Vela and the Edge TPU want fixed shapes"
        do = "convert again from a function with a fixed input shape (batch 1)"
        found.append(Finding("dynamic_shape", "warning", what, means, do, moving))
    batches = [f"{t.label} {list(t.shape)}" for t in inputs if len(t.shape) == 4 and t.shape[0] > 1]
    if batches:
        what = f"an inference takes several images at once ({named(batches)})"
        means = "one image alone takes the time and memory of all"
        found.append(Finding("batch", "note", what, means, "convert again with batch 1 for a device", batches))
    return found


def _state(network: Network) -> list[Finding]:
    graph = network.main
    found = []
    variables = [tensor.label for tensor in graph.tensors if tensor.variable]
    steps = [step for step in graph.steps if step.kind in _STATE]
    if variables or steps:
        what = "it keeps values from one inference to the next (variables)"
        means = "an answer depends on what came before, so that inputs in another order give other answers"
        found.append(
            Finding("state", "note", what, means, "reset the interpreter before an unrelated input", variables)
        )
    branches = [step.kind for step in graph.steps if step.kind in ("IF", "WHILE")]
    if branches:
        what = f"it has conditions or loops ({named(branches)})"
        means = "their bodies are graphs of their own, which NPUs leave to the CPU and which aren't judged here"
        found.append(
            Finding("branches", "note", what, means, "make the graph flat where a device is to compute all", branches)
        )
    return found


def _metadata(network: Network) -> list[Finding]:
    found = []
    if not network.signatures:
        means = "inputs and outputs are told apart by their place and by converter-made names alone"
        do = "write down which output is which, or convert again from a function with named outputs"
        found.append(Finding("no_signature", "note", "it has no signature", means, do))
    described = network.metadata
    if described is None:
        means = "neither labels nor how pixels are normalised are in the file: whoever uses it has to be told"
        do = "add TensorFlow Lite Metadata, or ship a card beside it"
        found.append(Finding("no_metadata", "note", "it has no metadata", means, do))
        return found
    if not described.labels:
        means = "nothing says what the numbers that come out mean"
        do = "attach a file of labels if it names classes"
        found.append(Finding("no_labels", "note", "its metadata hold no labels", means, do))
    if described.normalisation is None:
        means = "nothing says how pixels become its input"
        do = "ask its maker for mean and standard deviation, wrong ones cost more accuracy than int8"
        found.append(Finding("no_normalisation", "note", "its metadata hold no normalisation", means, do))
    return found
