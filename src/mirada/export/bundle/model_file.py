"""A `.tflite` as tables that can be changed: the types of its ends, its metadata, and back to bytes.

What is changed is the wiring at the ends alone. No weight and no operator between them is touched, so that a file of another
input or output type computes the very numbers of the one it was made from.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mirada.errors import MiradaError
from mirada.inference.tflite_file import code_of, to_bytes

METADATA_NAME = b"TFLITE_METADATA"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_BY_NAME = {"uint8": schema.TensorType.UINT8, "int8": schema.TensorType.INT8, "float32": schema.TensorType.FLOAT32}
_NAMES = {code: name for name, code in _BY_NAME.items()}
_SIGN = 128  # between the zero points of the same values as uint8 and as int8
_QUANTIZE, _DEQUANTIZE = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE


def attach(model: Any, metadata: bytes, files: dict[str, bytes]) -> bytes:
    """A `.tflite` with metadata, and behind it the files that the metadata names, in a zip of the same file.

    Args:
        model: its tables.
        metadata: as `metadata.describe` gives it; metadata of that name that is there goes.
        files: name -> content.
    """
    model.metadata = [entry for entry in model.metadata or [] if entry.name != METADATA_NAME]
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    whole = io.BytesIO(to_bytes(model))
    with zipfile.ZipFile(whole, "a") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), content)  # stored: readers map it
    return whole.getvalue()


def types_of_ends(model: Any) -> tuple[str, list[str]]:
    """Type of the input, and of each output."""
    graph = model.subgraphs[0]
    kinds = [_NAMES.get(graph.tensors[i].type, "another type") for i in (*graph.inputs[:1], *graph.outputs)]
    return kinds[0], kinds[1:]


def input_steps(model: Any) -> tuple[float, int] | None:
    """Scale and zero point by which a uint8 input is read; None where the first layer takes floats."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.type != schema.TensorType.UINT8:
        return None
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def set_ends(model: Any, kind: str, name: str) -> None:
    """Give input and outputs another type, in place.

    Args:
        model: tables of a file with one input.
        kind: 'uint8', 'int8' or 'float32'.
        name: of the variant, for the message.

    Raises:
        MiradaError: an end that is computed in float can't become one of 8 bits.
    """
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = np.array(graph.inputs), np.array(graph.outputs)  # those of the file are read-only
    _set_input(model, graph, kind, name)
    for place in range(len(graph.outputs)):
        _set_output(model, graph, place, kind, name)
    drop_unused(model, graph)


def _set_input(model: Any, graph: Any, kind: str, name: str) -> None:
    index = int(graph.inputs[0])
    tensor = graph.tensors[index]
    if tensor.type == _BY_NAME[kind]:
        return
    users = [operator for operator in graph.operators if index in operator.inputs]
    quantize = users[0] if len(users) == 1 and _code_of(model, users[0]) == _QUANTIZE else None
    inner = graph.tensors[int(quantize.outputs[0])] if quantize else tensor
    if quantize is None or inner.type != schema.TensorType.INT8:
        raise _not_whole(name, kind, f"its input is {_NAMES.get(tensor.type, 'of another type')} all the way")
    if kind == "int8":
        graph.operators.remove(quantize)
        _rename_end(model, graph.inputs, 0, int(quantize.outputs[0]))
        return
    tensor.type, tensor.quantization = _BY_NAME[kind], None
    if kind == "uint8":
        tensor.quantization = _shifted(inner.quantization, _SIGN)


def _set_output(model: Any, graph: Any, place: int, kind: str, name: str) -> None:
    index = int(graph.outputs[place])
    tensor, wanted = graph.tensors[index], _BY_NAME[kind]
    if tensor.type == wanted:
        return
    if tensor.type == schema.TensorType.FLOAT32:
        maker = next((operator for operator in graph.operators if index in operator.outputs), None)
        if maker is None or _code_of(model, maker) != _DEQUANTIZE:
            raise _not_whole(name, kind, f"its output {tensor.name.decode()} is computed in float")
        graph.operators.remove(maker)
        index = int(maker.inputs[0])
        tensor = graph.tensors[index]
        if tensor.type == wanted:
            _rename_end(model, graph.outputs, place, index)
            return
    end = schema.TensorT()
    end.shape, end.shapeSignature, end.type, end.buffer = tensor.shape, tensor.shapeSignature, wanted, 0
    end.name, end.hasRank = tensor.name + b"_" + kind.encode(), tensor.hasRank
    if kind != "float32":
        end.quantization = _shifted(tensor.quantization, _SIGN if kind == "uint8" else -_SIGN)
    graph.tensors.append(end)
    operator = schema.OperatorT()
    operator.opcodeIndex = _opcode(model, _DEQUANTIZE if kind == "float32" else _QUANTIZE)
    operator.inputs = np.array([index], np.int32)
    operator.outputs = np.array([len(graph.tensors) - 1], np.int32)
    graph.operators.append(operator)
    _rename_end(model, graph.outputs, place, len(graph.tensors) - 1)


def drop_unused(model: Any, graph: Any) -> None:
    """Take out the tensors and kinds of operators that nothing names any more: some runtimes make room for them."""
    lists = [graph.inputs, graph.outputs, *(ends for one in graph.operators for ends in (one.inputs, one.outputs))]
    lists += [one.intermediates for one in graph.operators if one.intermediates is not None]
    used = sorted({int(index) for ends in lists for index in ends} - {-1})
    new = {old: index for index, old in enumerate(used)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in used]
    graph.inputs, graph.outputs = _renumbered(graph.inputs, new), _renumbered(graph.outputs, new)
    for one in graph.operators:
        one.inputs, one.outputs = _renumbered(one.inputs, new), _renumbered(one.outputs, new)
        one.intermediates = None if one.intermediates is None else _renumbered(one.intermediates, new)
    for signature in model.signatureDefs or []:
        for entry in (*(signature.inputs or []), *(signature.outputs or [])):
            entry.tensorIndex = new[int(entry.tensorIndex)]
    if len(model.subgraphs) > 1:
        return  # which may use the kinds of operators that this one does not
    codes = sorted({one.opcodeIndex for one in graph.operators})
    model.operatorCodes = [model.operatorCodes[old] for old in codes]
    for one in graph.operators:
        one.opcodeIndex = codes.index(one.opcodeIndex)


def _renumbered(ends: Any, new: dict[int, int]) -> np.ndarray:
    return np.array([new[int(index)] for index in ends], np.int32)


def _not_whole(name: str, kind: str, why: str) -> MiradaError:
    return MiradaError(
        f"io={kind} is for variants that are int8 from end to end, and {name} is not ({why}): leave io out."
    )


def _rename_end(model: Any, ends: Any, place: int, index: int) -> None:
    """Let an end and its name in the signature mean another tensor."""
    old, ends[place] = int(ends[place]), index
    for signature in model.signatureDefs or []:
        for entry in (*(signature.inputs or []), *(signature.outputs or [])):
            if entry.tensorIndex == old:
                entry.tensorIndex = index


def _shifted(quantization: Any, by: int) -> Any:
    """The same values with another zero point; what the converter noted of their range stays away."""
    shifted = schema.QuantizationParametersT()
    shifted.scale = quantization.scale
    shifted.zeroPoint = np.asarray(quantization.zeroPoint, np.int64) + by
    return shifted


def _code_of(model: Any, operator: Any) -> int:
    return code_of(model.operatorCodes[operator.opcodeIndex])


def _opcode(model: Any, wanted: int) -> int:
    """Index of an operator's entry in the file's list, added where it is not there."""
    for index, code in enumerate(model.operatorCodes):
        if code_of(code) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 2  # from which on both know int8
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def output_names(model: Any) -> list[str]:
    """The signature's name of each output, in the file's order; a tensor's own name where there is no signature."""
    graph = model.subgraphs[0]
    named = {
        int(entry.tensorIndex): entry.name.decode()
        for signature in model.signatureDefs or []
        for entry in signature.outputs or []
    }
    return [named.get(int(index), graph.tensors[int(index)].name.decode()) for index in graph.outputs]
