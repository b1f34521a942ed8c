"""MediaPipe, where an environment has it; else what is said about that."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mirada.config import DeviceConfig
from mirada.data.images import decode
from mirada.export.bundle.assembly import assemble
from mirada.export.outside.mediapipe import VARIABLE, ask_mediapipe, why_not
from mirada.inference.card import load_card
from mirada.inference.litert import Model
from tests import singles
from tests.singles import draw_single, write_singles, write_variants
from tests.squares import draw_example

HERE = pytest.mark.skipif(
    not os.environ.get(VARIABLE) and find_spec("mediapipe") is None, reason=f"no MediaPipe: {VARIABLE} names no Python"
)
DESKTOP = DeviceConfig(name="desktop", title="Desktop")


def test_what_is_lacking_is_told(squares_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(squares_folder / "model")
    assert why_not(replace(card, channels=1)) == "MediaPipe takes no grey input."
    monkeypatch.setattr("mirada.export.outside.mediapipe.find_spec", lambda name: None)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    assert why_not(card).startswith("MediaPipe is not set up: `pip install mediapipe` in an environment of its own")


@HERE
def test_its_detector_finds_what_the_engine_finds(squares_folder: Path, int8_file: Path, tmp_path: Path) -> None:
    card = load_card(squares_folder / "model")
    path = tmp_path / "model.tflite"
    path.write_bytes(assemble(int8_file, card, "int8", DESKTOP, None, "", postprocess=True)[0])
    images = [decode(draw_example(number).image) for number in (3, 4, 7)]
    asked, model = ask_mediapipe(path, card, np.stack(images)), Model(int8_file, card)
    assert all(map(asked.agrees, map(model.find, images), asked.find()))


@HERE
@pytest.mark.slow
def test_its_classifier_gives_the_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(singles.CHANNELS, "classification", 3)
    write_variants(tmp_path / "model", write_singles(tmp_path / "data", "classification"))
    card, source = load_card(tmp_path / "model"), tmp_path / "model" / "int8.tflite"
    path = tmp_path / "model.tflite"
    path.write_bytes(assemble(source, card, "int8", DESKTOP, None, "", postprocess=True)[0])
    images = [decode(draw_single("classification", number).image, card.channels) for number in range(3)]
    asked, model = ask_mediapipe(path, card, np.stack(images)), Model(source, card)
    assert all(map(asked.agrees, map(model.find, images), asked.find()))
