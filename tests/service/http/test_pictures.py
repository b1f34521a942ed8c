"""The picture that the API gives back."""

import io

import numpy as np
from PIL import Image

from mirada.service.http.pictures import draw_found
from tests.data.pixels.writing import png_of


def test_a_deep_photograph_is_shown_as_the_model_sees_it() -> None:
    """1400 of [1000, 3000] is 51 of 255; of its 16 bits the upper 8 are 5."""
    data = png_of(np.full((8, 8), 1400))
    shown = [draw_found(data, [], ["a"], png=True, depth_range=depths) for depths in ([1000.0, 3000.0], None)]
    assert [Image.open(io.BytesIO(picture)).getpixel((3, 3)) for picture in shown] == [(51, 51, 51), (5, 5, 5)]
