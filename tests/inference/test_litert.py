import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirada.data.images import decode
from mirada.errors import MiradaError
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model, float_operators, peak_memory_mb
from mirada.inference.prediction import decode_detections
from mirada.quiet import quiet_libraries
from tests.squares import draw_example


@pytest.fixture
def folder(squares_folder) -> Path:
    return squares_folder / "model"


@pytest.fixture
def card(folder) -> Card:
    return load_card(folder)


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_outputs_carry_their_names_and_values(folder, card, variant):
    example = draw_example(2)
    outputs = Model(folder / f"{variant}.tflite", card).predict(decode(example.image))
    assert {name: value.shape for name, value in outputs.items()} == {
        "objectness_8": (1, 8, 8, 1),
        "classes_8": (1, 8, 8, 2),
        "distances_8": (1, 8, 8, 4),
    }
    assert all(value.dtype == np.float32 for value in outputs.values())
    x1, y1 = example.boxes_xyxy[0, :2]
    row, column = int(y1 + 8) // 8, int(x1 + 8) // 8
    # the window is full of (250, 10, 10): 24 * (250 + 10) / 255 - 20
    assert outputs["objectness_8"][0, row, column, 0] == pytest.approx(24 * 260 / 255 - 20, abs=0.3)
    np.testing.assert_allclose(np.sort(outputs["classes_8"][0, row, column]), [8 * 10 / 255, 8 * 250 / 255], atol=0.1)
    np.testing.assert_allclose(outputs["distances_8"], np.log(np.expm1(1.5)), atol=0.03)


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_the_squares_are_found(folder, card, variant):
    example = draw_example(3)
    model = Model(folder / f"{variant}.tflite", card, num_threads=2)
    found = decode_detections(model.predict(decode(example.image)), card).at_least(0.9)
    order = [int(np.abs(found.boxes_xyxy - box).sum(axis=1).argmin()) for box in example.boxes_xyxy]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found.boxes_xyxy[order], example.boxes_xyxy, atol=0.5)
    assert found.labels[order].tolist() == example.labels.tolist()


def test_only_a_full_integer_model_has_no_float_operators(folder):
    assert float_operators(folder / "int8.tflite") == []
    assert any(text.startswith("CONV_2D (") for text in float_operators(folder / "float32.tflite"))


def test_timing_and_memory_are_plausible(folder, card):
    model = Model(folder / "float32.tflite", card)
    model.set_image(decode(draw_example(1).image))
    latencies = model.time_inference(5, warmup=1)
    assert latencies.shape == (5,)
    assert (latencies > 0).all() and (latencies < 1000).all()
    assert model.load_ms > 0


def test_memory_is_that_of_a_process_of_its_own(folder):
    ballast = np.ones(40_000_000)  # 305 MiB in this process, which the fresh one must not inherit
    peak, before = peak_memory_mb(folder / "float32.tflite")
    assert ballast[0] == 1
    assert 5 < before <= peak < 250


def test_loading_prints_nothing(folder, card, capfd):
    Model(folder / "float32.tflite", card)
    assert capfd.readouterr() == ("", "")


def test_silence_of_several_threads_ends_with_the_last(capfd):
    first, second = quiet_libraries(), quiet_libraries()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"not heard")
    second.__exit__(None, None, None)
    os.write(2, b"heard")
    assert capfd.readouterr() == ("", "heard")


def test_a_missing_file_names_the_command(tmp_path, card):
    with pytest.raises(MiradaError, match=r"int8\.tflite is missing: run the quantize stage first"):
        Model(tmp_path / "int8.tflite", card)


def test_a_damaged_file_is_named(folder, tmp_path, card):
    whole = (folder / "float32.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:100])
    with pytest.raises(MiradaError, match=r"cut\.tflite is no usable \.tflite file"):
        Model(tmp_path / "cut.tflite", card)


def test_a_card_of_another_model_is_refused(folder, card):
    with pytest.raises(MiradaError, match=r"takes \(1, 64, 64, 3\), the card says \(1, 96, 96, 3\)"):
        Model(folder / "float32.tflite", replace(card, input_size=96))
    with pytest.raises(MiradaError, match="has no output 'scores'"):
        Model(folder / "float32.tflite", replace(card, outputs={**card.outputs, "objectness": ["scores"]}))
