"""The file that a candidate would be exported as, before any training: its flash is that file's size.

Beside the network it holds what an export adds, metadata and labels, and some room, as it must not be the smaller one. Where
the ladder may tune, names and biases are as quantization-aware training leaves them, which take the more flash: what fits so
fits whatever rung is chosen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.data.records import Dataset
from mirada.export.bundle.assembly import attach_description, licence_of
from mirada.export.bundle.model_file import set_ends
from mirada.export.bundle.strip_plan import lower_peak
from mirada.inference.card import Card
from mirada.inference.tflite_file import code_of, read_tables, to_bytes

_VARIANT = "best"  # what is exported
_CONVOLUTIONS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
_INPUT = b"/image_range/FakeQuantWithMinMaxVars" + 2 * b";/image_range/FakeQuantWithMinMaxVars/ReadVariableOp_1"
_ALIKE = 8  # bytes that a map's scale or zero point may take more than in the untrained network
_NORMALIZED, _CALLED = b"FusedBatchNorm", b"StatefulPartitionedCall"


@dataclass(frozen=True)
class Added:
    """What an export adds to a candidate's network.

    Attributes:
        labels, dataset, licence: that the metadata tell. io: type of input and outputs.
        tuned: whether the ladder may tune. strips: wide layers are computed in strips.
    """

    labels: tuple[str, ...]
    dataset: str
    licence: str
    io: str
    tuned: bool
    strips: bool

    @classmethod
    def of(cls, dataset: Dataset, io: str, *, tuned: bool, strips: bool) -> Added:
        """For a data set."""
        return cls(tuple(dataset.classes), dataset.name, licence_of(dataset), io, tuned, strips)

    def to(self, content: bytes, task: str, input_size: int, channels: int, outputs: dict[str, list[str]]) -> bytes:
        """The file with all of it.

        Args:
            content: the int8 `.tflite` of an untrained network, with the ends of a variant.
            task, input_size, channels: of it.
            outputs: part -> names of outputs, as a card has them.

        Raises:
            MiradaError: a label can't be written.
        """
        tables = read_tables(content)
        set_ends(tables, self.io, _VARIANT)
        if self.tuned:
            lengthen(tables)
        _leave_room(tables)
        if self.strips:
            tables = read_tables(lower_peak(to_bytes(tables)))
        card = Card(task, list(self.labels), input_size, channels, "letterbox", [], outputs, self.dataset, "", {})
        return attach_description(tables, card, _VARIANT, self.licence, card.input_scale, card.input_offset)


def lengthen(tables: Any) -> None:
    """Give each convolution the names and a bias of its own that tuning leaves it, in place.

    Args:
        tables: of an int8 `.tflite`, in which biases of zeros are one, and names are those of batch normalizations.
    """
    graph, rng = tables.subgraphs[0], np.random.default_rng(0)
    kinds = [code_of(code) for code in tables.operatorCodes]
    convolutions = [one for one in graph.operators if kinds[one.opcodeIndex] in _CONVOLUTIONS and len(one.inputs) > 2]
    users = Counter(int(graph.tensors[int(one.inputs[2])].buffer) for one in convolutions)
    for one in convolutions:
        weights, bias = (graph.tensors[int(index)] for index in one.inputs[1:3])
        output = graph.tensors[int(one.outputs[0])]
        layer, _, step = weights.name.rpartition(b"/")
        tuned = b"%s/BiasAdd;%s/%s;%s/BiasAdd/ReadVariableOp" % (layer, layer, step, layer)
        first = output.name.split(b";")[0]
        if (
            not first.startswith((layer + b"/", _CALLED)) and _NORMALIZED not in first
        ):  # an activation, or an addition that went into it
            tuned = first + b";" + tuned
        bias.name, output.name = max(bias.name, tuned, key=len), max(output.name, tuned + b"1", key=len)
        if users[int(bias.buffer)] > 1:
            users[int(bias.buffer)] -= 1
            own = schema.BufferT()
            own.data = rng.integers(
                0, 256, len(tables.buffers[bias.buffer].data), np.uint8
            )  # equal ones would be stored once
            bias.buffer = len(tables.buffers)
            tables.buffers.append(own)
    graph.tensors[int(graph.inputs[0])].name += _INPUT


def _leave_room(tables: Any) -> None:
    """A few bytes for each map, as those whose scales or zero points are alike store them once, which is by chance."""
    known = [tensor.quantization.scale for tensor in tables.subgraphs[0].tensors if tensor.quantization]
    room = schema.BufferT()
    room.data = np.zeros(_ALIKE * sum(scale is not None and len(scale) == 1 for scale in known), np.uint8)
    tables.buffers.append(room)
