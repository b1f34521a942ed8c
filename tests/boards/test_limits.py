"""What a model may take of a board, and limits that make no sense."""

import pytest

from mirada.boards.limits import Limits, limits_of
from mirada.boards.table import read_boards
from mirada.config import BoardLimitsConfig, DeviceConfig, VelaConfig
from mirada.errors import MiradaError

CHIP = DeviceConfig("chip", "Chip", "tflm", "tflm", ram_bytes=1000, flash_bytes=5000)


def test_the_boards_share_is_taken_and_what_is_set_goes_before() -> None:
    assert limits_of(CHIP) == Limits(1000, 5000, None)
    shared = DeviceConfig("chip", "Chip", "tflm", "tflm", ram_bytes=1000, limits=BoardLimitsConfig(800, 700))
    assert limits_of(shared) == Limits(800, 700, None)
    assert limits_of(shared, BoardLimitsConfig(arena_bytes=600)) == Limits(600, 700, None)
    assert limits_of(read_boards()["esp32s3"]) == Limits(400 * 1024, 2 << 20, None)
    assert limits_of(read_boards()["nano_33_ble"]) == Limits(200 * 1024, 1 << 20, None)


@pytest.mark.parametrize(
    ("board", "own", "sentence"),
    [
        (
            CHIP,
            BoardLimitsConfig(arena_bytes=1001),
            "arena_bytes=1001 is more than the 1,000 bytes of RAM that Chip",
        ),
        (CHIP, BoardLimitsConfig(flash_bytes=5001), "limits.flash_bytes=5001 is more than the 5,000 bytes of flash"),
        (CHIP, BoardLimitsConfig(milliseconds=5), "limits.milliseconds=5 can't be judged on Chip"),
        (
            DeviceConfig("pi", "Pi"),
            BoardLimitsConfig(arena_bytes=5),
            "on Pi: LiteRT takes memory as it goes",
        ),
    ],
)
def test_limits_that_contradict_the_board_are_refused(board, own, sentence) -> None:
    with pytest.raises(MiradaError, match=sentence):
        limits_of(board, own)


def test_a_board_without_any_number_says_which_and_where_it_is_told() -> None:
    core = read_boards()["ethos_u55_128"]
    with pytest.raises(MiradaError, match="device=ethos_u55_128 sets no limit: ram_bytes belongs to .*milliseconds"):
        limits_of(core)
    assert core.vela == VelaConfig("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
    assert limits_of(core, BoardLimitsConfig(milliseconds=16)) == Limits(None, None, 16)
