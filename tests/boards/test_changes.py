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
from tests.boards.networks import RESIDUAL, in_two_strips


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
        ("blocks", 1, 0),
        ("width", 1, 0.7),  # 8 channels
        ("input_size", 64, 32),  # the next that preprocess takes
        ("stride", 1, 2),
    ]
    assert found[0].kept == pytest.approx((1024 * 432 + 64) / RESIDUAL.macs)


@pytest.mark.parametrize(("limit", "side"), [(120_000, 96), (60_000, 64), (20_000, 32)])
def test_inputs_are_those_that_preprocess_takes(limit: int, side: int) -> None:
    wide = with_input_size(RESIDUAL, 150)  # three maps of 16 channels and half its side
    (one,) = [one for one in nearest_changes(wide, lambda n: peak(n) <= limit) if one.what == "input_size"]
    assert one.after == side


def test_in_a_file_with_strips_every_strip_is_changed_and_shared_weights_count_once() -> None:
    strips = in_two_strips()
    assert strips.weight_bytes == RESIDUAL.weight_bytes + 2 * 32 and strips.macs == RESIDUAL.macs
    strided = with_stride(strips)
    assert strided is not None and strided.tensors[10].shape == (1, 32, 64, 3)
    assert [strided.tensors[index].shape for index in (11, 21, 24, 9)] == [*[(1, 8, 16, 16)] * 3, (1, 16, 16, 16)]
    assert peak(strips) == 12_288 + 3 * 8_192 and peak(strided) == 12_288 + 6_144 + 2_048
    (left,) = [one for one in nearest_changes(strips, lambda n: peak(n) <= 32_768) if one.what == "blocks"]
    assert left.sentence == "without 1 of the 1 repeated blocks" and left.network.weight_bytes == 432 + 64 + 2 * 32
    assert [one.kind for one in left.network.operators].count("CONV_2D") == 2


def test_where_no_single_change_is_enough_two_are_taken() -> None:
    bound = 3 * 16 * 16 * 8
    (one,) = nearest_changes(RESIDUAL, lambda network: peak(network) <= bound and network.weight_bytes < 896)
    assert one.what == "input_size and width" and one.network.weight_bytes == 216 + 72 + 64 + 32
    assert peak(one.network) <= bound
    assert nearest_changes(RESIDUAL, lambda network: False) == []
