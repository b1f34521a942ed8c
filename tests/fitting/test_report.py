"""What is told of a search: counts, the table, the file, the picture."""

import csv
import io
from typing import Any

import pytest

from mirada.boards.limits import Limits
from mirada.config import SpaceConfig
from mirada.fitting import report
from mirada.fitting.book import Entry
from mirada.fitting.judging import Taken
from mirada.fitting.report import (
    Final,
    cost_axis,
    count_entries,
    csv_of,
    front_entries,
    plot_candidates,
    say_counts,
    table_of,
)
from mirada.fitting.space import make_space
from tests.fitting.spaces import smallest

SPACE = make_space(SpaceConfig(model=["tiny"], input_size=[96, 128], channels=[1, 3], width=[16]), "detection")
LEAST = smallest(SPACE, "tiny")
MORE = [*SPACE.next_larger(LEAST)]
TAKEN = Taken(102_400, 51_200, None, seconds=2.0, peak="The peak.")
ENTRIES = [
    Entry(
        LEAST,
        "fits",
        Taken(102_400, 51_200, None, seconds=2.0, peak="The peak."),
        values={2: 0.3},
        epoch_seconds=4.0,
        run_id="a",
    ),
    Entry(MORE[0], "fits", Taken(204_800, 51_200, None, seconds=4.0), values={2: 0.4, 6: 0.5}, run_id="b"),
    Entry(MORE[1], "too_much", Taken(500_000, 51_200, None, seconds=3.0), "500,000 of 409,600 bytes of arena"),
    Entry(MORE[2], "spared", why="larger than another"),
]


def test_the_counts_say_what_was_spared() -> None:
    assert count_entries(ENTRIES) == {
        "judged": 3, "fit": 2, "unfit": 2, "spared": 1, "trained": 2, "unfit_trained": 0
    }  # fmt: skip
    assert "3.0 s each, 4.0 at most" in say_counts(ENTRIES, 8)


def test_the_table_has_the_longest_trained_first_and_marks_the_chosen() -> None:
    table = table_of(ENTRIES, MORE[0].key, "mAP50")
    assert [row[0] for row in table.rows] == [f"{MORE[0].title} ✓", LEAST.title, MORE[1].title]
    assert table.rows[0][1:] == ["200", "50", "–", "0.500", "6", "fits"]


def test_the_file_has_every_candidate_to_the_byte() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(ENTRIES, MORE[0].key))))
    assert [row["arena_bytes"] for row in rows] == ["204800", "102400", "500000", ""]
    assert [row["val_after_6"] for row in rows] == ["0.5", "", "", ""]
    assert [row["peak"] for row in rows] == ["", "The peak.", "", ""]
    assert rows[0]["chosen"] == "yes" and rows[3]["why"] == "larger than another"


@pytest.mark.parametrize("axis", ["arena_bytes", "milliseconds"])
def test_the_picture_is_drawn_with_and_without_figures(axis: str) -> None:
    content = plot_candidates(ENTRIES, Limits(arena_bytes=409_600), MORE[0].key, "mAP50", axis=axis)
    assert content.startswith(b"\x89PNG")


def test_each_length_of_training_has_its_front_and_the_full_one_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(report, "to_png", lambda figure: drawn.append(figure) or b"")
    plot_candidates(ENTRIES, Limits(), MORE[0].key, "mAP50", axis="arena_bytes", final=Final(30, 0.625))
    lines = [line.get_xydata().tolist() for line in drawn[0].axes[0].lines]
    assert lines[:2] == [[[100, 0.3], [200, 0.4]], [[200, 0.5]]]  # KB and the figure, after 2 and after 6 epochs
    assert lines[2] == [[200, 0.5], [200, 0.625]]
    words = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert "the chosen one, trained fully: 0.625 after 30 epochs" in words


def test_the_front_has_those_that_nothing_smaller_is_as_good_as() -> None:
    worse = Entry(MORE[1], "fits", Taken(150_000, 51_200, None), values={2: 0.2})
    assert [entry.candidate.title for entry in front_entries([worse, ENTRIES[1], ENTRIES[0]], "arena_bytes")] == [
        LEAST.title, MORE[0].title
    ]  # fmt: skip


def test_an_npu_is_drawn_over_its_time() -> None:
    assert cost_axis(Limits(arena_bytes=1), vela=True) == "milliseconds"
    assert cost_axis(Limits(arena_bytes=1), vela=False) == "arena_bytes"
    assert cost_axis(Limits(flash_bytes=1), vela=False) == "flash_bytes"
