import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mirada.learning.timeline import COMPUTING, WAITING, StepTimes, draw_timeline, steady_steps


def steps(count, wait, work):
    return [StepTimes(i * (wait + work), i * (wait + work) + wait, (i + 1) * (wait + work)) for i in range(count)]


def test_steps_are_shown_from_the_middle_of_an_epoch_and_start_at_nought():
    shown = steady_steps(steps(10, 1.0, 3.0), most=4)
    assert shown == steps(4, 1.0, 3.0)  # the 4th to 7th, moved to the start
    assert steady_steps(steps(3, 1.0, 3.0), most=4) == steps(2, 1.0, 3.0)  # without the first one
    assert steady_steps(steps(1, 1.0, 3.0), most=4) == steps(1, 1.0, 3.0)
    assert steady_steps([], most=4) == []


def count(picture, colour):
    return int((np.abs(picture - 255 * np.array(to_rgb(colour))).max(-1) < 2).sum())


def test_the_picture_shows_the_share_of_waiting():
    def draw(wait):
        content = draw_timeline({"naive": steps(8, wait, 0.1), "pipelined": steps(8, wait, 0.1)})
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), float)

    for wait in (0.1, 0.3):
        picture = draw(wait)
        share = count(picture, WAITING) / (count(picture, WAITING) + count(picture, COMPUTING))
        assert share == pytest.approx(wait / (wait + 0.1), abs=0.04)
