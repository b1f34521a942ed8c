import io
import math

import numpy as np
import pytest
from PIL import Image

from mirada.evaluation.pareto import Point, front_of, pareto_front, plot_pareto, points_of, tradeoff_table


def test_a_row_is_beaten_by_one_that_is_as_good_everywhere_and_better_once():
    rows = [
        (0.60, 27.0, 12.2),  # as accurate as the next one, but slower and bigger
        (0.60, 15.0, 3.4),
        (0.55, 14.0, 3.4),  # less accurate, but the fastest
        (0.50, 16.0, 3.5),  # beaten in everything
        (0.61, 90.0, 50.0),  # the most accurate
        (0.55, 14.5, 0.1),  # the smallest
    ]
    assert pareto_front(rows).tolist() == [False, True, True, False, True, True]


def test_equal_rows_are_all_on_the_front_and_what_is_not_a_number_is_not():
    rows = [(0.6, 10, 1), (0.6, 10, 1), (math.nan, 1, 1), (0.9, math.nan, 0.1)]
    assert pareto_front(rows).tolist() == [True, True, False, False]
    assert pareto_front([]).tolist() == []


def test_two_columns_have_a_front_of_their_own():
    points = [Point("", "a", 0.5, 10, 1e6), Point("", "b", 0.5, 8, 3e6)]
    assert front_of(points).tolist() == [True, True]
    assert front_of(points, "latency").tolist() == [False, True]
    assert front_of(points, "size").tolist() == [True, False]


FIGURES = {
    "float32": {"map50": 0.6, "latency_ms_p50": 20.0, "size_bytes": 12e6, "drop": 0, "drop_low": 0, "drop_high": 0},
    "int8": {"map50": 0.59, "latency_ms_p50": 10.0, "size_bytes": 3e6, "drop": 0.01, "drop_low": -0.01, "drop_high": 0.03},
    "half measured": {"map50": 0.7},
}  # fmt: skip


def test_points_come_from_figures_with_the_interval_that_the_drop_gives():
    reference, small = points_of(FIGURES, "map50", "a run")
    assert (reference.variant, reference.accuracy, reference.run) == ("float32", 0.6, "a run")
    assert (small.latency_ms, small.size_bytes) == (10.0, 3e6)
    assert small.low == pytest.approx(0.57) and small.high == pytest.approx(0.61)


def test_the_table_marks_the_front():
    points = [*points_of(FIGURES, "map50"), Point("", "slow", 0.5, 30, 12e6)]
    head, rows = tradeoff_table(points, "map50")
    assert head == ["run", "variant", "metric", "value", "latency_ms_p50", "size_mb", "pareto"]
    assert rows[1] == ["", "int8", "map50", "0.590000", "10.0000", "3.0000", "yes"]
    assert [row[-1] for row in rows] == ["yes", "yes", "no"]


@pytest.mark.parametrize("x", ["latency", "size"])
def test_the_plot_of_one_point_and_of_many_draws(x):
    few = plot_pareto([Point("", "int8", 0.5, 3, 1e6)], x=x, metric_name="mAP50")
    rng = np.random.default_rng(0)
    points = [
        Point(f"epochs={n}", variant, *rng.random(3) * (1, 30, 1e7))
        for n in range(6)
        for variant in ("float32", "int8")
    ]
    light, dark = (plot_pareto(points, x=x, metric_name="mAP50", dark=dark) for dark in (False, True))
    assert Image.open(io.BytesIO(few)).size == Image.open(io.BytesIO(light)).size == (864, 576)
    assert np.asarray(Image.open(io.BytesIO(light)).convert("RGBA"))[0, 0].tolist() == [255, 255, 255, 255]
    assert np.asarray(Image.open(io.BytesIO(dark)).convert("RGBA"))[0, 0, 3] == 0
