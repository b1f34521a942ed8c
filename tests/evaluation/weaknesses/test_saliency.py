import numpy as np

from mirada.evaluation.weaknesses.saliency import draw_saliency, occlusion_map


def test_the_map_is_high_where_the_decision_lies() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:4, 4:6] = 128  # the mean of the image is 8

    falls = occlusion_map(image, lambda shown: float(shown[2, 4, 0]) / 256, side=2, step=2)
    expected = np.zeros((8, 8))
    expected[2:4, 4:6] = (128 - 8) / 256
    assert np.allclose(falls, expected)


def test_overlapping_patches_are_averaged_and_reach_the_border() -> None:
    image = np.array([[[0], [0], [0], [100], [0]]], np.uint8)  # mean 20
    seen = []

    def probability(shown: np.ndarray) -> float:
        seen.append(shown[0, :, 0].tolist())
        return float(shown[0, 3, 0]) / 100

    falls = occlusion_map(image, probability, side=2, step=2)
    # patches at 0, 2 and, moved back to the border, 3; the second and third cover pixel 3
    assert len(seen) == 4
    assert np.allclose(falls, [[0, 0, 0.8, 0.8, 0.8]])


def test_a_small_fall_is_not_made_much_of() -> None:
    image = np.full((10, 10, 3), 100, np.uint8)
    nothing = np.asarray(draw_saliency(image, np.zeros((10, 10)), 10))
    little = np.asarray(draw_saliency(image, np.full((10, 10), 0.005), 10))
    much = np.asarray(draw_saliency(image, np.full((10, 10), 0.5), 10))
    assert (nothing == 100).all()
    assert 0 < int(little[5, 5, 0]) - int(little[5, 5, 1]) < (int(much[5, 5, 0]) - int(much[5, 5, 1])) / 4
