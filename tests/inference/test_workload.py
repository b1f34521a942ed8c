import numpy as np
import pytest

from mirada.inference.tflite_file import read_tables
from mirada.inference.workload import ReferenceConvolution, _macs, _numbers, _reference_file, count_workload


def test_the_reference_convolution_is_counted_by_hand_and_can_be_timed() -> None:
    content = _reference_file()
    work = count_workload(content)
    assert work.macs == 80 * 80 * 32 * 3 * 3 * 32
    assert work.macs_by_numbers == {"float32": work.macs}
    assert work.bytes_moved == 4 * (2 * 80 * 80 * 32 + 32 * 3 * 3 * 32 + 32)
    assert read_tables(content).version == 3
    times = ReferenceConvolution().time_inference(3, warmup=1)
    assert times.shape == (3,) and np.all(times > 0)


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "macs"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (5, 3, 3, 3), (5,)], (1, 4, 4, 5), 4 * 4 * 5 * 27),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 6), (1, 5, 5, 6), (6,)], (1, 8, 8, 6), 8 * 8 * 6 * 25),
        ("FULLY_CONNECTED", [(1, 10), (4, 10), (4,)], (1, 4), 40),
        ("TRANSPOSE_CONV", [(4,), (2, 3, 3, 5), (1, 4, 4, 5)], (1, 8, 8, 2), 4 * 4 * 5 * 2 * 9),
        ("ADD", [(1, 4), (1, 4)], (1, 4), 0),
    ],
)
def test_multiplications_follow_the_shapes(
    kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], macs: int
) -> None:
    assert _macs(kind, inputs, [output]) == macs


@pytest.mark.parametrize(
    ("kind", "types", "numbers"),
    [
        ("CONV_2D", ["INT8", "INT8", "INT32"], "int8"),
        ("CONV_2D", ["INT16", "INT8", "INT64"], "int16"),
        ("FULLY_CONNECTED", ["FLOAT32", "INT8"], "hybrid"),
        ("TRANSPOSE_CONV", ["INT32", "INT8", "INT8"], "int8"),
    ],
)
def test_the_numbers_of_a_multiplication_are_those_of_pixels_and_weights(
    kind: str, types: list[str], numbers: str
) -> None:
    assert _numbers(kind, types) == numbers
