"""The tables of a `.tflite`, read and written as LiteRT's schema names them; nothing is run."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # the schema's force_align for Buffer.data, which a microcontroller reads in place
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
"""Code of an operator -> its name in the schema."""
TYPES = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
"""Code of a tensor's type -> its name in the schema, 'INT8' and the like."""
ITEM_BYTES = {
    "FLOAT64": 8, "FLOAT32": 4, "FLOAT16": 2, "INT64": 8, "INT32": 4, "INT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1,
}  # fmt: skip
"""Name of a type -> bytes of a value, of types that are stored in whole bytes."""


class _SharingBuilder(flatbuffers.Builder):
    """Lays buffers where the schema wants them, which the generated code forgets, and stores equal vectors once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._known: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, D102 - overrides the library's method
        key = (x.dtype.str, x.tobytes())
        if key not in self._known:
            alignment = _ALIGNMENT if x.dtype == np.uint8 else x.dtype.alignment
            self.StartVector(x.itemsize, x.size, alignment)
            self.head -= len(key[1])
            self.Bytes[self.head : self.head + len(key[1])] = key[1]
            self._known[key] = self.EndVector()
        return self._known[key]


def read_tables(content: bytes) -> Any:
    """The file's tables (`ModelT`)."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def to_bytes(model: Any) -> bytes:
    """Tables as a `.tflite` file, which says nothing twice; equal tables give equal bytes."""
    builder = _SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def code_of(entry: Any) -> int:
    """The operator that an entry of a file's `operatorCodes` means; old files have it in the second place alone."""
    return max(int(entry.builtinCode), int(entry.deprecatedBuiltinCode))


def list_operators(model: Any) -> list[str]:
    """'CONV_2D' and the like, in the order of computation; custom operators by their own name."""
    kinds = []
    for entry in model.operatorCodes:
        code = code_of(entry)
        own = code == schema.BuiltinOperator.CUSTOM and entry.customCode
        kinds.append(own.decode() if own else OPERATORS.get(code, f"operator {code}"))
    return [kinds[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators]
