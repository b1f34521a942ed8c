"""Boxes beside boxes, with overlaps worked out by hand."""

from __future__ import annotations

import pytest

from mirada.inspection.checks import boxes
from mirada.inspection.checks.boxes import find_covering, find_overlaps, find_tiny, pairs_of
from tests.inspection.surveys import box, image, survey


def test_pairs_by_kind() -> None:
    found = pairs_of(
        image(
            "a.jpg",
            box(0, 0, 100, 100),
            box(0, 0, 100, 95),  # 0.95 of the first
            box(0, 0, 95, 100, "dog"),  # 0.95 of the first, 9025 of 9975 of the second
            box(40, 40, 60, 60),  # inside the first two
            box(300, 300, 320, 320),
        )
    )
    assert found["repeated"] == [(0, 1, pytest.approx(0.95))]
    assert found["disagreeing"] == [(0, 2, pytest.approx(0.95)), (1, 2, pytest.approx(9025 / 9975))]
    assert found["nested"] == [(3, 0, 1.0)]


def test_what_only_touches_is_no_pair() -> None:
    assert pairs_of(image("a.jpg", box(0, 0, 10, 10), box(2, 0, 12, 10))) == {  # 80 of 120
        "repeated": [], "disagreeing": [], "nested": []
    }  # fmt: skip


def test_many_boxes_are_compared_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    many = image("a.jpg", *(box(20 * n, 0, 20 * n + 10, 10) for n in range(9)), box(0, 0, 10, 10), box(160, 0, 170, 10))
    whole = pairs_of(many)
    monkeypatch.setattr(boxes, "_BLOCK", 2)
    assert pairs_of(many) == whole
    assert whole["repeated"] == [(0, 9, 1.0), (8, 10, 1.0)]


def test_findings_name_images_and_boxes() -> None:
    twice = image("b.jpg", box(0, 0, 100, 100), box(0, 0, 100, 96), box(300, 0, 400, 99))
    [finding] = find_overlaps(survey(image("a.jpg", box(0, 0, 9, 9)), twice))
    assert (finding.id, finding.severity, finding.count) == ("boxes_repeated", "warning", 1)
    assert finding.examples[0].source == "b.jpg"
    assert finding.examples[0].boxes == twice.boxes[:2] and finding.examples[0].others == twice.boxes[2:]
    assert find_overlaps(survey(twice, task="classification")) == []


def test_tiny_and_covering_boxes() -> None:
    made = survey(image("a.jpg", box(0, 0, 2.5, 50), box(0, 0, 3, 3), box(0, 0, 640, 639)))
    [tiny] = find_tiny(made)
    [covering] = find_covering(made)
    assert tiny.count == 1 and tiny.examples[0].boxes == (box(0, 0, 2.5, 50),)
    assert (covering.count, covering.severity) == (1, "note")
    [all_covering] = find_covering(survey(image("a.jpg", box(0, 0, 640, 640))))
    assert all_covering.severity == "warning" and all_covering.mend.startswith("data.task=classification")
