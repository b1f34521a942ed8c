"""Labels that a model doubts: kinds and doubts by hand, and a model that finds mistakes put into its data."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.inference.prediction import Classification, Detections, Localization
from mirada.inspection.suspects import doubt_boxes, doubt_labels, told_as_finding, write_suspects
from tests.data.formats.drawing import Reading, draw
from tests.inspection.surveys import box, image, survey

LABELS = ["cat", "dog"]


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(int))


def doubts(detections: Detections, *boxes: Any) -> list[tuple[str, float]]:
    suspects, _ = doubt_boxes(image("a.jpg", *boxes), detections, LABELS)
    return [(one.kind, pytest.approx(one.doubt, abs=1e-6)) for one in suspects]


def test_kinds_of_doubt_by_hand() -> None:
    cat = box(0, 0, 100, 100)
    assert doubts(found((0, 0, 100, 100, 0.9, 0)), cat) == []
    assert doubts(found((0, 0, 100, 100, 0.9, 1)), cat) == [("swapped", 0.9)]
    both = found((0, 0, 100, 100, 0.9, 1), (0, 0, 100, 90, 0.25, 0))
    assert doubts(both, cat) == [("swapped", 0.9 * 0.75)]
    # 50 of 150 overlap: beside it.
    assert doubts(found((50, 0, 150, 100, 0.6, 0)), cat) == [("misplaced", 0.6 * (1 - 1 / 3))]
    assert doubts(found(), cat) == [("unseen", 0.6)]
    assert doubts(found((300, 300, 400, 400, 0.8, 1), (0, 0, 100, 100, 0.9, 0)), cat) == [("overlooked", 0.8)]
    assert doubts(found((300, 300, 400, 400, 0.4, 1)), box(0, 0, 100, 100, difficult=True)) == []
    assert doubts(found((300, 300, 400, 400, 0.8, 0))) == [("overlooked", 0.8)]
    twice = found((300, 300, 400, 400, 0.8, 1), (320, 300, 420, 400, 0.7, 1))
    assert doubts(twice) == [("overlooked", 0.8)]  # one thing
    assert doubts(found(), box(0, 0, 9, 9, "horse")) == []  # the model was never told of horses


def test_how_many_were_found() -> None:
    boxes = (box(0, 0, 100, 100), box(200, 0, 300, 100), box(400, 0, 500, 100))
    detections = found((0, 0, 100, 100, 0.9, 0), (200, 0, 300, 100, 0.2, 0), (400, 0, 500, 100, 0.9, 1))
    assert doubt_boxes(image("a.jpg", *boxes), detections, LABELS)[1] == 2


def test_cleanlab_finds_labels_that_were_swapped() -> None:
    pytest.importorskip("cleanlab")
    told = []
    for number in range(40):
        label, chance = LABELS[number % 2], 0.95 if number % 2 == 0 else 0.05
        wrong = number in (6, 17)
        shown = box(0, 0, 640, 640, LABELS[1 - number % 2] if wrong else label)
        told.append((image(f"{number}.jpg", shown), Classification(np.array([chance, 1 - chance]), number % 2)))
    suspects = doubt_labels(told, LABELS)
    assert {one.image.source for one in suspects} == {"6.jpg", "17.jpg"}
    assert [one.doubt for one in suspects] == [pytest.approx(0.95)] * 2
    assert suspects[0].note == "labelled cat, the model says dog (0.95)"


def test_an_object_that_is_elsewhere() -> None:
    pytest.importorskip("cleanlab")

    def said(x: float) -> Localization:
        return Localization(np.array([0.9, 0.1]), 0, np.array([x, 0, x + 100, 100], np.float32), 320)

    told = [(image(f"{n}.jpg", box(0, 0, 100, 100)), said(400 if n == 3 else 5)) for n in range(8)]
    [one] = doubt_labels(told, LABELS)
    assert (one.image.source, one.kind, one.doubt) == ("3.jpg", "misplaced", pytest.approx(0.9))


def test_without_cleanlab_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    told = [(image("a.jpg", box(0, 0, 9, 9)), Classification(np.array([1.0, 0.0]), 0))]
    with pytest.raises(MiradaError, match="cleanlab, which is not installed: pip install cleanlab"):
        doubt_labels(told, LABELS)


def test_the_files_open_elsewhere_with_the_labels_as_they_are(tmp_path: Path) -> None:
    first, second = image("x/a.jpg", box(0, 0, 100, 100), box(200, 0, 300, 100, "dog")), image("b.jpg")
    suspects = [
        *doubt_boxes(first, found((0, 0, 100, 100, 0.9, 1)), LABELS)[0],
        *doubt_boxes(second, found((0, 0, 64, 64, 0.7, 0)), LABELS)[0],
    ]
    write_suspects(suspects, LABELS, tmp_path)
    rows = list(csv.DictReader((tmp_path / "suspects.csv").read_text().splitlines()))
    assert [(row["file"], row["kind"], row["doubt"], row["label"]) for row in rows] == [
        ("x/a.jpg", "swapped", "0.900", "cat"),
        ("x/a.jpg", "unseen", "0.600", "dog"),
        ("b.jpg", "overlooked", "0.700", "cat"),
    ]
    seen = Reading(draw(tmp_path, "x/a.jpg", "b.jpg", size=(640, 480)), "label_studio")
    assert seen.boxes("b.jpg") == []
    assert [(round(x1), round(x2), label) for x1, _, x2, _, label in seen.boxes("x/a.jpg")] == [
        (0, 100, "cat"),
        (200, 300, "dog"),
    ]
    view = (tmp_path / "view.xml").read_text()
    assert [view.count(f'<Label value="{label}" />') for label in ("cat", "dog")] == [1, 1]
    made = survey(first, second, splits={"x/a.jpg": "train", "b.jpg": "test"})
    [finding] = told_as_finding(suspects, made, tmp_path)
    assert (finding.id, finding.severity, finding.count) == ("label_errors", "warning", 3)
    assert told_as_finding([], made, tmp_path) == []
