import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mirada.config import AugmentConfig
from mirada.learning.augment.randaugment import OPERATIONS, rand_augment

NOISE = np.random.default_rng(0).integers(20, 200, (32, 32, 3)).astype(np.uint8)


def done(name, strength, image=NOISE):
    return OPERATIONS[name](tf.constant(image, tf.float32), tf.constant(strength)).numpy()


@pytest.mark.parametrize(
    "name", ["identity", "posterize", "brighten", "contrast", "saturate", "sharpen", "turn", "shear_x", "shift_y"]
)
def test_without_strength_an_image_stays(name):
    np.testing.assert_allclose(done(name, 0.0), NOISE, atol=1e-3)


def test_what_needs_no_strength_does_what_pillow_does():
    picture = Image.fromarray(NOISE)
    assert np.abs(done("stretch_contrast", 0.5) - np.asarray(ImageOps.autocontrast(picture))).max() <= 1
    assert np.abs(np.sort(done("equalize", 0.5).ravel())[[0, -1]] - [0, 255]).max() == 0
    # 0, 1, 2, 3 in equal numbers lie evenly apart
    steps = np.repeat(np.arange(4, dtype=np.uint8), 16).reshape(8, 8, 1)
    assert np.unique(done("equalize", 0.5, steps)).tolist() == [0, 85, 170, 255]


def test_values_by_hand():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert (done("brighten", 0.5, grey) == 145).all()  # 1 + 0.9 * 0.5
    assert (done("posterize", -1.0, grey) == 96).all()  # in steps of 16
    assert (done("solarize", 1.0, grey + 60) == 95).all() and (done("solarize", 1.0, grey) == 100).all()
    two = np.array([[[100], [140]]], np.uint8)  # the mean is 120
    assert done("contrast", 1.0, two).ravel() == pytest.approx([82, 158])
    red = np.array([[[200, 0, 0]]], np.uint8)
    luma = 200 * 0.2989
    assert done("saturate", -1.0, red).ravel() == pytest.approx(luma + 0.1 * (np.array([200, 0, 0]) - luma))


def test_shifts_and_turns_move_what_is_there():
    spot = np.zeros((21, 21, 1), np.uint8)
    spot[9:12, 14:17] = 255  # around row 10, column 15, 5 to the right of the centre
    centres = {}
    for name in ("shift_x", "turn", "shear_y"):
        bright = np.argwhere(done(name, 1.0, spot)[..., 0] > 150)
        centres[name] = bright.mean(0)
    # shift_x takes each pixel from 0.3 * 21 = 6.3 to its right; beyond the border it is the padding's 114
    assert centres["shift_x"] == pytest.approx([10, 15 - 6.3], abs=0.5)
    shifted = done("shift_x", 1.0, spot)[..., 0]
    assert (shifted[:, 15:] == 114).all() and (shifted[:, :7] == 0).all()
    assert centres["turn"] == pytest.approx([10 - 2.5, 10 + 5 * np.cos(np.pi / 6)], abs=0.5)  # by 30 degrees
    assert centres["shear_y"] == pytest.approx([10 - 1.5, 15], abs=0.5)  # 0.3 times 5


@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_decides_and_the_image_stays_one(channels):
    config, image = AugmentConfig(rand_operations=2, rand_strength=0.5), NOISE[..., :channels]
    results = [rand_augment(tf.constant(image), tf.constant([7, seed], tf.int64), config) for seed in (*range(12), 0)]
    assert {(result.dtype, tuple(result.shape)) for result in results} == {(tf.uint8, (32, 32, channels))}
    assert (results[0].numpy() == results[-1].numpy()).all()
    assert len({result.numpy().tobytes() for result in results}) > 6
