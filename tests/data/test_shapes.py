"""Drawn shapes: their boxes are exact, their bytes depend on the settings alone."""

import numpy as np
import pytest

from mirada.data.formats.voc import VocPair, read_voc
from mirada.data.records import Box
from mirada.data.shapes import LABELS, draw_shapes, write_voc


@pytest.mark.parametrize("index", range(6))
def test_boxes_touch_their_shapes(index):
    image, boxes = draw_shapes(index, classes=3, objects=1, size=160, seed=0)
    assert [box.label for box in boxes] == [LABELS[index % 3]]
    shape = np.asarray(image).max(axis=2) == 255  # noise of mean 110 at most and sigma 12 never reaches 255
    rows, columns = np.where(shape.any(1))[0], np.where(shape.any(0))[0]
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert found == (boxes[0].x1, boxes[0].y1, boxes[0].x2, boxes[0].y2)


def test_equal_settings_give_equal_pixels():
    image, boxes = draw_shapes(7, 3, 4, 96, seed=1)
    again, same = draw_shapes(7, 3, 4, 96, seed=1)
    other, _ = draw_shapes(7, 3, 4, 96, seed=2)
    assert image.tobytes() == again.tobytes() and boxes == same
    assert image.tobytes() != other.tobytes()


def test_classes_and_objects_are_limits():
    drawn = [draw_shapes(index, classes=2, objects=3, size=160, seed=0)[1] for index in range(30)]
    assert {box.label for boxes in drawn for box in boxes} == {"circle", "square"}
    assert {len(boxes) for boxes in drawn} == {1, 2, 3}


def test_the_smallest_image_and_a_crowd():
    _, boxes = draw_shapes(0, classes=3, objects=50, size=32, seed=0)
    assert 1 <= len(boxes) < 50  # there is no room for all
    assert all(0 <= box.x1 < box.x2 <= 32 and 0 <= box.y1 < box.y2 <= 32 for box in boxes)


def test_xml_reads_back(tmp_path):
    image, boxes = draw_shapes(0, 3, 4, 64, seed=0)
    boxes = [*boxes, Box(1.5, 2, 3, 4, "a <b> & c", difficult=True)]
    image.save(tmp_path / "x & y.jpg")
    write_voc(tmp_path / "x & y.jpg", 64, 64, boxes)
    read = read_voc(VocPair(tmp_path / "x & y.jpg", tmp_path / "x & y.xml", "x & y.jpg", None), {})
    assert read.boxes == tuple(boxes) and read.repairs == ()
