from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mirada.config import DeviceConfig, VelaConfig
from mirada.errors import MiradaError
from mirada.export.bundle.operators import check_device, least_memory
from mirada.inference.tflite_file import list_operators, read_tables

BOARD = DeviceConfig(
    name="board", title="Board", runtime="tflm", operators="tflm", ram_bytes=40_000, flash_bytes=50_000
)


def network(code: int = schema.BuiltinOperator.CONV_2D, kind: int = schema.TensorType.INT8) -> schema.ModelT:
    """One operator from (1, 100, 100, 3) to (1, 50, 50, 4)."""
    model, graph, operator, name = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    for shape in ((1, 100, 100, 3), (1, 50, 50, 4), (4, 3, 3, 3)):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = np.array(shape), kind, b"tensor"
        graph.tensors = [*(graph.tensors or []), tensor]
    operator.inputs, operator.outputs, operator.opcodeIndex = np.array([0, 2]), np.array([1]), 0
    name.builtinCode, name.deprecatedBuiltinCode, name.customCode = code, min(code, 127), b"Odd"
    graph.operators, graph.inputs, graph.outputs = [operator], np.array([0]), np.array([1])
    model.subgraphs, model.operatorCodes = [graph], [name]
    return model


def test_the_least_memory_is_an_operators_input_and_output() -> None:
    assert least_memory(network()) == (100 * 100 * 3 + 50 * 50 * 4, "CONV_2D")
    assert least_memory(network(kind=schema.TensorType.FLOAT32))[0] == 4 * 40_000
    assert least_memory(network(schema.BuiltinOperator.RESHAPE)) == (0, "")  # its output may be its input


def test_what_fits_to_the_byte_fits() -> None:
    check_device(network(), 50_000, BOARD, Path("a.tflite"))


@pytest.mark.parametrize(
    ("model", "size_bytes", "sentence"),
    [
        (
            network(schema.BuiltinOperator.NON_MAX_SUPPRESSION_V4),
            9,
            r"uses NON_MAX_SUPPRESSION_V4, which Board \(tflm\)",
        ),
        (network(schema.BuiltinOperator.CUSTOM), 9, "uses Odd, which Board"),
        (network(), 50_001, "has 50,001 bytes, and Board 50,000 of flash: .*device.flash_bytes"),
        (
            network(kind=schema.TensorType.FLOAT32),
            9,
            "needs 160,000 bytes of RAM for one CONV_2D .* has 40,000: .*ram_bytes",
        ),
    ],
)
def test_what_a_board_has_no_use_for_is_refused(model, size_bytes, sentence) -> None:
    with pytest.raises(MiradaError, match=f"^a.tflite {sentence}"):
        check_device(model, size_bytes, BOARD, Path("a.tflite"))


def test_floats_between_the_ends_are_no_work_for_an_npu(int8_file, float_file) -> None:
    npu = DeviceConfig("npu", "NPU", "vela", "tflm", vela=VelaConfig("ethos-u55-128", "a", "b"))
    check_device(read_tables(int8_file.read_bytes()), 9, npu, int8_file)
    with pytest.raises(MiradaError, match=r"float32.tflite computes in float \(.*\), and NPU in integers alone"):
        check_device(read_tables(float_file.read_bytes()), 9, npu, float_file)


def test_operators_are_listed_in_the_file_s_order(int8_file) -> None:
    names = list_operators(read_tables(int8_file.read_bytes()))
    assert names[0] == "QUANTIZE"
    assert names.count("CONV_2D") == 4
