"""A model compiled for an Ethos-U, by the real Vela where it is installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mirada.boards import vela
from mirada.boards.vela import Compiled, Layer, compile_for_npu, plot_layers, write_compiled
from mirada.errors import MiradaError

ETHOS_U55 = ("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
needs_vela = pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed")
LAYERS = [Layer(f"net/conv_{i}/Conv2D", "Conv2D", "NPU" if i else "CPU", 1000 * i, 10 * i, 0.5, 256) for i in range(30)]
COMPILED = Compiled(b"model", *ETHOS_U55, 500.0, 29, 1, 700.5, 0.0, 35.25, 0.87, 4350, LAYERS)


def test_what_is_written_is_complete(tmp_path: Path) -> None:
    files = write_compiled(COMPILED, tmp_path / "npu")
    assert [file.name for file in files] == ["model_vela.tflite", "vela.json", "vela_layers.csv", "vela_layers.png"]
    assert files[0].read_bytes() == b"model"
    figures = json.loads(files[1].read_text())
    assert (figures["npu_operators"], figures["sram_kib"], figures["npu_share"]) == (29, 700.5, pytest.approx(29 / 30))
    assert "content" not in figures and "layers" not in figures
    rows = files[2].read_text().splitlines()
    assert len(rows) == 31
    assert rows[-1] == "net/conv_29/Conv2D,Conv2D,NPU,29000,0.0580,290,0.5000,256"
    again = write_compiled(COMPILED, tmp_path / "again")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_the_plot_is_a_picture_also_without_layers_that_take_time() -> None:
    assert plot_layers(COMPILED, dark=True).startswith(b"\x89PNG")
    assert plot_layers(Compiled(b"", *ETHOS_U55, 500.0, 0, 0, 0, 0, 0, 0.0, 0, [])).startswith(b"\x89PNG")


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vela, "find_spec", lambda name: None)
    with pytest.raises(MiradaError, match=r"Vela is not installed: `pip install 'mirada\[device\]'`"):
        compile_for_npu(tmp_path / "model.tflite", *ETHOS_U55)


@needs_vela
def test_what_vela_does_not_know_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match=r"absent\.tflite is missing"):
        compile_for_npu(tmp_path / "absent.tflite", *ETHOS_U55)
    (tmp_path / "model.tflite").write_text("{}")
    with pytest.raises(MiradaError, match=r"Vela can't compile .*model\.tflite for ethos-u55-128: ") as refused:
        compile_for_npu(tmp_path / "model.tflite", *ETHOS_U55)
    assert "\n" not in str(refused.value)
    with pytest.raises(MiradaError, match="Section System_Config.nowhere not found"):
        compile_for_npu(tmp_path / "model.tflite", "ethos-u55-128", "nowhere", "Shared_Sram")


@needs_vela
@pytest.mark.slow
def test_what_the_npu_can_do_runs_there_and_the_rest_is_told(squares_folder: Path) -> None:
    from mirada.inference.file_tables import read_operators

    path = squares_folder / "model" / "int8.tflite"
    compiled = compile_for_npu(path, *ETHOS_U55)
    assert len(read_operators(path)) == 5
    assert (compiled.npu_operators, compiled.cpu_operators) == (4, 1)  # a convolution of stride 8 is too wide for it
    assert [layer.kind for layer in compiled.layers if layer.target == "CPU"] == ["Conv2D"]
    assert compiled.content[4:8] == b"TFL3"
    assert compiled.content == compile_for_npu(path, *ETHOS_U55).content
    assert 0 < compiled.ms < 10 and 0 < compiled.sram_kib < 1000
    assert 0 < sum(layer.cycles for layer in compiled.layers) <= compiled.ms * 500_000 * 1.05
    floats = compile_for_npu(squares_folder / "model" / "float32.tflite", *ETHOS_U55)
    assert floats.npu_share < 0.5  # no float convolution runs there
