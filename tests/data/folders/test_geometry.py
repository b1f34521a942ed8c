"""Boxes around other shapes, compared with pycocotools where it knows them."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mirada.data.folders.geometry import (
    decode_runs,
    enclose,
    enclose_ellipse,
    enclose_quad,
    enclose_rotated,
    enclose_runs,
)


def test_a_turned_box() -> None:
    assert enclose_rotated(50, 40, 20, 10, 0) == (40, 35, 60, 45)
    assert enclose_rotated(50, 40, 20, 10, math.pi / 2) == pytest.approx((45, 30, 55, 50))
    half = 15 * math.sqrt(0.5)  # (20 + 10) / 2 of the diagonal
    assert enclose_rotated(0, 0, 20, 10, math.pi / 4) == pytest.approx((-half, -half, half, half))


@pytest.mark.parametrize(("degrees", "box"), [(10, (40, 35, 60, 45)), (-80, (45, 30, 55, 50)), (100, (45, 30, 55, 50))])
def test_a_turned_box_made_upright(degrees: float, box: tuple[float, ...]) -> None:
    """20 x 10 about (50, 40): it lies or stands, whichever is nearer."""
    angle = math.radians(degrees)
    assert enclose_rotated(50, 40, 20, 10, angle, "upright") == pytest.approx(box)
    cos, sin = math.cos(angle), math.sin(angle)
    offsets = ((-10, -5), (10, -5), (10, 5), (-10, 5))
    corners = [(50 + x * cos - y * sin, 40 + x * sin + y * cos) for x, y in offsets]
    assert enclose_quad(corners, "upright") == pytest.approx(box)
    assert enclose_quad(corners) == pytest.approx(enclose_rotated(50, 40, 20, 10, angle))


def test_a_turned_ellipse() -> None:
    assert enclose_ellipse(50, 40, 10, 5, math.pi / 2) == pytest.approx((45, 30, 55, 50))
    half = math.sqrt(62.5)  # of (10² + 5²) / 2
    assert enclose_ellipse(0, 0, 10, 5, math.pi / 4) == pytest.approx((-half, -half, half, half))


def test_points() -> None:
    assert enclose([(3, 9), (1, 4), (2, 2)]) == (1, 2, 3, 9)
    assert enclose([(1, 2)]) is None and enclose([(1, 2), (3, math.nan)]) is None


@pytest.mark.parametrize("seed", range(5))
def test_runs_as_pycocotools_reads_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = np.zeros((13, 17), np.uint8)
    mask[random.integers(0, 6) : random.integers(7, 13), random.integers(0, 8) : random.integers(9, 17)] = 1
    mask &= random.random(mask.shape) < 0.7
    encoded = coco_mask.encode(np.asfortranarray(mask))
    x, y, width, height = coco_mask.toBbox(encoded)
    assert enclose_runs(decode_runs(encoded["counts"].decode()), 13, 17) == (x, y, x + width, y + height)


def test_runs_that_wrap_around_a_column() -> None:
    # 3 high, 2 wide: the last pixel of the first column and the first of the second
    assert enclose_runs([2, 2, 2], 3, 2) == (0, 0, 2, 3)
    assert enclose_runs([2, 2, 2], 2, 3, by_rows=True) == (0, 0, 3, 2)


@pytest.mark.parametrize("counts", [[5], [], [2, -1, 5], [1, 2], [6]])
def test_runs_of_nothing_or_that_do_not_fill_the_image(counts: list[int]) -> None:
    assert enclose_runs(counts, 3, 2) is None


@pytest.mark.parametrize("text", ["\x00", "~~~~", "P" * 40, "p"])
def test_texts_that_are_no_runs(text: str) -> None:
    with pytest.raises(ValueError):
        decode_runs(text)
