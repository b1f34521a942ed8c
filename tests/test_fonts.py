import sys

import numpy as np
import pytest
from PIL import Image

from mirada import fonts
from mirada.fonts import readable, set_line
from mirada.plots import new_figure, to_png
from mirada.tasks.pictures import annotate


@pytest.fixture(autouse=True)
def no_other_fonts(monkeypatch):
    """The fonts that matplotlib brings for Europe, Arabic and Hebrew, whatever this machine has besides."""
    from matplotlib.font_manager import fontManager

    own = [entry for entry in fontManager.ttflist if entry.fname.endswith("mpl-data/fonts/ttf/DejaVuSans.ttf")]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(fonts, "_PACKAGES", ())
    fonts._known_fonts.cache_clear()
    fonts._fonts_of.cache_clear()
    yield
    fonts._known_fonts.cache_clear()
    fonts._fonts_of.cache_clear()


def ink(text: str) -> np.ndarray:
    """The letters' own rows and columns."""
    pixels = np.asarray(set_line(text, 40))
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pine tree", "pine tree"),
        ("\U0001f436 Hund \U0001f469\u200d\U0001f692", "Hund"),
        ("1\ufe0f\u20e3 e\u0301\n2", "1 \xe9 2"),
        ("\u0e41\u0e2d 0.9", "\u25a1\u25a1 0.9"),  # Thai, for which there is no font here
        ("\udcff\uf8ff x\xe9", "x\xe9"),  # a broken name of a file, a sign of nobody's
    ],
)
def test_what_no_font_draws_is_left_out_or_marked(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_accented_letters_differ() -> None:
    """Pillow's own font draws one square for all of them."""
    assert not np.array_equal(ink("\xe9"), ink("\xe8"))


def test_hebrew_runs_from_right_to_left() -> None:
    alef, bet = ink("\u05d0"), ink("\u05d1")
    both = ink("\u05d0\u05d1")
    assert np.array_equal(both[:, -alef.shape[1] :][: alef.shape[0]] > 128, alef > 128)
    assert not np.array_equal(both[:, : bet.shape[1]][: alef.shape[0]] > 128, alef > 128)


def test_arabic_letters_join() -> None:
    """Three times beh: apart they are three wide letters, joined the first two shrink to teeth."""
    assert ink("\u0628\u0628\u0628").shape[1] < 2.2 * ink("\u0628").shape[1]


def test_a_picture_and_a_plot_take_any_label() -> None:
    labels = ["\xe9pic\xe9a", "\u6a39", "\u05d0\u05d1", "\U0001f332"]
    picture = Image.new("RGB", (300, 300))
    annotate(picture, [None, [10, 60, 90, 90], [10, 160, 90, 190], [200, 60, 290, 90]], [0, 1, 2, 3], labels)
    assert np.asarray(picture).any()
    figure, axes = new_figure(False, 4, 3)
    axes.set_yticks(range(4), labels)
    axes.set_title(labels[1])
    to_png(figure)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["\xe9pic\xe9a", "\u25a1", "\u05d0\u05d1", ""]


def test_the_fonts_of_a_package_are_found(monkeypatch, tmp_path) -> None:
    """Whatever is named like the extra's packages is looked into, not imported."""
    from matplotlib import get_data_path

    (tmp_path / "some_fonts").mkdir()
    (tmp_path / "some_fonts" / "__init__.py").write_text("raise AssertionError\n")
    source = f"{get_data_path()}/fonts/ttf/STIXNonUni.ttf"
    (tmp_path / "some_fonts" / "NotoSansSome.ttf").symlink_to(source)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    private = "\ue000"
    assert readable(f"a{private}") == "a"
    monkeypatch.setattr(fonts, "_PACKAGES", ("absent_fonts", "some_fonts"))
    fonts._known_fonts.cache_clear()
    fonts._fonts_of.cache_clear()
    assert readable(f"a{private}") == f"a{private}"
