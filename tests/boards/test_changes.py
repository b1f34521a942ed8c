"""What networks that were never built would take, worked out by hand."""

import pytest

from mirada.boards.changes import (
    find_blocks,
    nearest_changes,
    with_input_size,
    with_stride,
    with_width,
    without_blocks,
)
from mirada.boards.memory import plan_memory
from mirada.boards.network import Network
from tests.boards.networks import RESIDUAL


def peak(network: Network | None) -> int:
    assert network is not None
    return plan_memory(network).peak_bytes


def test_memory_goes_with_the_square_of_the_input_and_weights_do_not() -> None:
    half = with_input_size(RESIDUAL, 32)
    assert half.tensors[0].shape == (1, 32, 32, 3) and half.tensors[5].shape == (1, 16)
    assert peak(half) == 49_152 / 4 and half.weight_bytes == RESIDUAL.weight_bytes == 896
    assert RESIDUAL.macs == (432 + 144 + 256) * 1024 + 64 and half.macs == (432 + 144 + 256) * 256 + 64


def test_a_stride_leaves_the_input_as_it_is() -> None:
    assert peak(with_stride(RESIDUAL)) == 12_288 + 16 * 16 * 16


def test_half_the_width_halves_the_maps_and_leaves_the_ends() -> None:
    narrow = with_width(RESIDUAL, 0.5)
    assert [narrow.tensors[index].channels for index in range(7)] == [3, 8, 8, 8, 8, 8, 4]
    assert [operator.kernel for operator in narrow.operators] == [216, 72, 64, 0, 0, 32]
    assert peak(narrow) == 24_576
    assert with_width(RESIDUAL, 0.1).tensors[1].channels == 8, "channels come in eights"


def test_a_block_that_is_passed_over_leaves_the_rest_joined() -> None:
    assert find_blocks(RESIDUAL) == [(1, 2, 3)]
    left = without_blocks(RESIDUAL, [(1, 2, 3)])
    assert [operator.kind for operator in left.operators] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert left.operators[1].inputs == (1,) and left.weight_bytes == 432 + 64
    assert peak(left) == 12_288 + 16_384


def test_of_each_kind_the_smallest_change_and_that_first_which_keeps_most() -> None:
    found = nearest_changes(RESIDUAL, lambda network: peak(network) <= 29_152)
    assert [(one.what, one.before, one.after) for one in found] == [
        ("input_size", 64, 48),  # 3 maps of 24 x 24 x 16: 27,648; of 25 x 25 it would be 30,000
        ("blocks", 1, 0),
        ("width", 1, 0.7),  # 8 channels
        ("stride", 1, 2),
    ]
    assert found[0].kept == pytest.approx((576 * 832 + 64) / RESIDUAL.macs)


def test_where_no_single_change_is_enough_two_are_taken() -> None:
    bound = 3 * 16 * 16 * 8
    (one,) = nearest_changes(RESIDUAL, lambda network: peak(network) <= bound and network.weight_bytes < 896)
    assert one.what == "input_size and width" and one.network.weight_bytes == 216 + 72 + 64 + 32
    assert peak(one.network) <= bound
    assert nearest_changes(RESIDUAL, lambda network: False) == []
