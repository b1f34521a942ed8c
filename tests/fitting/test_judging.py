"""What a candidate takes: asked once and kept, held against limits without a network."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mirada.boards.judging import hold
from mirada.boards.limits import Limits
from mirada.boards.memory import Life, Memory
from mirada.config import DeviceConfig, ModelConfig
from mirada.fitting import judging
from mirada.fitting.judging import Bench, Taken
from mirada.fitting.space import Candidate

GREY = Candidate("tiny", (("input_size", 96), ("channels", 1), ("width", 16)))
MEMORY = Memory(("CONV_2D", "RELU"), (Life("a", 32, 0, 0), Life("b", 16, 0, 1)), np.array([48, 16]))
WIDE = Candidate("tiny", (("input_size", 96), ("channels", 1), ("width", 32)))


class Counted:
    """A builder that counts; its file is its width."""

    def __init__(self) -> None:
        self.built: list[int] = []

    def __call__(self, model: ModelConfig, task: str, size: int, channels: int, classes: int, io: str) -> bytes:
        self.built.append(model.width)
        return bytes(model.width)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Counted:
    def measure(content: bytes, board: DeviceConfig) -> SimpleNamespace:
        size = len(content)
        return SimpleNamespace(
            arena_bytes=100 * size, flash_bytes=10 * size, milliseconds=None, lacking=[], unknown={"milliseconds": "no"},
            network=None, memory=MEMORY,
        )  # fmt: skip

    monkeypatch.setattr(judging, "measure", measure)
    monkeypatch.setattr(
        judging, "describe_memory", lambda network, memory: [f"The peak is {memory.peak_bytes}.", "So."]
    )
    return Counted()


def bench(build: Counted, folder: Path, *, io: str = "int8", code: str = "1", runtime: str = "tflm") -> Bench:
    models = {"tiny": ModelConfig(name="tiny", backbone="tiny", weights=None)}
    board = DeviceConfig(name="board", title="A board", runtime=runtime)
    return Bench(board, models, task="detection", classes=2, io=io, folder=folder, code=code, build=build)


def test_a_candidate_is_built_once_for_all_processes(build: Counted, tmp_path: Path) -> None:
    first = bench(build, tmp_path).take(GREY)
    assert (first.arena_bytes, first.flash_bytes, first.milliseconds) == (1600, 160, None)
    assert bench(build, tmp_path).take(GREY) == first
    assert bench(build, tmp_path).take(WIDE).arena_bytes == 3200
    assert build.built == [16, 32]


def test_the_memory_of_a_candidate_is_kept_with_its_peak_in_words(build: Counted, tmp_path: Path) -> None:
    assert bench(build, tmp_path).memory(GREY) is None
    assert bench(build, tmp_path).take(GREY).peak == "The peak is 48. So."
    kept = bench(build, tmp_path).memory(GREY)
    assert kept is not None and (kept.kinds, kept.lives) == (MEMORY.kinds, MEMORY.lives)
    assert kept.used_bytes.tolist() == [48, 16]
    assert build.built == [16]


def test_another_input_type_another_code_or_another_board_is_asked_anew(build: Counted, tmp_path: Path) -> None:
    for own in ({}, {"io": "uint8"}, {"code": "2"}, {"runtime": "litert"}):
        bench(build, tmp_path, **own).take(GREY)
    assert len(build.built) == 4


def test_a_damaged_answer_is_asked_anew(build: Counted, tmp_path: Path) -> None:
    bench(build, tmp_path).take(GREY)
    for path in tmp_path.glob("*.json"):
        path.write_text('{"format": 1, "arena_by')
    assert bench(build, tmp_path).take(GREY).arena_bytes == 1600
    assert len(build.built) == 2


def test_what_was_not_told_is_asked_again_and_what_has_no_arena_is_not(
    build: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = SimpleNamespace(
        arena_bytes=None, flash_bytes=10, milliseconds=None, lacking=[], unknown={"arena_bytes": "SIGSEGV"},
        network=None, memory=MEMORY,
    )  # fmt: skip
    with monkeypatch.context() as broken:
        broken.setattr(judging, "measure", lambda content, board: crashed)
        assert bench(build, tmp_path).take(GREY).arena_bytes is None
        assert bench(build, tmp_path, runtime="litert").take(GREY).arena_bytes is None
    assert bench(build, tmp_path).take(GREY).arena_bytes == 1600
    assert bench(build, tmp_path, runtime="litert").take(GREY).arena_bytes is None  # LiteRT has no arena: that is kept
    assert len(build.built) == 3


def test_limits_are_included_and_an_unknown_time_can_not_be_told() -> None:
    taken = Taken(1000, 500, 2.0)
    assert hold(taken, Limits(1000, 500, 2.0)).answer == "fits"
    over = hold(taken, Limits(800, 500))
    assert over.answer == "too_much" and over.excess() == pytest.approx(0.25)
    partly = Taken(1000, 500, 2.0, unknown={"milliseconds": "2 operators run on the processor"})
    assert hold(partly, Limits(1000, 500, 3.0)).answer == "cannot_tell"
    assert hold(partly, Limits(1000, 500)).answer == "fits"  # nobody asks for its time
    assert hold(partly, Limits(1000, 500, 1.0)).answer == "too_much"
    assert hold(Taken(1, 1, None, ["GELU"]), Limits(1000)).answer == "too_much"
