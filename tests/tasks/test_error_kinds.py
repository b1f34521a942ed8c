"""Errors whose kind is plain to see, and what each costs, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.data.records import Example
from mirada.inference.prediction import Detections
from mirada.tasks.average_precision import evaluate_detections
from mirada.tasks.error_kinds import KINDS, error_kinds

BOX = (0, 0, 10, 10)
FAR = (100, 100, 110, 110)


def truth(*objects: tuple[tuple[float, ...], int], ignore: tuple[bool, ...] | None = None) -> Example:
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    flags = np.array(ignore or [False] * len(objects), bool)
    return Example("x", b"", boxes, np.array([label for _, label in objects], np.int64), flags, "x")


def found(*rows: tuple[tuple[float, ...], int, float]) -> Detections:
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([s for *_, s in rows], np.float32), np.array([k for _, k, _ in rows], np.int64))


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ((BOX, 1, 0.9), "class"),
        (((0, 0, 10, 30), 0, 0.9), "box"),  # IoU 1/3
        (((0, 0, 10, 30), 1, 0.9), "both"),
        (((50, 50, 60, 60), 0, 0.9), "background"),
    ],
)
def test_a_wrong_detection_has_one_kind(wrong: tuple, kind: str) -> None:
    kinds = error_kinds([truth((BOX, 0), (FAR, 1))], [found(wrong, (FAR, 1, 0.5))], 2)
    assert list(kinds) == list(KINDS)
    unexplained = {"missed": 1} if kind in ("both", "background") else {}
    assert {name: error.count for name, error in kinds.items() if error.count} == {kind: 1} | unexplained


def test_the_second_box_of_an_object_is_a_duplicate_and_an_ignored_region_makes_no_error() -> None:
    scene = truth((BOX, 0), (FAR, 0), ignore=(False, True))
    kinds = error_kinds([scene], [found((BOX, 0, 0.9), ((0, 0, 10, 9), 0, 0.8), ((101, 101, 109, 109), 0, 0.7))], 1)
    assert {name: error.count for name, error in kinds.items() if error.count} == {"duplicate": 1}


def test_what_a_kind_costs_is_what_its_oracle_wins() -> None:
    scene = truth((BOX, 0), (FAR, 0))
    given = found(((50, 50, 60, 60), 0, 0.9), (BOX, 0, 0.8))  # first a ghost, then one of two objects
    base = evaluate_detections([scene], [given], ["a"]).map50
    assert base == pytest.approx(0.5 * 51 / 101)  # precision 1/2 up to recall 1/2
    kinds = error_kinds([scene], [given], 1)
    assert kinds["background"].cost == pytest.approx(51 / 101 - base)
    assert kinds["missed"].cost == pytest.approx(0.5 - base), "with one object alone precision is 1/2 throughout"
    assert kinds["class"].cost == kinds["duplicate"].cost == 0


def test_an_oracle_rights_one_box_an_object() -> None:
    scene = truth((BOX, 0))
    given = found(((0, 0, 10, 30), 0, 0.9), ((0, 0, 30, 10), 0, 0.8))
    kinds = error_kinds([scene], [given], 1)
    assert (kinds["box"].count, kinds["missed"].count) == (2, 0)
    assert kinds["box"].cost == pytest.approx(1.0)


def test_nothing_at_all_has_no_errors() -> None:
    assert {error.count for error in error_kinds([truth()], [found()], 1).values()} == {0}
