"""What a model may take of a board, and limits that make no sense."""

import pytest

from mirada.boards.limits import Limits, limits_of, say_not_judged
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


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("esp32s3", r"ram_bytes \(ESP32-S3 Series Datasheet.*512 KB.*\) is null: set device.limits.arena_bytes"),
        (
            "raspberry_pi_4",
            "LiteRT .* has no arena: train without it .python src/experiment.py wanted_device=raspberry_pi_4",
        ),
        ("coral_edgetpu", "device=coral_edgetpu has no limit to hold a model against"),
    ],
)
def test_a_board_without_an_arena_is_refused(name: str, sentence: str) -> None:
    board = read_boards()[name]
    board.ram_bytes, board.limits = None, BoardLimitsConfig()  # flash alone, where it has any
    with pytest.raises(MiradaError, match=sentence):
        limits_of(board)


def test_memory_without_a_limit_is_told_with_its_key() -> None:
    core = read_boards()["ethos_u55_128"]
    assert say_not_judged(core, Limits(milliseconds=16)) == (
        "device=ethos_u55_128: SRAM isn't judged: set device.limits.arena_bytes; flash isn't judged: set "
        "device.limits.flash_bytes."
    )
    assert say_not_judged(core, Limits(1000, None, 16)).startswith("device=ethos_u55_128: flash isn't")
    assert say_not_judged(CHIP, limits_of(CHIP)) == ""


def test_a_board_without_any_number_says_which_and_where_it_is_told() -> None:
    core = read_boards()["ethos_u55_128"]
    with pytest.raises(MiradaError, match="device=ethos_u55_128 sets no limit: ram_bytes belongs to .*milliseconds"):
        limits_of(core)
    assert core.vela == VelaConfig("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
    assert limits_of(core, BoardLimitsConfig(milliseconds=16)) == Limits(None, None, 16)
