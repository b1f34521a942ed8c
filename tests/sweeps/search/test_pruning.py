"""The median rule, by hand-made curves."""

import pickle
from pathlib import Path

import pytest

from mirada.errors import Pruned
from mirada.sweeps.search.pruning import TrialWatch, median_to_reach, read_curves, read_history, watch

OTHERS = [{1: 0.1, 2: 0.5}, {1: 0.3, 2: 0.2}, {1: 0.2, 2: 0.4}]  # the best by epoch 2: 0.5, 0.3, 0.4


@pytest.mark.parametrize(
    ("curve", "after_trials", "after_epochs", "median"),
    [
        ({1: 0.1, 2: 0.39}, 3, 1, 0.4),
        ({1: 0.1, 2: 0.4}, 3, 1, None),  # as good as the median
        ({1: 0.6, 2: 0.1}, 3, 1, None),  # its best counts, not its last
        ({1: 0.1, 2: 0.39}, 4, 1, None),  # too few others
        ({1: 0.1, 2: 0.39}, 3, 2, None),  # too early
        ({1: 0.1}, 3, 0, 0.2),
        ({2: 0.1}, 1, 0, 0.4),
        ({}, 1, 0, None),
    ],
)
def test_median_rule(curve: dict[int, float], after_trials: int, after_epochs: int, median: float | None) -> None:
    assert median_to_reach(curve, OTHERS, after_trials, after_epochs) == median


def test_curves_that_begin_later_do_not_count() -> None:
    assert median_to_reach({1: 0.1}, [*OTHERS, {2: 0.9}, {2: 0.9}, {2: 0.9}], 3, 0) == 0.2


def rows(*values: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "val": value} for epoch, value in enumerate(values, start=1)]


def test_a_training_is_held_against_the_finished_ones(tmp_path: Path) -> None:
    looking = TrialWatch(tmp_path / "curves.jsonl", after_trials=2, after_epochs=1)
    looking.check(rows(0.0, 0.0), "val")  # nobody has finished
    looking.finish(rows(0.1, 0.4), "val")
    looking.check(rows(0.0, 0.0), "val")  # one has
    looking.finish([*rows(0.2), {"epoch": 2}, {"epoch": 3, "val": 0.6}], "val")
    assert read_curves(tmp_path / "curves.jsonl") == [{1: 0.1, 2: 0.4}, {1: 0.2, 3: 0.6}]
    looking.check(rows(0.0), "val")  # its first epoch
    looking.check([*rows(0.0, 0.0), {"epoch": 3}], "val")  # an epoch without validation
    looking.check(rows(0.0, 0.31), "val")
    with pytest.raises(Pruned, match="stopped after epoch 2: at best 0.25 on val, the median of the others was 0.3"):
        looking.check(rows(0.25, 0.2), "val")


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    path.write_text('{"1": 0.5}\n{"1": 0.')
    assert read_curves(path) == [{1: 0.5}]


def test_a_history_file_serves_as_well(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,loss,val\n1,3.0,\n2,2.0,0.25\n")
    TrialWatch(tmp_path / "curves.jsonl").finish(read_history(tmp_path / "history.csv"), "val")
    assert read_curves(tmp_path / "curves.jsonl") == [{2: 0.25}]
    assert read_history(tmp_path / "gone.csv") == []


def test_it_travels_between_processes() -> None:
    there = pickle.loads(pickle.dumps(Pruned(3, 0.25, 0.5)))
    assert (there.epoch, there.value, there.median, str(there)) == (3, 0.25, 0.5, str(Pruned(3, 0.25, 0.5)))


def test_outside_a_search_nothing_is_watched() -> None:
    assert watch() == TrialWatch()
    watch().check(rows(0.0), "val")
    watch().finish(rows(0.0), "val")
