"""The metadata, read field by field with nothing but the library of flatbuffers and the numbers of the schema."""

from dataclasses import replace

import flatbuffers
import pytest
from flatbuffers import number_types as kinds
from flatbuffers.table import Table

from mirada.export.bundle.metadata import Description, describe

WHAT = Description(
    "trees best", "What it does.", "MIT", 320, 3, 127.0, 127.5, False, {"boxes": "b", "classes": "c"}, ["classes"]
)


class Reader:
    """A table of a flatbuffer: `reader[number]` leads to a field."""

    def __init__(self, content: bytes, at: int) -> None:
        self.table = Table(content, at)

    def place(self, number: int) -> int:
        offset = self.table.Offset(4 + 2 * number)
        assert offset, f"field {number} is not there"
        return self.table.Pos + offset

    def text(self, number: int) -> str:
        return bytes(self.table.String(self.place(number))).decode()

    def has(self, number: int) -> bool:
        return bool(self.table.Offset(4 + 2 * number))

    def one(self, number: int) -> "Reader":
        return Reader(self.table.Bytes, self.table.Indirect(self.place(number)))

    def many(self, number: int) -> list["Reader"]:
        vector = self.table.Vector(self.place(number) - self.table.Pos)
        count = self.table.VectorLen(self.place(number) - self.table.Pos)
        return [Reader(self.table.Bytes, self.table.Indirect(vector + 4 * i)) for i in range(count)]

    def floats(self, number: int) -> list[float]:
        return [float(x) for x in self.table.GetVectorAsNumpy(kinds.Float32Flags, self.place(number) - self.table.Pos)]

    def number(self, number: int, kind: type = kinds.Uint8Flags) -> int:
        return int(self.table.Get(kind, self.place(number)))


def read(content: bytes) -> Reader:
    return Reader(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))


def test_the_model_names_its_file_of_labels_and_the_licence() -> None:
    content = describe(WHAT)
    model = read(content)
    assert content[4:8] == b"M001"
    assert (model.text(0), model.text(1), model.text(5)) == ("trees best", "What it does.", "MIT")
    assert [file.text(0) for file in model.many(6)] == ["labels.txt"]
    assert not read(describe(replace(WHAT, licence=""))).has(5)


@pytest.mark.parametrize(
    ("floats", "channels", "low", "high"), [(False, 3, 0, 255), (True, 1, -127 / 127.5, 128 / 127.5)]
)
def test_the_input_says_its_size_its_colours_and_how_pixels_become_numbers(floats, channels, low, high) -> None:
    (graph,) = read(describe(replace(WHAT, floats=floats, channels=channels))).many(3)
    (image,) = graph.many(2)
    assert image.text(0) == "image"
    content = image.one(3)
    assert content.number(0) == 2  # ImageProperties
    assert content.one(1).number(0) == (1 if channels == 3 else 2)  # RGB or GRAYSCALE
    size = content.one(1).one(1)
    assert (size.number(0, kinds.Uint32Flags), size.number(1, kinds.Uint32Flags)) == (320, 320)
    (unit,) = image.many(4)
    assert unit.number(0) == 1  # NormalizationOptions
    assert (unit.one(1).floats(0), unit.one(1).floats(1)) == ([127.0], [127.5])
    assert (image.one(5).floats(1), image.one(5).floats(0)) == (pytest.approx([low]), pytest.approx([high]))


def test_outputs_keep_their_order_and_only_those_with_labels_name_the_file() -> None:
    (graph,) = read(describe(WHAT)).many(3)
    boxes, classes = graph.many(3)
    assert (boxes.text(0), boxes.text(1), classes.text(0)) == ("boxes", "b", "classes")
    assert not boxes.has(6)
    (file,) = classes.many(6)
    assert (file.text(0), file.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_equal_descriptions_give_equal_bytes() -> None:
    assert describe(WHAT) == describe(replace(WHAT))
