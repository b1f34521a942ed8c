import numpy as np
import pytest
from PIL import Image

from mirada.data.alike.hashes import SIDE, WINDOWS
from mirada.data.alike.likeness import brightness_differs, details, fit_crop
from tests.data.alike.photographs import photograph


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def test_details_are_what_a_picture_has_beyond_its_surroundings() -> None:
    """One bright pixel: 80/81 of it stays, each of its 80 neighbours loses 1/81, so the mean stays 0 but for the border."""
    picture = np.zeros((1, SIDE, SIDE), np.uint8)
    picture[0, 30, 30] = 243
    found = details(picture)[0]
    assert found[30, 30] / found[30, 31] == pytest.approx(-80)
    assert found[10, 10] == pytest.approx(0, abs=1e-6)


def test_details_know_neither_brightness_nor_contrast() -> None:
    picture = small(photograph(0))[None]
    darker = (picture * 0.5 + 10).astype(np.float32)
    assert float((details(picture) * details(darker)).sum()) > 0.97
    assert brightness_differs(picture[0], darker[0])
    assert not brightness_differs(picture[0], picture[0] + 2)


def test_a_blank_picture_has_no_details() -> None:
    assert np.linalg.norm(details(np.full((1, SIDE, SIDE), 200, np.uint8))) < 0.01


@pytest.mark.parametrize("corners", [(40, 20, 360, 340), (0, 0, 330, 350), (60, 80, 380, 400)])
def test_a_crop_is_found_where_it_lies(corners: tuple[int, int, int, int]) -> None:
    image = photograph(1, (400, 400))
    shares = np.array(corners) / 400
    window = int(np.abs(np.array(WINDOWS) - shares).sum(axis=1).argmin())
    fit = fit_crop(small(image), small(image.crop(corners)), window)
    assert fit.likeness > 0.85
    assert np.abs(np.array(fit.corners) - shares).max() <= 1.5 / SIDE


def test_another_photograph_and_a_blank_one_fit_nowhere() -> None:
    assert fit_crop(small(photograph(1)), small(photograph(2)), 10).likeness < 0.5
    assert fit_crop(small(photograph(1)), np.full((SIDE, SIDE), 90, np.uint8), 10).likeness == 0
