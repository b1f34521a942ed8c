"""The parts that a bundle gets from the runtimes."""

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mirada.boards import tflm
from mirada.config import BoardLimitsConfig
from mirada.errors import MiradaError
from mirada.export.parts import write_c_part, write_memory_part, write_proof_part, write_vela_part
from mirada.inference.card import load_card

pytestmark = pytest.mark.slow
CORE = SimpleNamespace(
    accelerator="ethos-u55-128", system_config="Ethos_U55_High_End_Embedded", memory_mode="Shared_Sram"
)


@pytest.fixture
def bundle(squares_folder: Path, tmp_path: Path) -> Any:
    from mirada.data.images import decode
    from tests.squares import draw_example

    (tmp_path / "model.tflite").write_bytes((squares_folder / "model" / "int8.tflite").read_bytes())
    golden = [SimpleNamespace(tensors={"input": decode(draw_example(number).image)}) for number in range(3)]
    device = SimpleNamespace(title="A board", runtime="tflm", ram_bytes=None, vela=None, limits=BoardLimitsConfig())
    golden.append(SimpleNamespace(tensors={}))
    return SimpleNamespace(card=load_card(squares_folder / "model"), device=device, golden=golden, notes=[])


def test_the_proof_is_of_the_golden_pictures(bundle: Any, tmp_path: Path) -> None:
    files = write_proof_part(bundle, tmp_path)
    assert [file.name for file in files] == ["proof.json", "proof.md"]
    assert {row["images"] for row in json.loads(files[0].read_text())["rows"] if not row["absent"]} == {3}
    bundle.golden = []
    assert write_proof_part(bundle, tmp_path) == []


def test_a_microcontroller_gets_c_and_its_arena(bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [file.name for file in write_c_part(bundle, tmp_path)]
    assert {"mirada_model.c", "mirada_operators.h", "mirada_detection.c"} <= set(names)
    if find_spec("tflite_micro") is not None:
        arena = json.loads((tmp_path / "c" / "arena.json").read_text())
        assert arena["with_room"] >= 1.1 * arena["total"] - 1
        bundle.device.ram_bytes = arena["total"] - 1
        with pytest.raises(MiradaError, match=r"needs an arena of [\d,]+ bytes, and A board has [\d,]+ of RAM"):
            write_c_part(bundle, tmp_path)
    monkeypatch.setattr(tflm, "find_spec", lambda name: None)
    bundle.notes.clear()
    assert "arena.json" not in [file.name for file in write_c_part(bundle, tmp_path)]
    assert bundle.notes[0].startswith("The arena was not measured. TensorFlow Lite Micro is not installed")


def test_a_chip_gets_the_picture_of_its_memory(bundle: Any, tmp_path: Path) -> None:
    picture, table = write_memory_part(bundle, tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = table.read_text().splitlines()
    assert lines[0] == "tensor,bytes,first_operator,last_operator" and len(lines) > 5  # an operator makes one at least
    assert bundle.notes[0].startswith("The peak is at operator 1 of 5 (")


def test_other_devices_get_none_of_it(bundle: Any, tmp_path: Path) -> None:
    bundle.device.runtime = "litert"
    assert write_c_part(bundle, tmp_path) == write_vela_part(bundle, tmp_path) == []
    assert write_memory_part(bundle, tmp_path) == [] and bundle.notes == []
    assert [file.name for file in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed")
def test_an_npu_gets_its_compiled_file(bundle: Any, tmp_path: Path) -> None:
    bundle.device.runtime, bundle.device.vela = "vela", CORE
    files = write_vela_part(bundle, tmp_path)
    assert (tmp_path / "npu" / "model_vela.tflite") in files
    assert bundle.notes[0].startswith("4 of 5 operators run on the NPU; Vela estimates ")
    bundle.device.ram_bytes = 100
    with pytest.raises(MiradaError, match=r"bytes of SRAM on A board, and it has 100"):
        write_vela_part(bundle, tmp_path)


def test_pixels_become_what_each_file_takes(squares_folder: Path) -> None:
    from mirada.export.proof import to_input

    card = load_card(squares_folder / "model")
    pixels = np.arange(card.input_size**2 * 3).reshape(1, card.input_size, card.input_size, 3).astype(np.uint8)
    assert to_input(squares_folder / "model" / "int8.tflite", card, pixels) is pixels
    floats = to_input(squares_folder / "model" / "float32.tflite", card, pixels)
    assert (floats.dtype, floats.min(), floats.max()) == (np.float32, -1, 1)
