"""Objects whose size, neighbours and fate are plain to see, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.data.records import Example
from mirada.evaluation.weaknesses.conditions import (
    Group,
    conditions_table,
    group_objects,
    plot_conditions,
    say_occlusion,
)
from mirada.evaluation.weaknesses.gathering import Weaknesses
from mirada.inference.prediction import Detections
from mirada.tasks.average_precision import ap50_by_area, ap50_of_objects, evaluate_detections

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


def test_crowded_objects_have_an_average_precision_of_their_own() -> None:
    groups = groups_of((0, 0, 0.9), (2, 0, 0.85), (1, 0, 0.8), (3, 0, 0.7))  # the second with the wrong label
    # Alone is the first of class a, found before anything wrong. Of the two neighbours that of class a comes after a
    # detection of nothing, precision 1 / 2, and that of class b is not found; those of other groups are ignored.
    assert groups["overlap", "none"].ap50["float32"] == pytest.approx(1)
    assert groups["overlap", "0.3–0.5"].ap50["float32"] == pytest.approx((1 / 2 + 0) / 2)
    told = Weaknesses(classes={"float32": {}}, groups=list(groups.values()))
    assert told.figures()["float32"]["overlap"]["0.3–0.5"]["ap50"] == pytest.approx(1 / 4)
    table = told.tables()["overlap"]
    assert table is not None and (table.head[-1], table.rows[1][-1]) == ("float32: AP50", "0.250")


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


def row_of_twelve(**hidden: list[int]) -> list[Example]:
    """Twelve objects side by side, none near another; the last one is set aside."""
    boxes = np.array([[50 * at, 0, 50 * at + 20, 20] for at in range(12)], np.float32)
    said = {name: np.array(flags, np.int8) for name, flags in hidden.items()}
    return [Example("x", b"", boxes, np.zeros(12, np.int64), np.arange(12) == 11, "x", hidden=said)]


def test_hidden_objects_are_groups_of_their_own() -> None:
    # One plain (0), ten truncated (1 to 10) of which one is occluded, too; one truncated is set aside.
    truths = row_of_twelve(truncated=[0, *[1] * 11], occluded=[-1, 1, *[0] * 10])
    # Found are the plain one and, with a box of nothing before them, five truncated ones.
    boxes = np.vstack([truths[0].boxes_xyxy[:1], [[0, 300, 20, 320]], truths[0].boxes_xyxy[1:6]])
    found = {"float32": [Detections(boxes, np.array([0.9, 0.8, *[0.7] * 5], np.float32), np.zeros(7, np.int64))]}
    results = {"float32": evaluate_detections(truths, found["float32"], ["a"])}
    groups = [group for group in group_objects(truths, found, results, 1) if group.by == "occlusion"]
    assert [(group.name, group.objects, group.found["float32"]) for group in groups] == [
        ("plain", 1, 1),
        ("truncated", 10, 5),
    ], "one occluded object is too few"
    # Plain: found first, precision 1. Truncated: the box of nothing first, then five of ten: precision 5/6 up to recall 0.5,
    # which are 51 of 101 points.
    assert [group.ap50["float32"] for group in groups] == pytest.approx([1, 51 / 101 * 5 / 6])
    told = Weaknesses(classes={"float32": {}}, groups=groups)
    table = told.tables()["occlusion"]
    assert table is not None and table.rows[1][:2] == ["truncated", "10"] and "float32: AP50" in table.head
    assert told.plots("mAP50")["occlusion"].startswith(b"\x89PNG")
    assert say_occlusion(groups).startswith("Truncated and occluded are the objects that the data annotate so")
    assert told.figures()["float32"]["occlusion"]["truncated"] == pytest.approx(
        {"recall": 0.5, "objects": 10, "ap50": 51 / 101 * 5 / 6}
    )


@pytest.mark.parametrize("truncated", [[], [0] * 12, [*[1] * 9, 0, 0, 1]])
def test_crowding_stands_for_what_too_few_objects_are_annotated_with(truncated: list[int]) -> None:
    truths = row_of_twelve(**({"truncated": truncated} if truncated else {}))
    found = {"float32": [Detections(truths[0].boxes_xyxy, np.ones(12, np.float32), np.zeros(12, np.int64))]}
    results = {"float32": evaluate_detections(truths, found["float32"], ["a"])}
    groups = group_objects(truths, found, results, 1)
    assert {group.by for group in groups} == {"side", "overlap", "flag"}, "nine, and one that is set aside"
    assert say_occlusion(groups) == (
        "The data annotate fewer than 10 objects here as truncated or as occluded, so that the overlap with the nearest "
        "neighbour stands for what hides an object."
    )


def test_ap_of_objects_ignores_what_is_found_of_others() -> None:
    truth = [Example("x", b"", BOXES[:2], np.array([0, 0]), np.array([False, False]), "x")]
    both = [Detections(BOXES[:2], np.array([0.9, 0.5], np.float32), np.array([0, 0]))]
    assert ap50_of_objects(truth, both, 1, [np.array([False, True])]) == pytest.approx(1)
    assert ap50_of_objects(truth, found((0, 0, 0.9)), 1, [np.array([False, True])]) == 0
    assert ap50_of_objects(truth, both, 1, [np.array([False, False])]) == 0


def test_the_table_has_an_interval_and_the_plot_is_a_picture() -> None:
    groups = list(groups_of((0, 0, 0.9), (1, 0, 0.8)).values())
    table = conditions_table(groups, "side")
    assert table is not None
    assert table.head == ["side in pixels", "objects", "float32: recall [95 %]", "float32: AP50"]
    assert table.rows[1][:3] == ["16–24", "2", "0.500 [0.09, 0.91]"]  # Wilson, 1 of 2
    assert conditions_table([], "side") is None
    assert plot_conditions(groups, "overlap").startswith(b"\x89PNG")
