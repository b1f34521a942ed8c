"""TFLite Metadata, schema M001: what readers of MediaPipe and LiteRT look for in a `.tflite`.

The tables are written field by field, by their number in the schema, since the packages that carry generated code for it
bring a whole runtime along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np

LABELS_FILE = "labels.txt"
_IDENTIFIER = b"M001"
_RGB, _GREY = 1, 2  # ColorSpaceType
_FEATURES, _IMAGE, _BOXES = 1, 2, 3  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions
_AXIS_LABELS, _VALUE_LABELS = 2, 3  # AssociatedFileType
_BOUNDARIES = 1  # BoundingBoxType; that its corners are shares of a side is the schema's default
_CORNERS = (1, 0, 3, 2)  # where left, top, right and bottom stand in a box
_GROUP = "detection_result"

Write = Callable[[flatbuffers.Builder, int], None]


@dataclass(frozen=True)
class Description:
    """What the metadata tells.

    Attributes:
        name, text, licence: of the model; the licence may be empty.
        input_size, channels: side in pixels, 3 (RGB) or 1 (grey).
        mean, std: the float input is (pixel - mean) / std.
        floats: the input is float32: its range is that of the normalised pixels.
        outputs: names of the output tensors in the file's order -> what each tells.
        labelled: those of them whose last axis are the labels.
        detections: the outputs are boxes (top, left, bottom, right as shares of a side), labels, scores and their number,
            in this order: a reader finds objects in them.
    """

    name: str
    text: str
    licence: str
    input_size: int
    channels: int
    mean: float
    std: float
    floats: bool
    outputs: Mapping[str, str]
    labelled: Sequence[str]
    detections: bool = False


def describe(what: Description) -> bytes:
    """The metadata as bytes."""
    builder = flatbuffers.Builder(1024)
    labels = _associated(builder)
    inputs = _vector(builder, [_input(builder, what)])
    make = _detected if what.detections else _output
    outputs = _vector(builder, [make(builder, name, what) for name in what.outputs])
    parts = {2: _offset(inputs), 3: _offset(outputs)}
    if what.detections:
        parts[8] = _offset(_vector(builder, [_group(builder, list(what.outputs)[:-1])]))
    graph = _table(builder, 10, parts)
    fields = {
        0: _text(builder, what.name),
        1: _text(builder, what.text),
        3: _offset(_vector(builder, [graph])),
        6: _offset(_vector(builder, [labels])),
        7: _text(builder, "1.0.0"),
    }
    if what.licence:
        fields[5] = _text(builder, what.licence)
    builder.Finish(_table(builder, 8, fields), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, what: Description) -> int:
    size = _table(builder, 2, {0: _number("Uint32", what.input_size), 1: _number("Uint32", what.input_size)})
    space = _RGB if what.channels == 3 else _GREY
    image = _table(builder, 2, {0: _number("Int8", space), 1: _offset(size)})
    options = _table(builder, 2, {0: _floats(builder, [what.mean]), 1: _floats(builder, [what.std])})
    unit = _table(builder, 2, {0: _number("Uint8", _NORMALIZATION), 1: _offset(options)})
    low, high = ((0 - what.mean) / what.std, (255 - what.mean) / what.std) if what.floats else (0.0, 255.0)
    return _tensor(builder, "image", "Pixels of the picture.", _content(builder, _IMAGE, image), {
        4: _offset(_vector(builder, [unit])),
        5: _offset(_table(builder, 2, {0: _floats(builder, [high]), 1: _floats(builder, [low])})),
    })  # fmt: skip


def _output(builder: flatbuffers.Builder, name: str, what: Description) -> int:
    more: dict[int, Write] = {}
    if name in what.labelled:
        more[6] = _offset(_vector(builder, [_associated(builder)]))
    return _tensor(builder, name, what.outputs[name], _content(builder, _FEATURES, _table(builder, 0, {})), more)


def _detected(builder: flatbuffers.Builder, name: str, what: Description) -> int:
    """An output of detections: a box, a label and a score a row, or the number of rows."""
    place, more = list(what.outputs).index(name), dict[int, Write]()
    if place == 0:
        corners = _offset(builder.CreateNumpyVector(np.array(_CORNERS, np.uint32)))
        boxes = _table(builder, 3, {0: corners, 1: _number("Int8", _BOUNDARIES)})
        content = {0: _number("Uint8", _BOXES), 1: _offset(boxes)}
    else:
        content = {0: _number("Uint8", _FEATURES), 1: _offset(_table(builder, 0, {}))}
    if place == 1:
        more[6] = _offset(_vector(builder, [_associated(builder, _VALUE_LABELS)]))
    if place < len(what.outputs) - 1:  # the rows are the tensor's second axis
        rows = _table(builder, 2, {0: _number("Int32", 2), 1: _number("Int32", 2)})
        content[2] = _offset(rows)
    return _tensor(builder, name, what.outputs[name], _table(builder, 3, content), more)


def _group(builder: flatbuffers.Builder, names: Sequence[str]) -> int:
    """Outputs whose rows belong together."""
    texts = [builder.CreateString(name) for name in names]
    return _table(builder, 2, {0: _text(builder, _GROUP), 1: _offset(_vector(builder, texts))})


def _tensor(builder: flatbuffers.Builder, name: str, text: str, content: int, more: Mapping[int, Write]) -> int:
    fields = {0: _text(builder, name), 1: _text(builder, text), 3: _offset(content)}
    return _table(builder, 7, {**fields, **more})


def _content(builder: flatbuffers.Builder, kind: int, properties: int) -> int:
    return _table(builder, 3, {0: _number("Uint8", kind), 1: _offset(properties)})


def _associated(builder: flatbuffers.Builder, kind: int = _AXIS_LABELS) -> int:
    fields = {0: _text(builder, LABELS_FILE), 1: _text(builder, "A label a line, in the order of the classes.")}
    return _table(builder, 5, {**fields, 2: _number("Int8", kind)})


def _table(builder: flatbuffers.Builder, size: int, fields: Mapping[int, Write]) -> int:
    """A table of so many fields; what the fields point to is written already."""
    builder.StartObject(size)
    for number, write in fields.items():
        write(builder, number)
    return int(builder.EndObject())


def _offset(at: int) -> Write:
    return lambda builder, number: builder.PrependUOffsetTRelativeSlot(number, at, 0)


def _number(kind: str, value: int) -> Write:
    return lambda builder, number: getattr(builder, f"Prepend{kind}Slot")(number, value, 0)


def _text(builder: flatbuffers.Builder, text: str) -> Write:
    return _offset(builder.CreateString(text))


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> Write:
    return _offset(builder.CreateNumpyVector(np.array(values, np.float32)))


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for at in reversed(tables):
        builder.PrependUOffsetTRelative(at)
    return int(builder.EndVector())
