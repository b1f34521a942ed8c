from collections import Counter

import numpy as np

from mirada.inference.prediction import decode_outputs
from mirada.quantization.calibration import (
    calibration_images,
    choose_balanced,
    choose_hardest,
    choose_random,
    train_classes,
)
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
    classes = train_classes(dataset)
    assert classes == [{label} for label in labels]
    chosen = choose_balanced(classes, 8, seed=0)
    assert Counter(labels[i] for i in chosen) == {0: 4, 1: 4} and chosen == sorted(set(chosen))
    assert choose_balanced(classes, 8, seed=0) == chosen and choose_balanced(classes, 8, seed=1) != chosen
    assert choose_balanced(classes, 12, seed=0) != [] and Counter(
        labels[i] for i in choose_balanced(classes, 12, seed=0)
    ) == {0: 8, 1: 4}, "when a class has no image left, the others go on"
    assert choose_balanced(classes, 99, seed=0) == list(range(16))
    assert len(choose_random(classes, 8, seed=0)) == 8


def test_the_hardest_images_are_those_the_model_is_most_wrong_on(tmp_path):
    dataset = write_singles(tmp_path, "classification", images=16)
    labels = [int(example.labels[0]) for example in dataset.examples("train")]
    card = make_card(dataset)
    hardest = choose_hardest(dataset, list(range(16)), 4, Dim(card), card)
    assert [labels[i] for i in hardest] == [1, 1, 1, 1], "all bright images are taken for dim ones"
    pool = [index for index in range(16) if labels[index] == 0 or index == 1]
    assert 1 in choose_hardest(dataset, pool, 4, Dim(card), card) and labels[1] == 1, "of the pool alone"
    assert set(choose_hardest(dataset, pool, 4, Dim(card), card)) <= set(pool)


def test_a_random_draw_goes_through_a_permutation_and_first_takes_what_brings_a_class():
    order = [2, 11, 3, 10, 0, 4, 7, 5, 14, 12, 6, 9, 13, 8, 1, 15]  # numpy's first permutation of 16, with seed 0
    assert np.random.default_rng(0).permutation(16).tolist() == order
    classes = [{int(number % 4 == 1)} for number in range(16)]
    assert choose_random(classes, 1, seed=0) == [2, 5], "the first of each class"
    assert choose_random(classes, 8, seed=0) == [0, 2, 3, 4, 5, 7, 10, 11]
    assert choose_random([set(), {0}, {0, 1}], 2, seed=0) == [0, 2], "an image without an object brings nothing"


def test_images_come_as_pixels(tmp_path):
    dataset = write_singles(tmp_path, "classification")
    images = list(calibration_images(dataset, [1, 3]))
    assert [(image.shape, image.dtype) for image in images] == [((64, 64, 1), np.uint8)] * 2
