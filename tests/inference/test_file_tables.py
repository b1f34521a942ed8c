"""What a `.tflite` says of itself, against LiteRT's own view of it."""

from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.inference.file_tables import read_input, read_operators, read_outputs, read_tables


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match=r"absent\.tflite can't be read \(No such file or directory\)"):
        read_tables(tmp_path / "absent.tflite")
    (tmp_path / "note.tflite").write_text("not a model")
    with pytest.raises(MiradaError, match=r"note\.tflite is no \.tflite file"):
        read_tables(tmp_path / "note.tflite")
    (tmp_path / "cut.tflite").write_bytes(b"\xff\xff\xff\x7fTFL3")
    with pytest.raises(MiradaError, match=r"cut\.tflite is a damaged \.tflite file"):
        read_tables(tmp_path / "cut.tflite")


@pytest.mark.slow
def test_outputs_operators_and_input_are_those_that_litert_sees(squares_folder: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path, card = squares_folder / "model" / "int8.tflite", load_card(squares_folder / "model")
    outputs = read_outputs(path, card, ["distances", "objectness", "box"])
    assert [output.name for output in outputs] == ["distances_8", "objectness_8"]
    interpreter = Interpreter(str(path))
    details = interpreter.get_output_details()
    for output, channels in zip(outputs, (4, 1), strict=True):
        seen = details[output.index]
        assert output.shape == tuple(seen["shape"]) and output.shape[-1] == channels
        assert (output.scale, output.zero_point) == seen["quantization"]
        assert output.dtype == np.dtype(seen["dtype"]).name == "int8"
    given = interpreter.get_input_details()[0]
    assert read_input(path) == (tuple(given["shape"]), np.dtype(given["dtype"]))
    assert "CONV_2D" in read_operators(path)
    card.outputs["objectness"] = ["other"]
    with pytest.raises(MiradaError, match="has no output 'other'"):
        read_outputs(path, card, ["objectness"])
