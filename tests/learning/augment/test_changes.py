import numpy as np
import pytest
import tensorflow as tf

from mirada.config import AugmentConfig
from mirada.learning.augment.changes import augment, change_images, draw_changes

STILL = {
    "flip_horizontal": False, "scale_min": 1.0, "scale_max": 1.0,
    "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0,
}  # fmt: skip


def picture(box, side=64):
    image = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return image


def change(box, config, seed):
    image, boxes, ignore, kept = augment(
        picture(box), np.array([box], np.float32), np.array([False]), tf.constant([seed, 1]), config
    )
    return image.numpy(), boxes.numpy(), ignore.numpy(), kept.numpy()


def test_nothing_asked_nothing_changed():
    image, boxes, _, kept = change((10, 20, 30, 50), AugmentConfig(**STILL), 3)
    assert np.abs(image - picture((10, 20, 30, 50))).max() < 1e-3
    assert boxes.tolist() == [[10, 20, 30, 50]] and kept.tolist() == [True]


@pytest.mark.parametrize("seed", range(12))
def test_the_box_stays_around_the_object(seed):
    config = AugmentConfig(**STILL | {
        "flip_horizontal": True, "flip_vertical": True, "rotate_90": True, "scale_min": 0.7, "scale_max": 1.3,
    })  # fmt: skip
    image, boxes, _, kept = change((24, 18, 48, 34), config, seed)
    bright = np.argwhere(image[..., 0] > 160)  # the padding is 114
    assert kept.tolist() == [True]
    x1, y1, x2, y2 = boxes[0]
    seen = [bright[:, 1].min(), bright[:, 0].min(), bright[:, 1].max() + 1, bright[:, 0].max() + 1]
    assert np.abs(np.array(seen) - [x1, y1, x2, y2]).max() <= 1.0


@pytest.mark.parametrize("seed", range(6))
def test_a_crop_is_the_warp_without_small_turns(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    config = AugmentConfig(**STILL | {
        "flip_horizontal": True, "flip_vertical": True, "rotate_90": True, "scale_min": 0.6, "scale_max": 1.0,
    })  # fmt: skip
    changes = {key: value[None] for key, value in draw_changes(tf.constant([seed, 2]), 64, 3, config).items()}
    warped = {"to_source": changes["to_source"]}
    assert changes.keys() == {"to_source", "window", "transposed"}
    # Half a pixel beyond the border one is padding, the other a mixture.
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(change_images(noise, changes)[inner], change_images(noise, warped)[inner], atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_inside_tf_data_it_does_the_same_as_outside(seed):
    config = AugmentConfig(rotate_90=True)
    eager = augment(
        picture((8, 8, 40, 30)), np.array([[8, 8, 40, 30.0]], "f4"), [False], tf.constant([seed, 1]), config
    )
    data = tf.data.Dataset.from_tensors(0).map(
        lambda _: augment(
            tf.constant(picture((8, 8, 40, 30))), tf.constant([[8, 8, 40, 30.0]]), tf.constant([False]),
            tf.constant([seed, 1]), config,
        )
    )  # fmt: skip
    for a, b in zip(eager, next(iter(data)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-3)


def test_the_seed_decides():
    config = AugmentConfig()
    first, second, other = (change((8, 8, 40, 30), config, seed)[0] for seed in (5, 5, 6))
    assert (first == second).all() and (first != other).any()


def test_a_box_that_leaves_the_image_is_dropped_and_a_sliver_is_ignored():
    config = AugmentConfig(**STILL | {"scale_min": 0.5, "scale_max": 1.0})
    kept, ignored = set(), set()
    for seed in range(40):
        _, boxes, ignore, keep = change((0, 0, 20, 20), config, seed)
        kept.add(bool(keep[0]))
        ignored |= set(ignore.tolist())
        assert ((boxes >= 0) & (boxes <= 64)).all()
    assert kept == {True, False} and ignored == {True, False}


def test_colours_change_but_stay_in_range():
    config = AugmentConfig(**STILL | {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.2})
    results = [change((10, 20, 30, 50), config, seed) for seed in range(5)]
    assert all(image.min() >= 0 and image.max() <= 255 for image, *_ in results)
    assert max(np.abs(image - picture((10, 20, 30, 50))).max() for image, *_ in results) > 20
    assert all(boxes.tolist() == [[10, 20, 30, 50]] for _, boxes, *_ in results)


def test_a_turned_box_reaches_around_its_four_corners():
    config = AugmentConfig(**STILL | {"rotate_degrees": 20.0})
    turned = []
    for seed in range(6):
        image, boxes, ignore, _ = change((24, 18, 48, 34), config, seed)
        bright = np.argwhere(image[..., 0] > 140)  # the padding is 114
        seen = [bright[:, 1].min(), bright[:, 0].min(), bright[:, 1].max() + 1, bright[:, 0].max() + 1]
        assert np.abs(np.array(seen) - boxes[0]).max() <= 1.5 and not ignore[0]
        width, height = boxes[0][2:] - boxes[0][:2]
        # |angle| solves width = 24 cos + 16 sin, and the same angle gives the height
        angle = min(np.radians(np.linspace(0, 20, 2001)), key=lambda a: abs(24 * np.cos(a) + 16 * np.sin(a) - width))
        assert height == pytest.approx(16 * np.cos(angle) + 24 * np.sin(angle), abs=0.05)
        turned.append(np.degrees(angle))
    assert max(turned) > 8 and max(turned) <= 20


def test_a_grey_image_changes_in_brightness_and_contrast_only():
    grey = np.full((8, 8, 1), 100, np.uint8)
    grey[:4] = 140  # mean 120
    box = np.array([[0, 0, 8, 8]], np.float32)
    seed = tf.constant([3, 1])
    hue = AugmentConfig(**STILL | {"saturation": 0.9, "hue": 0.5})
    assert (augment(grey, box, np.array([False]), seed, hue)[0].numpy() == grey).all()
    contrast = augment(grey, box, np.array([False]), seed, AugmentConfig(**STILL | {"contrast": 0.5}))[0].numpy()
    assert contrast.mean() == pytest.approx(120, abs=1e-3) and 2 < abs(contrast.max() - 140) <= 10
    bright = augment(grey, box, np.array([False]), seed, AugmentConfig(**STILL | {"brightness": 0.2}))[0].numpy()
    assert np.ptp(bright - grey) < 1e-3 and 1 < abs(bright[0, 0, 0] - 140) <= 51
