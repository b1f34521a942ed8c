from dataclasses import replace

import numpy as np

from mirada.stages.training.batch_sheet import draw_batch
from tests.cards import CARD


def near(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 30


def test_a_sheet_has_the_images_as_they_were_and_boxes_where_they_are():
    card = replace(CARD, task="detection", labels=["a"], input_size=64)
    images = np.full((5, 64, 64, 3), 255 / 127.5 - 1, np.float32)  # white
    images[1] = 100 / 127.5 - 1
    batch = {
        "image": images,
        "boxes_xyxy": np.array([[[16, 16, 48, 48], [0, 0, 0, 0]]] * 5, np.float32),
        "labels": np.array([[0, -1]] * 5),
        "ignore": np.array([[False, True]] * 5),
    }
    sheet = np.asarray(draw_batch(batch, card))
    assert sheet.shape == (2 * 320 + 6, 4 * 320 + 3 * 6, 3)  # four and one
    assert (sheet[20, 20] == 255).all() and (sheet[20, 326 + 20] == 100).all()
    assert near(
        sheet[160, 80], (0x2E, 0xA3, 0xF2)
    )  # the left side of the box, at 16 of 64 pixels, in the class's colour
    assert (sheet[5, 5] == 255).all()  # the row without an object is not drawn


def test_a_sheet_of_labels_names_them():
    card = replace(CARD, input_size=64)
    plain = {
        "image": np.zeros((1, 64, 64, 3), np.float32), "boxes_xyxy": np.zeros((1, 1, 4), np.float32),
        "labels": np.array([[0]]), "ignore": np.array([[False]]),
    }  # fmt: skip
    mixed = plain | {"mixed_label": np.array([1]), "mixed_share": np.array([0.25], np.float32)}
    unmixed = mixed | {"mixed_share": np.zeros(1, np.float32)}
    sheets = [np.asarray(draw_batch(batch, card)) for batch in (plain, mixed, unmixed)]
    written = [(sheet != sheet[0, 0]).any(-1).sum() for sheet in sheets]
    assert sheets[0].shape == (320, 320, 3) and 0 < written[0] < written[1]
    assert (sheets[0] == sheets[2]).all()
