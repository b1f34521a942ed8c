"""Write a `.tflite` without saying the same thing twice.

The converter gives each per-channel weight and bias a vector of 8-byte zero points of its own, all zeros: of a small int8
network that is a tenth of the file. A flatbuffer may point to one vector from many places, so equal vectors are stored
once here. Not one value changes; LiteRT reads the file as before.
"""

from __future__ import annotations

from mirada.inference.tflite_file import read_tables, to_bytes


def share_vectors(content: bytes) -> bytes:
    """The same model in fewer bytes.

    Args:
        content: a `.tflite` file.

    Returns:
        A file whose tensors, operators and signatures are the same.
    """
    return to_bytes(read_tables(content))
