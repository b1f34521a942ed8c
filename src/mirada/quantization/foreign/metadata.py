"""The metadata in a `.tflite` (TensorFlow Lite Metadata, schema 1): name, labels, how pixels are normalised.

No installed package has this schema's reader, so the few fields are taken by their places in its tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import flatbuffers
import numpy as np
from flatbuffers.number_types import Float32Flags, Uint8Flags
from flatbuffers.table import Table

from mirada.quantization.foreign.network import Described

# Places of fields: the n-th of a table, counted from 0, is at 4 + 2 n.
_NAME, _GRAPHS = 4, 10  # of ModelMetadata
_INPUTS = 8  # of SubGraphMetadata
_UNITS = 12  # process_units of TensorMetadata
_OPTIONS_TYPE, _OPTIONS = 4, 6  # of ProcessUnit
_MEAN, _STD = 4, 6  # of NormalizationOptions
_NORMALIZATION = 1  # of the union ProcessUnitOptions
_MOST = 1000  # entries of a list that are looked at


def describe(blob: bytes, files: Mapping[str, bytes]) -> Described:
    """What the metadata says.

    Args:
        blob: the buffer TFLITE_METADATA.
        files: that hang behind the network.

    Returns:
        What could be read; a part that is damaged is as if it were absent.
    """
    texts = {name: data.decode("utf-8", "replace").split("\n") for name, data in files.items() if name.endswith(".txt")}
    labels = {name: [line.strip() for line in lines if line.strip()] for name, lines in texts.items()}
    name, normalisation = "", None
    try:
        root = Table(blob, flatbuffers.encode.Get(flatbuffers.packer.uoffset, blob, 0))
        if place := root.Offset(_NAME):
            name = root.String(place + root.Pos).decode("utf-8", "replace")
        normalisation = next(_normalisations(root), None)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError):
        pass
    return Described(name, labels, normalisation)


def _entries(table: Table, place: int) -> Iterator[Table]:
    """The tables of a list."""
    if offset := table.Offset(place):
        start = table.Vector(offset)
        for number in range(min(table.VectorLen(offset), _MOST)):
            yield Table(table.Bytes, table.Indirect(start + 4 * number))


def _normalisations(root: Table) -> Iterator[tuple[list[float], list[float]]]:
    for graph in _entries(root, _GRAPHS):
        for tensor in _entries(graph, _INPUTS):
            for unit in _entries(tensor, _UNITS):
                kind, options = unit.Offset(_OPTIONS_TYPE), unit.Offset(_OPTIONS)
                if not kind or not options or unit.Get(Uint8Flags, kind + unit.Pos) != _NORMALIZATION:
                    continue
                found = Table(unit.Bytes, 0)
                unit.Union(found, options)
                mean, std = (found.Offset(place) for place in (_MEAN, _STD))
                if mean and std:
                    yield _floats(found, mean), _floats(found, std)


def _floats(table: Table, place: int) -> list[float]:
    return [float(x) for x in np.asarray(table.GetVectorAsNumpy(Float32Flags, place))]
