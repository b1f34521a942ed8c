import math

import pytest

from mirada.comparison.groups import group_runs
from mirada.comparison.repeats import MINUTES, repeats_of, spread_of
from tests.comparison.test_groups import run

BOTH = ("seed", "fold")


def fold(number, value, **more):
    settings = {"fold": str(value), "kfold": "3", **{key: str(text) for key, text in more.items()}}
    return run(
        number, settings, accuracy=0.5 + 0.1 * value, tags={"data_common": "same", "data_digest": f"fold{value}"}
    )


def test_mean_and_standard_deviation_are_those_of_a_sample():
    spread = spread_of([1.0, 2.0, 3.0, 6.0])
    # deviations from 3: 4 + 1 + 0 + 9 = 14, over n - 1 = 3
    assert (spread.mean, spread.count) == (3.0, 4) and spread.sd == pytest.approx(math.sqrt(14 / 3))
    alone = spread_of([0.5, math.nan])
    assert (alone.mean, alone.count) == (0.5, 1) and math.isnan(alone.sd)
    assert spread_of([]) is None


def test_runs_that_differ_in_their_seed_alone_are_one():
    runs = [run(n, {"epochs": epochs, "seed": seed}) for n, (epochs, seed) in enumerate(
        [("10", "0"), ("10", "1"), ("20", "0"), ("20", "1"), ("40", "0")], start=1)]  # fmt: skip
    (group,) = group_runs(runs)
    found = repeats_of(group, BOTH)
    assert [(one.settings, one.over, [run.name for run in one.runs]) for one in found] == [
        ({"epochs": "10"}, "2 seeds", ["run 1", "run 2"]),
        ({"epochs": "20"}, "2 seeds", ["run 3", "run 4"]),
    ]
    assert found[0].spread("float32", MINUTES).mean == pytest.approx(2.25)  # 1.5 and 3 minutes
    assert found[0].spread("int8", "latency_ms_p50").mean == 12.5
    assert found[0].spread("int8", "no_such") is None


def test_seeds_with_and_without_a_setting_are_not_joined():
    board = {"quantize.device": "esp32s3"}
    runs = [run(1, {"seed": "0"}), run(2, {"seed": "0"} | board), run(3, {"seed": "1"}), run(4, {"seed": "1"} | board)]
    (group,) = group_runs(runs)
    assert [(one.settings, [run.name for run in one.runs]) for one in repeats_of(group, BOTH)] == [
        ({"quantize.device": "–"}, ["run 1", "run 3"]),
        ({"quantize.device": "esp32s3"}, ["run 2", "run 4"]),
    ]
    assert repeats_of(group_runs([runs[0], runs[3]])[0], BOTH) == [], "another seed, and another setting"


def test_folds_are_one_group_though_their_data_differ():
    (group,) = group_runs([fold(1, 0), fold(2, 1), fold(3, 2)])
    (one,) = repeats_of(group, BOTH)
    assert (one.over, one.folds, one.settings) == ("3 folds", ["0", "1", "2"], {})
    spread = one.spread("float32", "map50")
    assert spread.mean == pytest.approx(0.6) and spread.sd == pytest.approx(0.1)
    assert repeats_of(group, ("seed",)) == []


def test_what_is_lacking_is_said():
    (group,) = group_runs([fold(1, 0), fold(2, 2)])
    assert repeats_of(group, BOTH)[0].over == "2 of 3 folds"
    (group,) = group_runs([fold(n, n % 3, seed=n // 3) for n in range(6)])
    assert repeats_of(group, BOTH)[0].over == "3 folds × 2 seeds"
    (group,) = group_runs([fold(n, n % 3, seed=n // 3) for n in range(5)])
    assert repeats_of(group, BOTH)[0].over == "3 folds × 2 seeds (5 runs)"


def test_of_the_same_run_twice_the_last_counts_and_one_without_figures_does_not():
    runs = [run(1, {"seed": "0"}), run(2, {"seed": "0"}), run(3, {"seed": "1"}), run(4, {"seed": "2"}, evaluated=False)]
    (group,) = group_runs(runs)
    (one,) = repeats_of(group, BOTH)
    assert [run.name for run in one.runs] == ["run 2", "run 3"] and one.over == "2 seeds"
    assert repeats_of(group_runs(runs[:2])[0], BOTH) == []
