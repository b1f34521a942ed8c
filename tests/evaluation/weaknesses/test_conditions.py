"""Objects whose size, neighbours and fate are plain to see, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.data.records import Example
from mirada.evaluation.weaknesses.conditions import Group, conditions_table, group_objects, plot_conditions
from mirada.inference.prediction import Detections
from mirada.tasks.average_precision import ap50_by_area, evaluate_detections

BOXES = np.array(
    [
        [0, 0, 10, 10],  # side 10, alone
        [100, 100, 120, 120],  # side 20; its neighbour is moved by 10: IoU 200 / 600
        [110, 100, 130, 120],
        [200, 200, 220, 220],  # set aside
    ],
    np.float32,
)
TRUTHS = [Example("x", b"", BOXES, np.array([0, 0, 1, 0]), np.array([False, False, False, True]), "x")]


def found(*rows: tuple[int, int, float]) -> list[Detections]:
    """Of one photograph: index of the box that was found exactly, label, score."""
    return [
        Detections(
            BOXES[[i for i, *_ in rows]],
            np.array([score for *_, score in rows], np.float32),
            np.array([label for _, label, _ in rows], np.int64),
        )
    ]


def groups_of(*rows: tuple[int, int, float]) -> dict[tuple[str, str], Group]:
    predictions = {"float32": found(*rows)}
    results = {"float32": evaluate_detections(TRUTHS, predictions["float32"], ["a", "b"])}
    return {(group.by, group.name): group for group in group_objects(TRUTHS, predictions, results, 2)}


def test_objects_are_counted_by_size_overlap_and_flag() -> None:
    groups = groups_of((0, 0, 0.9), (1, 0, 0.8), (2, 0, 0.8), (3, 0, 0.9))  # the third with the wrong label
    assert {key: (group.objects, group.found["float32"]) for key, group in groups.items()} == {
        ("side", "8–16"): (1, 1),
        ("side", "16–24"): (2, 1),
        ("overlap", "none"): (1, 1),
        ("overlap", "0.3–0.5"): (2, 1),
        ("flag", "set aside: difficult, a crowd or cut off"): (1, 1),
    }
    assert groups["side", "16–24"].recall("float32") == 0.5


def test_what_lies_below_the_threshold_was_not_found() -> None:
    # one right at 0.9, then a false one: the best F1 is at 0.9, so the right one at 0.1 does not count
    extra = Detections(
        np.array([[0, 0, 10, 10], [300, 0, 310, 10], [320, 0, 330, 10], [340, 0, 350, 10], [100, 100, 120, 120]]),
        np.array([0.9, 0.5, 0.5, 0.5, 0.1], np.float32),
        np.array([0, 0, 0, 0, 0]),
    )
    results = {"float32": evaluate_detections(TRUTHS, [extra], ["a", "b"])}
    assert results["float32"].threshold == pytest.approx(0.9)
    groups = {g.name: g for g in group_objects(TRUTHS, {"float32": [extra]}, results, 2)}
    assert (groups["8–16"].found["float32"], groups["16–24"].found["float32"]) == (1, 0)


def test_ap_by_area_ignores_other_sizes_and_false_ones_of_other_sizes() -> None:
    large_nothing = Detections(
        np.array([[300, 300, 400, 400], [0, 0, 10, 10]], np.float32), np.array([0.9, 0.5]), np.array([0, 0])
    )
    truth = [Example("x", b"", BOXES[:1], np.array([0]), np.array([False]), "x")]
    assert ap50_by_area(truth, [large_nothing], 1, (64, 256)) == pytest.approx(1)
    assert ap50_by_area(truth, [large_nothing], 1, (0, 1e10)) == pytest.approx(0.5)  # precision 1/2 at every recall
    assert ap50_by_area(truth, [large_nothing], 1, (1000, 1e10)) == 0


def test_the_table_has_an_interval_and_the_plot_is_a_picture() -> None:
    groups = list(groups_of((0, 0, 0.9), (1, 0, 0.8)).values())
    table = conditions_table(groups, "side")
    assert table is not None
    assert table.head == ["side in pixels", "objects", "float32: recall [95 %]", "float32: AP50"]
    assert table.rows[1][:3] == ["16–24", "2", "0.500 [0.09, 0.91]"]  # Wilson, 1 of 2
    assert conditions_table([], "side") is None
    assert plot_conditions(groups, "overlap").startswith(b"\x89PNG")
