from pathlib import Path

import numpy as np
import pytest

from mirada.comparison.groups import group_runs
from mirada.comparison.page import render_comparison
from mirada.comparison.repeats import Spread
from mirada.comparison.summary import (
    Summary,
    pooled_csv,
    pooled_table,
    repeats_csv,
    repeats_table,
    spread_text,
    summarise,
    summary_figures,
)
from mirada.quantization.out_of_fold import ValOutcomes, write_val_outcomes
from mirada.tasks.outcomes import RightImages
from tests.comparison.test_groups import run

INT8 = ([0], [1])  # of two folds with an image each, which float32 gets right


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    """Two folds of classification, whose val outcomes lie in a file each."""
    runs = [
        run(number, {"fold": str(number - 1), "kfold": "2"}, accuracy=0.6 + 0.1 * number, tags={"data_common": "c"},
            task="classification")
        for number in (1, 2)
    ]  # fmt: skip
    for own, right in zip(runs, INT8, strict=True):
        rungs = {"float32": RightImages(np.array([True])), "int8": RightImages(np.array(right, bool))}
        seen = ValOutcomes("accuracy", 0.1, "int8", ["a", "b"], [f"{own.id}.png"], rungs)
        write_val_outcomes(tmp_path / f"{own.id}.npz", seen)
    (found,) = summarise(group_runs(runs), ("seed", "fold"), lambda run: tmp_path / f"{run.id}.npz")
    return found


def test_the_table_of_means_reads_as_written(summary: Summary) -> None:
    table = repeats_table(summary)
    assert table.head == ["over", "variant", "accuracy", "drop", "MB", "p50 ms", "train min"]
    # 0.7 and 0.8: 0.75 ± 0.0707; 21 and 22 ms; 1.5 and 3 minutes
    assert table.rows[0] == ["2 folds", "float32", "0.750 ± 0.071", "–", "12.00", "21.5 ± 0.7", "2.2 ± 1.1"]
    assert table.rows[1][2:5] == ["0.740 ± 0.071", "+0.010", "3.00"]


def test_means_of_all_figures_of_the_tasks_overview() -> None:
    runs = [run(n, {"seed": str(n)}, accuracy=0.6, task="classification") for n in (1, 2)]
    for own, auc in zip(runs, (0.9, 0.8), strict=True):
        own.figures["int8"]["auc"] = auc
    (summary,) = summarise(group_runs(runs), ("seed",), lambda run: None)
    table, means = repeats_table(summary), repeats_csv([summary])
    assert table.head[2:5] == ["accuracy", "AUC", "drop"]
    assert [row[3] for row in table.rows] == ["–", "0.850 ± 0.071"]
    assert [dict(zip(means.head, row, strict=True))["auc_mean"] for row in means.rows] == ["", "0.8500000000000001"]
    assert summary_figures([summary])["mean/int8/auc"] == pytest.approx(0.85)


def test_a_mean_and_its_deviation_are_in_one_unit() -> None:
    def megabytes(value: float) -> str:
        return f"{value:.2f}"

    assert spread_text(Spread(3_730_000, 20_000, 3), megabytes, unit=1e6) == "3.73 ± 0.02"
    assert spread_text(Spread(3_730_000, 33, 3), megabytes, unit=1e6) == "3.73"


def test_the_table_of_all_folds_reads_as_written(summary: Summary) -> None:
    table = pooled_table(summary)
    assert table.head == ["rung", "val images", "accuracy, float32", "accuracy", "drop [95 %]", "budget", "answer",
                          "mean of folds", "mean drop"]  # fmt: skip
    # one of two images is lost: a binomial of two draws reaches from 0 to 1, what two can show to -0.473; each fold's own
    # drop is 1 and 0
    int8 = ["int8", "2", "1.000", "0.500", "+0.500 [−0.473, +1.000]", "0.1", "cannot tell, 8 more would"]
    assert table.rows[0] == [*int8, "0.500 ± 0.707", "+0.500 ± 0.707"]
    assert [row[0] for row in table.rows] == ["int8", "best"]


def test_files_and_figures_hold_them_unrounded(summary: Summary) -> None:
    means, pooled = repeats_csv([summary]), pooled_csv([summary])
    first = dict(zip(means.head, means.rows[0], strict=True))
    assert float(first["value_mean"]) == pytest.approx(0.75) and float(first["value_sd"]) == pytest.approx(0.005**0.5)
    assert (first["over"], first["runs"]) == ("2 folds", "2")
    row = dict(zip(pooled.head, pooled.rows[0], strict=True))
    assert (row["drop"], row["drop_high"], row["answer"], row["more_images"]) == ("0.5", "1.0", "cannot_tell", "8")
    assert float(row["drop_low"]) == pytest.approx(-0.4728, abs=1e-4)
    figures = summary_figures([summary])
    assert figures["mean/int8/accuracy"] == pytest.approx(0.74) and figures["pooled/int8/drop_high"] == 1.0
    assert figures["sd/float32/accuracy"] == pytest.approx(0.005**0.5)


def test_the_page_has_both_tables(summary: Summary) -> None:
    page = render_comparison([summary.group], [], [summary])
    assert "<td>0.750 ± 0.071</td>" in page and "<td>cannot tell, 8 more would</td>" in page
    assert "Mean ± standard deviation" not in render_comparison([summary.group], [])


def test_why_folds_are_not_pooled_is_said(summary: Summary) -> None:
    def notes(*numbers: int) -> list[str]:
        runs = [
            run(n + 1, {"fold": str(n), "kfold": "3"}, tags={"data_common": "c"}, task="classification")
            for n in numbers
        ]
        (found,) = summarise(group_runs(runs), ("fold",), lambda run: None)
        assert found.pooled == []
        return found.notes

    assert notes(0, 2) == ["not pooled: no figures of fold 1."]
    assert notes(0, 1, 2) == ["not pooled: no val outcomes of fold 0, 1, 2, which quantize keeps with a max_drop."]


def test_each_seed_is_pooled_by_itself_and_several_things_have_no_one_mean(tmp_path: Path) -> None:
    rungs = {"float32": RightImages(np.array([True])), "int8": RightImages(np.array([True]))}
    runs = []
    for number in range(4):
        own = run(number, {"fold": str(number % 2), "kfold": "2", "seed": str(number // 2)}, tags={"data_common": "c"},
                  task="classification")  # fmt: skip
        write_val_outcomes(tmp_path / own.id, ValOutcomes("accuracy", 0.1, "int8", ["a"], [f"{number % 2}.png"], rungs))
        runs.append(own)
    (found,) = summarise(group_runs(runs), ("seed", "fold"), lambda run: tmp_path / run.id)
    table = pooled_table(found)
    assert table.head[0] == "seed" and [row[:2] for row in table.rows] == [
        ["0", "int8"], ["0", "best"], ["1", "int8"], ["1", "best"]]  # fmt: skip
    assert summary_figures([found, found]) == {}
