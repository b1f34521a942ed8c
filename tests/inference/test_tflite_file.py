"""The tables of a `.tflite`."""

from types import SimpleNamespace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.inference.tflite_file import IDENTIFIER, TYPES, code_of, list_operators, read_tables, to_bytes


def entry(old: int, new: int = 0, custom: bytes | None = None) -> SimpleNamespace:
    return SimpleNamespace(deprecatedBuiltinCode=old, builtinCode=new, customCode=custom)


def drawn(*vectors: list[int]) -> schema.ModelT:
    """A file of buffers alone."""
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [], [], []
    for values in vectors:
        buffer = schema.BufferT()
        buffer.data = np.array(values, np.uint8)
        model.buffers.append(buffer)
    return model


def test_what_is_written_is_read_again_and_stored_once():
    again = to_bytes(drawn(list(range(200)), list(range(200)), [1]))
    assert again[4:8] == IDENTIFIER and again.count(bytes(range(200))) == 1
    assert again.index(bytes(range(200))) % 16 == 0, "where the schema wants a buffer"
    assert [buffer.data.tolist() for buffer in read_tables(again).buffers] == [[*range(200)], [*range(200)], [1]]
    assert to_bytes(read_tables(again)) == again


def test_operators_have_their_names_wherever_a_file_keeps_the_code():
    custom = schema.BuiltinOperator.CUSTOM
    codes = [entry(3), entry(127, 150), entry(custom, custom, b"Mine"), entry(custom, custom), entry(0, 9999)]
    assert [code_of(one) for one in codes] == [3, 150, custom, custom, 9999]
    graphs = [[SimpleNamespace(opcodeIndex=at) for at in (1, 0)], [SimpleNamespace(opcodeIndex=at) for at in (2, 3, 4)]]
    model = SimpleNamespace(operatorCodes=codes, subgraphs=[SimpleNamespace(operators=one) for one in graphs])
    assert list_operators(model) == ["GELU", "CONV_2D", "Mine", "CUSTOM", "operator 9999"]
    assert TYPES[schema.TensorType.INT8] == "INT8"
