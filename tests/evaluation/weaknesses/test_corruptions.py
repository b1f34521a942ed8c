import numpy as np
import pytest

from mirada.evaluation.weaknesses.corruptions import CORRUPTIONS, STRENGTHS, corrupt

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (32, 40, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_strength_takes_an_image_further_away(kind: str, channels: int) -> None:
    smooth = np.linspace(20, 120, 32 * 32).reshape(32, 32, 1).repeat(channels, axis=2).round().astype(np.uint8)
    smooth[8:16, 8:16] = 200
    away = []
    for strength in range(len(STRENGTHS)):
        changed = corrupt(smooth, kind, strength)
        assert (changed.shape, changed.dtype) == (smooth.shape, np.uint8)
        away.append(np.abs(changed.astype(int) - smooth).mean())
    assert 0 < away[0] < away[1] < away[2]


def test_brightness_raises_the_value_and_keeps_the_hue() -> None:
    image = np.array([[[51, 102, 0], [0, 0, 0], [255, 51, 0]]], np.uint8)  # values 0.4, 0, 1
    changed = corrupt(image, "brightness", 0)  # + 0.1: times 1.25, grey of 25.5, as it was
    assert changed.tolist() == [[[64, 128, 0], [26, 26, 26], [255, 51, 0]]]


def test_contrast_draws_each_channel_to_its_mean() -> None:
    image = np.array([[[0, 100, 50], [200, 100, 150]]], np.uint8)
    assert corrupt(image, "contrast", 0).tolist() == [[[60, 100, 80], [140, 100, 120]]]  # factor 0.4
    assert corrupt(image, "contrast", 2).tolist() == [[[95, 100, 98], [105, 100, 102]]]  # 0.05; 97.5, 102.5 to even


def test_noise_is_as_strong_as_it_says_and_comes_from_its_seed() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = corrupt(grey, "noise", 0, 3)
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.02)
    assert (corrupt(grey, "noise", 0, 3) == noisy).all()
    assert (corrupt(grey, "noise", 0, 4) != noisy).any()


def test_blur_spreads_a_point_and_keeps_its_sum() -> None:
    point = np.zeros((41, 41, 1), np.uint8)
    point[15:26, 15:26] = 255
    blurred = corrupt(point, "blur", 1)
    assert blurred.sum() == pytest.approx(point.sum(), rel=0.02)
    assert 0 < blurred[20, 12, 0] < blurred[20, 17, 0] < 255
