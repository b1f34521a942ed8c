"""The sentences that a search ends with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirada.boards.carried import Carried
from mirada.boards.judging import hold
from mirada.boards.limits import Limits
from mirada.boards.table import read_boards
from mirada.config import SpaceConfig
from mirada.errors import MiradaError
from mirada.fitting.book import Entry
from mirada.fitting.judging import Taken
from mirada.fitting.search import Larger, NothingFits
from mirada.fitting.space import make_space
from mirada.stages.fitting import outcome
from mirada.stages.fitting.outcome import budget_of, require_limits, say_chosen, say_next, say_nothing_fits
from mirada.stages.fitting.shipping import BoardAccuracy
from mirada.stages.fitting.workshop import Finished
from tests.fitting.spaces import smallest

SPACE = make_space(
    SpaceConfig(model=["tiny"], input_size=[96], channels=[1], width=[16], head_depth=[1], head_stride=[8]), "detection"
)
LEAST = smallest(SPACE, "tiny")


@pytest.mark.parametrize(
    ("larger", "sentence"),
    [
        (Larger(None), "the space holds none that is one step larger: a wider space may find better"),
        (Larger(None, 4), "all that are one step larger fit, too: more minutes may find better, or a wider space"),
        (
            Larger(None, 2, 1, 1),
            "of those one step larger 2 fit, of 1 the training broke off, of 1 can't be told whether they fit: more minutes "
            "may find better, or a wider space",
        ),
        (
            Larger(Entry(LEAST, "too_much", Taken(1200, 500, None)), 2, 1),
            "the next larger one is tiny 96 grey, width 16, head_depth 1, head_stride 8; it would need 1,200 bytes of arena "
            "and 500 bytes of flash, and has 1,000 of arena",
        ),
    ],
)
def test_what_is_one_step_larger_is_said_as_it_is_known(larger: Larger, sentence: str) -> None:
    assert say_next(larger, Limits(arena_bytes=1000)) == sentence


LADDER = {
    "max_drop": 0.01, "answer": "beyond", "best": "qat", "sentence": "No rung keeps within 0.01; best is qat: …",
    "rungs": [
        {"rung": "int8", "drop": 0.05, "drop_low": 0.04, "drop_high": 0.06},
        {"rung": "qat", "drop": 0.03, "drop_low": 0.02, "drop_high": 0.04},
    ],
}  # fmt: skip
BOARDS = read_boards()


def carried(arena: int | None, flash: int = 500, ms: float | None = None, **unknown: str) -> Carried:
    return Carried(arena, 0, flash, ms, [], 0, 0, unknown, None, None)  # type: ignore[arg-type]


def test_the_chosen_one_is_told_with_its_drop_and_what_it_takes() -> None:
    accuracy = BoardAccuracy("map50", "mAP50", "tiles", "test", 0.5, 0.5, 0.5, 3, 3, 3, 1.0)
    done = Finished({"best": {"map50": 0.5}, "float32": {"map50": 0.53}}, LADDER, None, Path("bundle"), 0.5, accuracy)
    taken = carried(900, 480)
    verdict = hold(taken, Limits(arena_bytes=1000))
    entry = Entry(LEAST, "fits", Taken(900, 500, None))
    lines = say_chosen(entry, done, taken, verdict, BOARDS["esp32s3"], ("map50", "mAP50"))
    assert LADDER["sentence"] in lines
    assert "its arena: 900 bytes, to the byte as judged before training" in lines
    assert "its flash: 480 bytes, judged as 500 before" in lines
    assert budget_of(LADDER) == {
        "max_drop": 0.01, "answer": "beyond", "sentence": LADDER["sentence"], "rung": "qat", "drop": 0.03, "drop_low": 0.02,
        "drop_high": 0.04,
    }  # fmt: skip


def test_an_exported_file_beyond_the_limits_is_an_error() -> None:
    limits = Limits(arena_bytes=1000)
    require_limits(hold(carried(1000), limits), BOARDS["esp32s3"], Path("bundle"))
    with pytest.raises(
        MiradaError, match=r"bundle/model.tflite was exported, and it does not fit .*1,001 of 1,000 bytes of"
    ):
        require_limits(hold(carried(1001), limits), BOARDS["esp32s3"], Path("bundle"))


@pytest.mark.parametrize(
    ("times", "ending"),
    [
        (
            {"ethos_u65_256": 12.0, "ethos_u85_256": 9.0},
            "the slowest NPU that would be fast enough is Arm Ethos-U65, 256 MACs, 12.0 ms by Vela's estimate: add smaller "
            "values to space, or take that board.",
        ),
        (
            {"ethos_u65_256": 19.0, "ethos_u85_256": 17.0},
            "no other NPU of conf/device is known to be fast enough, and no other board's time is known: add smaller values "
            "to space.",
        ),
    ],
)
def test_where_time_is_what_breaks_another_npu_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, times: dict[str, float], ending: str
) -> None:
    monkeypatch.setattr(outcome, "measure", lambda content, board: carried(1000, ms=times[board.name]))
    bench: Any = SimpleNamespace(board=BOARDS["ethos_u55_128"], build=lambda candidate: b"")
    nearest = Entry(LEAST, "too_much", Taken(1000, 500, 20.0), "20 of 16 ms, 4 too many")
    sentence = say_nothing_fits(NothingFits(nearest), bench, Limits(milliseconds=16))
    assert sentence.startswith(f"Nothing of this space fits {bench.board.title}: nearest is {LEAST.title}, 20 of 16 ms")
    assert sentence.endswith(ending)


def test_where_memory_is_what_breaks_the_smallest_board_is_named_if_there_is_one() -> None:
    bench: Any = SimpleNamespace(board=BOARDS["nano_33_ble"])
    nearest = Entry(LEAST, "too_much", Taken(210 * 1024, 500, None), "too much")
    assert "the smallest board that would carry it is" in say_nothing_fits(
        NothingFits(nearest, 7), bench, Limits(arena_bytes=1)
    )
    huge = Entry(LEAST, "too_much", Taken(10**9, 500, None), "too much")
    sentence = say_nothing_fits(NothingFits(huge, 7), bench, Limits(arena_bytes=1))
    assert sentence.startswith("None of the 7 candidates that were built fits")
    assert sentence.endswith("no board of conf/device is known to carry it: add smaller values to space.")
