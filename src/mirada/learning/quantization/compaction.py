"""Write a `.tflite` without saying the same thing twice.

The converter gives each per-channel weight and bias a vector of 8-byte zero points of its own, all zeros: of a small int8
network that is a tenth of the file. A flatbuffer may point to one vector from many places, so equal vectors are stored
once here. Not one value changes; LiteRT reads the file as before.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16  # the schema's force_align for Buffer.data


class _SharingBuilder(flatbuffers.Builder):
    """Stores equal vectors once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._known: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, D102 - overrides the library's method
        key = (x.dtype.str, x.tobytes())
        if key not in self._known:
            alignment = _BUFFER_ALIGNMENT if x.dtype == np.uint8 else x.dtype.alignment
            self.StartVector(x.itemsize, x.size, alignment)
            self.head -= len(key[1])
            self.Bytes[self.head : self.head + len(key[1])] = key[1]
            self._known[key] = self.EndVector()
        return self._known[key]


def share_vectors(content: bytes) -> bytes:
    """The same model in fewer bytes.

    Args:
        content: a `.tflite` file.

    Returns:
        A file whose tensors, operators and signatures are the same.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    builder = _SharingBuilder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
