"""Read a `.tflite` of anybody's, which may be damaged or no `.tflite` at all, without running it."""

from __future__ import annotations

import mmap
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.errors import MiradaError
from mirada.inference.tflite_file import IDENTIFIER, OPERATORS, TYPES
from mirada.quantization.foreign.metadata import describe
from mirada.quantization.foreign.network import Graph, Network, Step, Tensor

MOST_BYTES = 2**31  # what a flatbuffer's offsets reach
_VERSION = 3
_OTHERS = {  # how files begin that are taken for a .tflite
    b"PK\x03\x04": "a zip archive: unpack it (a .task bundle holds .tflite files) and give the .tflite in it",
    b"\x89HDF": "an HDF5 file, a Keras model: convert it with TensorFlow's TFLiteConverter first",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
    b"<": "a page of the web or XML, not the file itself: download it again",
}  # fmt: skip
# What Python makes of offsets that lead outside the file, of lengths that can't be, of text that is none.
_BROKEN = (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError, KeyError, AttributeError)
_DATA = 4  # place of a buffer's bytes in its table


class _Damaged(ValueError):
    """Something that can't be in a whole file."""


def read_network(path: Path) -> Network:
    """Read a file.

    Raises:
        MiradaError: it is absent, empty, no `.tflite`, of another version of the schema, cut short or damaged.
    """
    content = _open(path)
    try:
        model = schema.Model.GetRootAs(content, 0)
        version = int(model.Version())
    except _BROKEN as error:
        raise _torn(path, error) from error
    if version != _VERSION:
        raise MiradaError(f"path={path} has version {version} of the schema, expected {_VERSION}: convert it again.")
    try:
        graphs = [_graph(model, content, number) for number in range(_within(model.SubgraphsLength(), content))]
        if not graphs:
            raise _Damaged("it holds no graph")
        blobs = _metadata(model, content)
        signatures = [
            _text(model.SignatureDefs(i).SignatureKey()) for i in range(_within(model.SignatureDefsLength(), content))
        ]
        return Network(
            path=path,
            size_bytes=len(content),
            description=_text(model.Description()),
            graphs=graphs,
            signatures=signatures,
            runtime=_text(blobs.get("min_runtime_version", b"")).strip("\0"),
            metadata=describe(blobs["TFLITE_METADATA"], _attached(path)) if "TFLITE_METADATA" in blobs else None,
        )
    except _BROKEN as error:
        raise _torn(path, error) from error


def _open(path: Path) -> mmap.mmap:
    """The file's bytes, of which only those are read that are asked for."""
    if path.is_dir():
        raise MiradaError(f"path={path} is a folder: give the .tflite file in it.")
    try:
        with path.open("rb") as file:
            head = file.read(32)
            size = path.stat().st_size
            if not head:
                raise MiradaError(f"path={path} is empty (0 bytes): download or convert it again.")
            _check_kind(path, head)
            if size > MOST_BYTES:
                raise MiradaError(
                    f"path={path} has {size / 2**30:.1f} GiB: more than the 2 GiB of a flatbuffer is no network for a "
                    "small device; give a smaller one."
                )
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise MiradaError(f"path={path}: there is no such file; give a .tflite.") from error
    except OSError as error:
        raise MiradaError(f"path={path} can't be read ({error.strerror or error}): give a .tflite file.") from error


def _check_kind(path: Path, head: bytes) -> None:
    mark = head[4:8]
    if mark == IDENTIFIER:
        return
    if mark[:3] == b"TFL" and mark[3:].isdigit():
        raise MiradaError(f"path={path} has version {mark[3:].decode()} of the schema, expected 3: convert it again.")
    for start, what in _OTHERS.items():
        if head.startswith(start):
            raise MiradaError(f"path={path} is {what}.")
    raise MiradaError(f"path={path} is no .tflite: it lacks the mark TFL3 of such a file; give another.")


def _torn(path: Path, error: BaseException) -> MiradaError:
    why = f"{error}" if isinstance(error, _Damaged) else "it points to what is not in it"
    return MiradaError(f"path={path} is cut short or damaged ({why}): download or convert it again.")


def _within(count: int, content: mmap.mmap) -> int:
    """A count, unless no file of this size could hold so many."""
    if not 0 <= count <= len(content) // 4:
        raise _Damaged(f"it says to hold {count} things in {len(content)} bytes")
    return int(count)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _buffer(model: Any, content: mmap.mmap, number: int) -> np.ndarray:
    """The bytes of a buffer, (N,) uint8, as a view; empty for a tensor that is computed."""
    if not 0 <= number < model.BuffersLength():
        raise _Damaged(f"buffer {number} is not in it")
    table = model.Buffers(number)
    start, size = int(table.Offset() or 0), int(table.Size() or 0)
    if start <= 1:  # the usual way; otherwise the bytes stand behind the flatbuffer
        place = table._tab.Offset(_DATA)
        if not place:
            return np.zeros(0, np.uint8)
        start, size = table._tab.Vector(place), table._tab.VectorLen(place)
    if start + size > len(content):
        raise _Damaged(f"it ends at byte {len(content)}, where byte {start + size} is meant")
    return np.frombuffer(content, np.uint8, size, start)


def _metadata(model: Any, content: mmap.mmap) -> dict[str, bytes]:
    entries = [model.Metadata(i) for i in range(_within(model.MetadataLength(), content))]
    return {_text(entry.Name()): _buffer(model, content, entry.Buffer()).tobytes() for entry in entries}


def _attached(path: Path) -> dict[str, bytes]:
    """The files in the archive that may hang behind a `.tflite`; none where there is no such archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            small = [info for info in archive.infolist() if info.file_size < 2**20]
            return {info.filename: archive.read(info) for info in small[:100]}
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError):
        return {}


def _numbers(found: Any, dtype: type) -> np.ndarray:
    """A vector of the schema, which gives 0 for one that is absent."""
    return np.asarray(found, dtype).reshape(-1) if not isinstance(found, int) else np.zeros(0, dtype)


def _graph(model: Any, content: mmap.mmap, number: int) -> Graph:
    graph = model.Subgraphs(number)
    tensors = [_tensor(model, content, graph.Tensors(i), i) for i in range(_within(graph.TensorsLength(), content))]
    steps = [_step(model, graph.Operators(i), i) for i in range(_within(graph.OperatorsLength(), content))]
    ends = [[int(i) for i in _numbers(found, np.int64)] for found in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())]
    named = [index for step in steps for index in (*step.inputs, *step.outputs)]
    for index in (*named, *ends[0], *ends[1]):
        if not -1 <= index < len(tensors):
            raise _Damaged(f"an operator names tensor {index} of {len(tensors)}")
    return Graph(tensors, steps, *([i for i in found if i >= 0] for found in ends))


def _tensor(model: Any, content: mmap.mmap, tensor: Any, index: int) -> Tensor:
    kind = int(tensor.Type())
    if kind not in TYPES:
        raise _Damaged(f"tensor {index} has type {kind}, which is none")
    quantization = tensor.Quantization()
    scales, zeros = np.zeros(0, np.float32), np.zeros(0, np.int64)
    if quantization is not None:
        scales = _numbers(quantization.ScaleAsNumpy(), np.float32)
        zeros = _numbers(quantization.ZeroPointAsNumpy(), np.int64)
    shape = tuple(int(side) for side in _numbers(tensor.ShapeAsNumpy(), np.int64))
    signature = tuple(int(side) for side in _numbers(tensor.ShapeSignatureAsNumpy(), np.int64))
    return Tensor(
        index=index,
        name=_text(tensor.Name()),
        dtype=TYPES[kind],
        shape=shape,
        signature=signature if len(signature) == len(shape) else shape,
        scales=scales,
        zero_points=zeros,
        axis=int(quantization.QuantizedDimension()) if quantization is not None else 0,
        data=_buffer(model, content, int(tensor.Buffer())),
        buffer=int(tensor.Buffer()),
        variable=bool(tensor.IsVariable()),
        sparse=tensor.Sparsity() is not None,
    )


def _step(model: Any, operator: Any, place: int) -> Step:
    number = int(operator.OpcodeIndex())
    if not 0 <= number < model.OperatorCodesLength():
        raise _Damaged(f"operator {place} is of kind {number}, which is not in it")
    code = model.OperatorCodes(number)
    kind = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))  # files before 2.4 have the second alone
    custom = _text(code.CustomCode()) if kind == schema.BuiltinOperator.CUSTOM else ""
    ends = (_numbers(found, np.int64) for found in (operator.InputsAsNumpy(), operator.OutputsAsNumpy()))
    inputs, outputs = (tuple(int(i) for i in found) for found in ends)
    return Step(place, OPERATORS.get(kind, f"OPERATOR {kind}"), custom, inputs, outputs)
