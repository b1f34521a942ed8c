from collections import Counter

import numpy as np

from mirada.inference.prediction import decode_outputs
from mirada.quantization.calibration import calibration_images, choose_balanced, choose_hardest, choose_random
from tests.singles import make_card, write_singles


class Dim:
    """Takes every image for the first class, the surer the brighter the image is."""

    def __init__(self, card):
        self.card = card

    def find(self, image, decoding):
        return decode_outputs({"classes": np.array([[float(image.mean()), 0.0]], np.float32)}, self.card, decoding)


def test_classes_are_drawn_in_turn_where_a_random_draw_takes_them_as_they_come(tmp_path):
    dataset = write_singles(tmp_path, "classification", images=16)  # one of four is bright
    labels = [int(example.labels[0]) for example in dataset.examples("train")]
    assert Counter(labels) == {0: 12, 1: 4}
    chosen = choose_balanced(dataset, 8, seed=0)
    assert Counter(labels[i] for i in chosen) == {0: 4, 1: 4} and chosen == sorted(set(chosen))
    assert choose_balanced(dataset, 8, seed=0) == chosen and choose_balanced(dataset, 8, seed=1) != chosen
    assert choose_balanced(dataset, 12, seed=0) != [] and Counter(
        labels[i] for i in choose_balanced(dataset, 12, seed=0)
    ) == {0: 8, 1: 4}, "when a class has no image left, the others go on"
    assert choose_balanced(dataset, 99, seed=0) == list(range(16))
    assert len(choose_random(dataset, 8, seed=0)) == 8


def test_the_hardest_images_are_those_the_model_is_most_wrong_on(tmp_path):
    dataset = write_singles(tmp_path, "classification", images=16)
    labels = [int(example.labels[0]) for example in dataset.examples("train")]
    card = make_card(dataset)
    hardest = choose_hardest(dataset, 4, 0, Dim(card), card)
    assert [labels[i] for i in hardest] == [1, 1, 1, 1], "all bright images are taken for dim ones"


def test_images_come_as_pixels(tmp_path):
    dataset = write_singles(tmp_path, "classification")
    images = list(calibration_images(dataset, [1, 3]))
    assert [(image.shape, image.dtype) for image in images] == [((64, 64, 1), np.uint8)] * 2
