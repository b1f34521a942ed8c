from pathlib import Path

import pytest

from mirada.config import DeviceConfig
from mirada.errors import MiradaError
from mirada.export.bundle.assembly import assemble, choose_figures
from mirada.inference.card import load_card

PATH = Path("metrics.json")
DESKTOP = DeviceConfig(name="desktop", title="Desktop")


def test_a_card_says_how_pixels_become_what_the_input_takes(squares_folder, int8_file, float_file) -> None:
    card = load_card(squares_folder / "model")
    for kind in (None, "uint8", "int8"):
        assert assemble(int8_file, card, "int8", DESKTOP, kind, "")[1] == card
    own = assemble(int8_file, card, "int8", DESKTOP, "float32", "")[1]
    assert own.input_scale == pytest.approx(1 / 127.5)
    zero_point = -own.input_offset / own.input_scale
    assert zero_point == pytest.approx(round(zero_point)), "a pixel becomes a whole step"
    assert assemble(float_file, card, "float32", DESKTOP, None, "")[1] == card


def test_figures_are_those_of_the_variant_and_of_no_other_file() -> None:
    metrics = {"int8": {"map50": 0.5, "size_bytes": 100, "per_class": {"red": 1}}}
    assert choose_figures(metrics, "int8", 100, PATH) == {"map50": 0.5, "size_bytes": 100}
    with pytest.raises(MiradaError, match="metrics.json has no figures of qat: run the evaluate stage again"):
        choose_figures(metrics, "qat", 100, PATH)
    with pytest.raises(MiradaError, match=r"figures of another int8 \(100 bytes, the file has 101\)"):
        choose_figures(metrics, "int8", 101, PATH)
