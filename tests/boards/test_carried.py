"""What real runtimes say of small files."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from mirada.boards import tflm, vela
from mirada.boards.asking import BoardJudge, board_judge
from mirada.boards.carried import measure
from mirada.boards.limits import Limits
from mirada.boards.table import read_boards, smallest_board
from mirada.config import BoardLimitsConfig, DeviceConfig
from mirada.errors import MiradaError
from tests.quantization.foreign.drafts import Draft, convolution, image

CHIP = DeviceConfig("chip", "Chip", "tflm", "tflm", ram_bytes=50_000, flash_bytes=60_000)


@pytest.fixture
def content() -> bytes:
    draft = Draft()
    source = image(draft)
    return draft.content([source], [convolution(draft, convolution(draft, source, "one"), "two")])


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_the_arena_is_the_allocators_to_the_byte_and_the_plan_is_what_moves_in_it(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.tflite").write_bytes(content)
    arena = tflm.allocate(tmp_path / "a.tflite")
    found = measure(content, CHIP)
    assert (found.arena_bytes, found.fixed_bytes, found.flash_bytes) == (arena.total, arena.tail, len(content))
    assert found.memory.peak_bytes == arena.head == 2 * 32  # two maps of 4 x 4 x 2
    assert found.network.weight_bytes == 2 * (4 + 8) and found.network.macs == 2 * 4 * 16
    assert found.lacking == [] and found.unknown == {"milliseconds": "no simulator tells it"}
    asked = BoardJudge(CHIP, Limits(arena.total - 1, 60_000)).record(content)
    assert (asked["answer"], asked["limits"][0]["over"], asked["arena_bytes"]) == ("too_much", 1, arena.total)
    assert asked["sentence"].endswith("Arduino Nano 33 BLE would carry it as it is.")


def test_what_is_absent_makes_the_arena_unknown_and_a_judge_impossible(content: bytes, monkeypatch) -> None:
    monkeypatch.setattr(tflm, "find_spec", lambda name: None)
    monkeypatch.setattr(vela, "find_spec", lambda name: None)
    found = measure(content, CHIP)
    assert found.arena_bytes is None and "not installed" in found.unknown["arena_bytes"]
    with pytest.raises(MiradaError, match=r"device=chip can't be judged: TensorFlow Lite Micro is not installed"):
        board_judge(CHIP)
    core = read_boards()["ethos_u55_128"]
    assert "Vela is not installed" in measure(content, core).unknown["milliseconds"]
    with pytest.raises(MiradaError, match=r"device=ethos_u55_128 can't be judged: Vela is not installed"):
        board_judge(core, BoardLimitsConfig(milliseconds=1))


@pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed")
def test_an_npu_has_velas_figures(content: bytes) -> None:
    found = measure(content, read_boards()["ethos_u55_128"])
    assert (found.npu_operators, found.cpu_operators, found.unknown) == (2, 0, {})
    assert found.milliseconds is not None and 0 < found.milliseconds < 1 and found.arena_bytes


def test_the_smallest_board_that_has_enough_is_found() -> None:
    boards = read_boards()
    assert "none" not in boards
    names = [getattr(smallest_board(kb * 1024, 10_000, boards), "name", None) for kb in (200, 201, 401, 513)]
    assert names == ["nano_33_ble", "esp32s3", "stm32h747", None]
    assert smallest_board(1, 1_500_000, boards) == boards["rp2040"]
