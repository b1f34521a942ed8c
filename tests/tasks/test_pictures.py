import io

import numpy as np
import pytest
from PIL import Image

from mirada.data.records import Example
from mirada.evaluation.pictures import side_by_side
from mirada.inference.prediction import Detections
from mirada.plots import plot_curves
from mirada.tasks.pictures import (
    IGNORED,
    MISSED,
    RIGHT,
    WRONG,
    class_colour,
    draw_detections,
    draw_label,
    draw_location,
    draw_truth,
)

GREY = np.full((100, 100, 3), 60, np.uint8)
TRUTH = Example(
    image_id="x",
    image=b"",
    boxes_xyxy=np.array([[10, 20, 40, 50], [60, 60, 90, 90], [60, 10, 95, 40]], np.float32),
    labels=np.array([0, 1, 0]),
    ignore=np.array([False, False, True]),
    source="x",
)


def colours(picture: Image.Image, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    """The colours along the lower edge of a box, where no text stands."""
    x1, _, x2, y2 = box
    pixels = np.asarray(picture)[y2 - 2 : y2 + 3, x1:x2].reshape(-1, 3)
    return {tuple(int(v) for v in pixel) for pixel in pixels} - {(60, 60, 60), (0, 0, 0)}


def test_truth_shows_classes_and_what_is_ignored():
    picture = draw_truth(GREY, TRUTH, ["a", "b"], 200)
    assert picture.size == (200, 200)
    assert colours(picture, (22, 40, 78, 100)) == {class_colour(0)}
    assert colours(picture, (122, 120, 178, 180)) == {class_colour(1)}
    assert colours(picture, (122, 20, 188, 80)) == {IGNORED}


def test_detections_show_right_wrong_missed_and_ignored():
    found = Detections(
        np.array([[10, 20, 40, 50], [10, 60, 40, 90], [62, 12, 90, 38]], np.float32),
        np.array([0.9, 0.8, 0.7], np.float32),
        np.array([0, 0, 0]),
    )
    picture = draw_detections(GREY, TRUTH, found, ["a", "b"], 200)
    assert colours(picture, (22, 40, 78, 100)) == {class_colour(0)}
    assert colours(picture, (22, 120, 78, 180)) == {WRONG}
    assert colours(picture, (122, 120, 178, 180)) == {MISSED}
    assert colours(picture, (126, 24, 178, 76)) == {IGNORED}


def test_the_right_box_with_the_wrong_label_is_wrong():
    found = Detections(np.array([[10, 20, 40, 50]], np.float32), np.array([0.9], np.float32), np.array([1]))
    assert colours(draw_detections(GREY, TRUTH, found, ["a", "b"], 200), (22, 40, 78, 100)) == {WRONG}


@pytest.mark.parametrize("box", [[-20, -20, 300, 300], [99, 99, 100, 100], [50, 50, 50, 50]])
def test_boxes_at_and_beyond_the_border_are_drawn(box):
    found = Detections(np.array([box], np.float32), np.array([0.5], np.float32), np.array([0]))
    assert draw_detections(GREY, TRUTH, found, ["a label of some length"], 100).size == (100, 100)


def test_panels_stand_side_by_side():
    sheet = side_by_side({"one": Image.new("RGB", (50, 40), "red"), "two": Image.new("RGB", (50, 40), "blue")})
    assert sheet.size == (108, 66)
    assert (sheet.getpixel((25, 50)), sheet.getpixel((85, 50))) == ((255, 0, 0), (0, 0, 255))


@pytest.mark.parametrize("dark", [False, True])
def test_plots_are_pngs(dark):
    curve = np.linspace(1, 0, 101)
    content = plot_curves(np.linspace(0, 1, 101), {"float32": curve}, "recall", "precision", dark=dark)
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    assert picture.width > 500
    assert (picture.getpixel((0, 0))[3] == 0) is dark  # transparent on a dark page, white on a light one


@pytest.mark.parametrize(("right", "colour"), [(True, RIGHT), (False, WRONG), (None, None)])
def test_a_prediction_is_framed_and_a_truth_is_not(right, colour):
    picture = draw_label(GREY[..., :1], "cat 0.97", right, 200)
    frame = {picture.getpixel((i, 1)) for i in range(20, 190)}
    assert (colour in frame) if colour else frame == {(60, 60, 60)}
    # a wrong one is dashed too, so that it doesn't take colour to tell
    assert (len(frame - {colour}) > 0) is (right is not True)


def test_a_location_shows_both_boxes():
    true_box, box = np.array([10, 10, 50, 50], np.float32), np.array([40, 30, 90, 90], np.float32)
    picture = draw_location(GREY[..., :1], true_box, box, "cat 0.97", False, 200)
    assert colours(picture, (82, 60, 178, 180)) == {WRONG}
    assert MISSED in colours(picture, (22, 20, 78, 100))
    swapped = draw_location(GREY[..., :1], true_box, box[[2, 3, 0, 1]], "cat 0.97", False, 200)
    assert np.array_equal(np.asarray(swapped), np.asarray(picture))
    same = draw_location(GREY, true_box, true_box, "cat 0.97", True, 200)
    assert {RIGHT, MISSED} <= colours(same, (22, 20, 98, 100))
