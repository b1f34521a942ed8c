"""ONNX, held against LiteRT."""

from pathlib import Path

import numpy as np
import pytest

from mirada.data.images import decode
from mirada.export.outside import onnx_file
from mirada.export.proof import prove
from mirada.inference.card import load_card
from mirada.inference.file_tables import read_outputs
from tests.squares import draw_example


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "tf2onnx" else name)
    assert onnx_file.why_not() == "ONNX needs tf2onnx: `pip install 'mirada[device]'`."


@pytest.mark.slow
def test_int8_becomes_its_own_scales_and_answers_within_the_bound(
    squares_folder: Path, int8_file: Path, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    content, card = onnx_file.convert_to_onnx(int8_file), load_card(squares_folder / "model")
    graph = onnx.load_from_string(content).graph
    assert [value.name for value in graph.input] == ["image"]
    parts = list(card.outputs)
    names = {output.index: output for output in read_outputs(int8_file, card, parts)}
    assert [value.name for value in graph.output] == [names[i].name for i in sorted(names)]
    kinds = [node.op_type for node in graph.node]
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(kinds)
    constants = [onnx.numpy_helper.to_array(one).ravel() for one in graph.initializer]
    held = {float(value) for values in constants if values.dtype == np.float32 for value in values}
    assert all(any(output.scale == pytest.approx(value) for value in held) for output in names.values())
    (tmp_path / "model.onnx").write_bytes(content)
    images = np.stack([decode(draw_example(number).image) for number in range(4)])
    runtime = onnx_file.onnx_runtime(tmp_path / "model.onnx")
    row = prove(int8_file, card, images, runtimes=(runtime,), decoders=()).rows[-1]
    assert (row.name, row.different, row.absent) == ("onnxruntime", 0, "")
    assert row.max_steps <= 2
