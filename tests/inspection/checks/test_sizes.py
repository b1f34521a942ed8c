"""Sizes in the network's pixels, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.inspection.checks.sizes import find_cut, find_small, network_sizes, recommend, view
from tests.inspection.surveys import box, image, survey


def test_a_box_is_measured_as_the_network_sees_it() -> None:
    # 640 × 320 into 320: half as large by letterbox; stretched it is half as wide and as high as it was.
    flat = image("a.jpg", box(0, 0, 40, 10), size=(640, 320))
    assert network_sizes(survey(flat)) == pytest.approx([(20 * 5) ** 0.5])
    assert network_sizes(survey(flat, fit="stretch")) == pytest.approx([(20 * 10) ** 0.5])
    assert network_sizes(survey(flat, tile=160)) == pytest.approx([(80 * 20) ** 0.5])  # a tile is doubled
    assert network_sizes(survey(flat, input_size=640)) == pytest.approx([20.0])


def test_a_difficult_box_does_not_count() -> None:
    assert len(network_sizes(survey(image("a.jpg", box(0, 0, 9, 9), box(0, 0, 9, 9, difficult=True))))) == 1


def test_small_objects_bring_a_tile_and_an_input_that_were_tried() -> None:
    # 20 pixels of 1280 are 5 of 320: below the finest stride. 24 of 320 network pixels are 20 pixels of a tile of
    # 266, 256 as a multiple of 32: 25 there. The input would have to be 1536, and may be 1024: 16 there.
    images = [image(f"{n}.jpg", box(100, 100, 120, 120), size=(1280, 1280)) for n in range(4)]
    made = survey(*images)
    tile, side = recommend(made)
    assert (tile.key, side.key) == ("data.tile.size=256", "input_size=1024")
    assert tile.median == pytest.approx(25) and tile.small == 0 and tile.cut == 0
    assert side.median == pytest.approx(16) and side.cost == pytest.approx((1024 / 320) ** 2)
    assert tile.looks == 49  # steps of 192 in 1280 - 256: 0, 192, … 960, 1024: seven across and seven down
    [finding] = find_small(made)
    assert (finding.id, finding.severity, finding.count) == ("objects_small", "error", 4)
    assert "100 % of 4 objects" in finding.sentence and "median is 5.0" in finding.sentence
    assert finding.mend.startswith("data.tile.size=256 (median 25.0, 0 % small, 49.0 × the work)")
    assert [row[0] for row in finding.rows] == ["setting", "as it is", "data.tile.size=256", "input_size=1024"]


def test_half_small_is_a_warning_less_a_note_and_little_nothing() -> None:
    small, large = box(0, 0, 20, 20), box(0, 0, 80, 80)  # 10 and 40 network pixels
    assert [f.severity for f in find_small(survey(image("a.jpg", small, small, large)))] == ["warning"]
    assert [f.severity for f in find_small(survey(image("a.jpg", small, large, large)))] == ["note"]
    assert find_small(survey(image("a.jpg", small, *[large] * 5))) == []
    assert find_small(survey(image("a.jpg"))) == []
    assert find_small(survey(image("a.jpg", small), task="classification")) == []


def test_no_tile_is_proposed_that_would_cut_the_large_ones() -> None:
    # Most are 20 pixels of 1280, but one in ten is 900 long: no tile below 1280 × 0.8 holds that in three quarters.
    boxes = [box(0, 0, 20, 20)] * 9 + [box(0, 0, 900, 900)]
    assert [v.key for v in recommend(survey(image("a.jpg", *boxes, size=(1280, 1280))))] == ["input_size=1024"]


def test_objects_longer_than_a_tile() -> None:
    made = survey(image("a.jpg", box(0, 0, 200, 20), box(0, 0, 20, 20)), tile=160)
    [finding] = find_cut(made)
    # 98 % of the objects are up to 196.4 pixels long; three quarters of 288 are 216.
    assert (finding.count, finding.severity, finding.mend) == (1, "warning", "data.tile.size=288")
    assert find_cut(survey(image("a.jpg", box(0, 0, 159, 20)), tile=160)) == []
    assert find_cut(survey(image("a.jpg", box(0, 0, 600, 20)))) == []


def test_a_view_counts_what_a_tile_cuts() -> None:
    made = survey(image("a.jpg", box(0, 0, 100, 10), box(0, 0, 10, 10), size=(320, 320)))
    assert view(made, tile_size=128).cut == 0.5  # 100 is more than 96, three quarters of 128
    assert np.isclose(view(made, tile_size=128).looks, 9)
