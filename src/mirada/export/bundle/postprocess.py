"""What a network's outputs mean, computed inside the `.tflite`: for MediaPipe and Android, which know no card.

A detector gets its boxes decoded by plain float operators and suppressed by TFLite_Detection_PostProcess, the custom
operator that LiteRT, MediaPipe and Android's libraries have built in; a classifier gets its softmax. The network before them
stays as it is, to the last byte of its weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from mirada.errors import MiradaError
from mirada.export.bundle.model_file import opcode, output_names
from mirada.inference.card import Card
from mirada.inference.prediction import STANDARD, Decoding, cells_of

OPERATOR = b"TFLite_Detection_PostProcess"
DETECTED = ("location", "category", "score", "number of detections")
"""Outputs of a detector, by the names that MediaPipe's reader looks for."""
CLASSIFIED = ("score",)
_TYPES = {np.dtype(np.float32): schema.TensorType.FLOAT32, np.dtype(np.int32): schema.TensorType.INT32}
_LEAST_SIDE = 1e-6  # pixels: a logarithm is taken of a box's sides
_DEQUANTIZE_INT8 = 2  # version of the operator from which on it reads int8


class _Writer:
    """Appends tensors and operators to the tables of a `.tflite`; a tensor is its index in the graph."""

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]

    def tensor(self, name: str, shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32) -> int:
        entry = schema.TensorT()
        entry.name, entry.shape, entry.type, entry.hasRank = name.encode(), np.array(shape, np.int32), kind, True
        self.graph.tensors.append(entry)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        index, buffer = self.tensor(name, values.shape, _TYPES[values.dtype]), schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.graph.tensors[index].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        return index

    def add(self, kind: str, inputs: list[int], outputs: list[int], options: Any = None, version: int = 1) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = opcode(self.model, getattr(schema.BuiltinOperator, kind), version)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.graph.operators.append(operator)

    def apply(self, kind: str, inputs: list[int], shape: tuple[int, ...], options: Any = None, version: int = 1) -> int:
        """An operator of one float output, which is given."""
        output = self.tensor(f"{kind.lower()}_{len(self.graph.tensors)}", shape)
        self.add(kind, inputs, [output], options, version)
        return output

    def join(self, parts: list[int], axis: int, shape: tuple[int, ...]) -> int:
        if len(parts) == 1:
            return parts[0]
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self.apply("CONCATENATION", parts, shape, options)

    def floats(self, index: int) -> int:
        """The tensor itself, or what it stands for where it is quantized."""
        tensor = self.graph.tensors[index]
        if tensor.type == schema.TensorType.FLOAT32:
            return index
        return self.apply("DEQUANTIZE", [index], tuple(tensor.shape), version=_DEQUANTIZE_INT8)


def add_postprocess(model: Any, card: Card, decoding: Decoding = STANDARD) -> None:
    """Put what decodes and chooses behind the network, in place; the file's outputs become `DETECTED` or `CLASSIFIED`.

    Args:
        model: the file's tables, one graph.
        card: names its outputs.
        decoding: of detections: floor, overlap and number are written into the file.

    Raises:
        MiradaError: no operator knows the task's answers.
    """
    writer = _Writer(model)
    names: tuple[str, ...]
    named = dict(zip(output_names(model), map(int, writer.graph.outputs), strict=True))
    if card.task == "detection":
        names, outputs = DETECTED, _detect(writer, named, card, decoding)
    elif card.task == "classification":
        names, outputs = CLASSIFIED, [_likelihood(writer, writer.floats(named[card.outputs["classes"][0]]))]
    else:
        raise MiradaError(
            f"postprocess=graph is for detection and classification, and this model is for {card.task}, which neither "
            "MediaPipe nor an operator knows: leave postprocess out."
        )
    writer.graph.outputs = np.array(outputs, np.int32)
    _rewrite_signature(model, names, outputs)


def _detect(writer: _Writer, named: dict[str, int], card: Card, decoding: Decoding) -> list[int]:
    """Boxes, classes, scores and their number, from the maps of all levels."""
    count = len(cells_of(card.input_size, tuple(card.strides))[0])
    scores = writer.apply("LOGISTIC", [_flatten(writer, named, card, "objectness", 1, count)], (1, count, 1))
    if "classes" in card.outputs:
        scores = _label_scores(writer, _flatten(writer, named, card, "classes", len(card.labels), count), scores, count)
    boxes = _encoded_boxes(writer, _flatten(writer, named, card, "distances", 4, count), card)
    # An encoded box is (y, x, log h, log w) in pixels; the anchor makes shares of the input's side of them.
    anchors = np.tile(np.array([0, 0, 1, 1], np.float32) / np.float32(card.input_size), (count, 1))
    inputs = [boxes, scores, writer.constant("anchors", anchors)]
    most = decoding.max_detections or count
    shapes: list[tuple[int, ...]] = [(1, most, 4), (1, most), (1, most), (1,)]
    outputs = [writer.tensor(name, shape) for name, shape in zip(DETECTED, shapes, strict=True)]
    writer.add("CUSTOM", inputs, outputs)
    code, operator = writer.model.operatorCodes[-1], writer.graph.operators[-1]
    code.customCode = OPERATOR
    operator.customOptions = np.frombuffer(_options(decoding, most, len(card.labels)), np.uint8)
    return outputs


def _options(decoding: Decoding, most: int, labels: int) -> bytes:
    """What the operator is told; suppression label by label, as the engine has it."""
    return bytes(
        flexbuffers.Dumps({
            "max_detections": most, "max_classes_per_detection": 1, "detections_per_class": most,
            "use_regular_nms": True, "nms_score_threshold": float(decoding.score_floor),
            "nms_iou_threshold": float(decoding.nms_iou), "num_classes": labels,
            "y_scale": 1.0, "x_scale": 1.0, "h_scale": 1.0, "w_scale": 1.0,
        })
    )  # fmt: skip


def _flatten(writer: _Writer, named: dict[str, int], card: Card, part: str, channels: int, count: int) -> int:
    """The maps of a part as (1, cells, channels) floats, level by level, row by row."""
    levels = []
    for name in card.outputs[part]:
        values = writer.floats(named[name])
        cells = int(np.prod(writer.graph.tensors[named[name]].shape)) // channels
        shape, options = (1, cells, channels), schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        target = writer.constant(f"shape_{name}", np.array(shape, np.int32))
        levels.append(writer.apply("RESHAPE", [values, target], shape, options))
    return writer.join(levels, 1, (1, count, channels))


def _label_scores(writer: _Writer, logits: int, objectness: int, count: int) -> int:
    """(1, cells, labels): a cell's score at its likeliest label, and nothing at the others."""
    labels = int(writer.graph.tensors[logits].shape[2])
    axis = writer.constant("axis", np.array(2, np.int32))
    best, argmax = writer.tensor("best_label", (1, count), schema.TensorType.INT32), schema.ArgMaxOptionsT()
    argmax.outputType = schema.TensorType.INT32
    writer.add("ARG_MAX", [logits, axis], [best], argmax)
    depth, on, off = (
        writer.constant(name, np.array(value, kind))
        for name, value, kind in (("labels", labels, np.int32), ("on", 1, np.float32), ("off", 0, np.float32))
    )
    options, shape = schema.OneHotOptionsT(), (1, count, labels)
    options.axis = -1
    chosen = writer.apply("ONE_HOT", [best, depth, on, off], shape, options)
    likely = writer.apply("MUL", [_likelihood(writer, logits), chosen], shape, schema.MulOptionsT())
    return writer.apply("MUL", [likely, objectness], shape, schema.MulOptionsT())


def _likelihood(writer: _Writer, logits: int) -> int:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    return writer.apply("SOFTMAX", [logits], tuple(writer.graph.tensors[logits].shape), options)


def _encoded_boxes(writer: _Writer, distances: int, card: Card) -> int:
    """(1, cells, 4) centre and logarithm of the sides, of boxes cut to the input as the engine cuts them."""
    centres, strides = cells_of(card.input_size, tuple(card.strides))
    count = len(centres)
    one, pair, four = (1, count, 1), (1, count, 2), (1, count, 4)

    def number(name: str, value: float) -> int:
        return writer.constant(name, np.array(value, np.float32))

    grown = writer.apply("EXP", [distances], four, schema.ExpOptionsT())
    softplus = writer.apply("LOG", [writer.apply("ADD", [grown, number("one", 1.0)], four, schema.AddOptionsT())], four)
    steps = writer.constant("strides", strides.reshape(one))
    reach = writer.apply("MUL", [softplus, steps], four, schema.MulOptionsT())
    left, top, right, bottom = sides = [writer.tensor(f"reach_{end}", one) for end in ("x1", "y1", "x2", "y2")]
    split = schema.SplitOptionsT()
    split.numSplits = 4
    writer.add("SPLIT", [writer.constant("last_axis", np.array(2, np.int32)), reach], sides, split)
    middle = writer.constant("centres", np.ascontiguousarray(centres[:, ::-1]).reshape(pair))  # y before x from here on
    low = writer.apply("SUB", [middle, writer.join([top, left], 2, pair)], pair, schema.SubOptionsT())
    high = writer.apply("ADD", [middle, writer.join([bottom, right], 2, pair)], pair, schema.AddOptionsT())
    low = writer.apply("MAXIMUM", [low, number("nothing", 0.0)], pair, schema.MaximumMinimumOptionsT())
    high = writer.apply("MINIMUM", [high, number("side", card.input_size)], pair, schema.MaximumMinimumOptionsT())
    both = writer.apply("ADD", [low, high], pair, schema.AddOptionsT())
    centre = writer.apply("MUL", [both, number("half", 0.5)], pair, schema.MulOptionsT())
    size = writer.apply("SUB", [high, low], pair, schema.SubOptionsT())
    size = writer.apply("MAXIMUM", [size, number("least_side", _LEAST_SIDE)], pair, schema.MaximumMinimumOptionsT())
    return writer.join([centre, writer.apply("LOG", [size], pair)], 2, four)


def _rewrite_signature(model: Any, names: tuple[str, ...], outputs: list[int]) -> None:
    for signature in model.signatureDefs or []:
        signature.outputs = []
        for name, index in zip(names, outputs, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            signature.outputs.append(entry)
