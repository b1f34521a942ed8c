"""Verdicts, worked out by hand."""

import pytest

from mirada.boards.judging import CANNOT_TELL, FITS, TOO_MUCH, judge
from mirada.boards.limits import Limits
from tests.boards.networks import carried


def test_what_fits_to_the_byte_fits_and_needs_no_change() -> None:
    verdict = judge(carried(), Limits(60_000, 2_000))
    assert (verdict.answer, verdict.changes, verdict.excess()) == (FITS, (), 0)
    assert verdict.sentence("Board") == (
        "it fits Board: 60,000 of 60,000 bytes of arena, 0 left; 2,000 of 2,000 bytes of flash, 0 left."
    )


def test_the_limit_that_fails_is_named_with_its_excess_and_the_nearest_change() -> None:
    verdict = judge(carried(), Limits(40_000, 2_000))
    assert verdict.answer == TOO_MUCH and verdict.excess() == 0.5
    assert [(entry.limit, entry.over) for entry in verdict.judged] == [
        ("arena_bytes", 20_000), ("flash_bytes", 0), ("operators", 0),
    ]  # fmt: skip
    nearest = verdict.changes[0]
    assert (nearest.what, nearest.after) == ("blocks", 0)
    assert nearest.figures["arena_bytes"] == 10_848 + 12_288 + 16_384
    assert verdict.sentence("Board") == (
        "it does not fit Board: 60,000 of 40,000 bytes of arena, 20,000 too many; nearest change: without 1 of the 1 "
        "repeated blocks, about 39,520 bytes of arena and 1,600 bytes of flash."
    )


def test_flash_is_mended_by_weights_and_not_by_the_input() -> None:
    verdict = judge(carried(), Limits(60_000, 1_700))
    assert [change.what for change in verdict.changes] == ["blocks", "width"]
    assert verdict.changes[0].figures["flash_bytes"] == 2_000 - 144 - 256


def test_time_of_the_npu_alone_can_break_a_limit_but_not_keep_it() -> None:
    timed = carried(milliseconds=20.0, unknown={"milliseconds": "1 operators run on the processor"})
    slow, quick = judge(timed, Limits(milliseconds=16)), judge(timed, Limits(milliseconds=30))
    assert (slow.answer, quick.answer) == (TOO_MUCH, CANNOT_TELL)
    assert slow.changes[0].what == "blocks"
    assert slow.changes[0].figures["milliseconds"] == pytest.approx(20 * (432 * 1024 + 64) / (832 * 1024 + 64))
    assert quick.sentence("Core") == "it may fit Core: 20 of 30 ms and more: 1 operators run on the processor."


def test_an_operator_that_is_lacking_is_mended_by_no_change() -> None:
    verdict = judge(
        carried(lacking=["LSTM"], arena_bytes=None, unknown={"arena_bytes": "it lacks LSTM"}), Limits(1, 5_000)
    )
    assert verdict.changes == () and verdict.excess() == float("inf")
    assert verdict.sentence("Board") == "it does not fit Board: it lacks LSTM."


def test_where_nothing_mends_it_the_sentence_says_so() -> None:
    verdict = judge(carried(), Limits(10_000, 2_000))  # the tables alone are more
    assert verdict.sentence("Board").endswith("; no smaller input, width or number of blocks mends it.")
