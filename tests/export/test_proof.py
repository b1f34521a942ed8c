"""The table of runtimes, and what it refuses."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.export.comparing import Answering
from mirada.export.proof import DECODERS, Proof, Row, beyond_bounds, check_proof, proof_table, prove, write_proof
from mirada.export.runtimes import ARM64, REFERENCE, RUNTIMES, Runtime
from mirada.inference.card import Card
from mirada.inference.litert import Model

FIRST = Row("litert_reference", "LiteRT, reference kernels", "", 10, 10, 10, 40, figure=0.58)
XNNPACK = Row("litert_xnnpack", "LiteRT with XNNPACK", "", 10, 0, 1, 40, 3, 8.0, "objectness_8", 0.36, 16, 0.579)
DECODER = Row("c_decoder", "C decoder", "", 10, 10, 10, 40, figure=0.58)
ABSENT = Row("tflm", "TensorFlow Lite Micro", "It is not installed.")
MODEL = Path("model.tflite")


def to_tensors(path: Path, card: Card, images: np.ndarray) -> np.ndarray:
    """(N, S, S, C) pixels as the file takes them."""
    model = Model(path, card)
    return np.concatenate([model.to_tensor(image) for image in images])


def test_the_table_has_a_line_for_each_runtime_and_a_sentence_for_each_that_is_absent(tmp_path: Path) -> None:
    proof = Proof("mAP50", [FIRST, XNNPACK, DECODER, ABSENT])
    lines = proof_table(proof).splitlines()
    assert (
        lines[3] == "| LiteRT with XNNPACK | 10 | 0 of 10 | 1 of 10 | 3 of 40 | 8 steps | 36.00 % | 16 steps | 0.5790 |"
    )
    assert lines[4] == "| C decoder | 10 | its input | 10 of 10 | 0 of 40 | – | – | no object differs | 0.5800 |"
    told = replace(ABSENT, name="mediapipe", title="MediaPipe", absent="", images=10, equal_objects=10, objects=40)
    told = replace(told, different=4, allowed="2 pixels, 0.001 of score", figure=0.57)
    line = proof_table(Proof("mAP50", [FIRST, told])).splitlines()[3]
    assert line == "| MediaPipe | 10 | – | 10 of 10 | 4 of 40 | – | – | 2 pixels, 0.001 of score | 0.5700 |"
    assert lines[-1] == "- TensorFlow Lite Micro: not tried. It is not installed."
    assert [file.name for file in write_proof(proof, tmp_path)] == ["proof.json", "proof.md"]
    assert json.loads((tmp_path / "proof.json").read_text())["rows"][1]["max_steps"] == 8
    assert "mAP50" not in proof_table(Proof("mAP50", [replace(FIRST, figure=None)]))


@pytest.mark.parametrize(
    "row, message",
    [
        (
            replace(XNNPACK, max_steps=17.0),
            "objectness_8 differs by 17 steps from the reference kernels, at most 16 are",
        ),
        (replace(DECODER, different=1), "C decoder of model.tflite finds 1 objects otherwise than the engine"),
        (replace(XNNPACK, figure=0.577), "mAP50 0.5770 in LiteRT with XNNPACK and 0.5800 by the reference kernels"),
    ],
)
def test_answers_beyond_the_bound_are_refused(row: Row, message: str) -> None:
    with pytest.raises(MiradaError, match=message):
        check_proof(Proof("mAP50", [FIRST, row]), MODEL, 0.002)


def test_answers_within_the_bound_pass() -> None:
    check_proof(Proof("mAP50", [FIRST, XNNPACK, DECODER, replace(ABSENT, max_steps=99.0)]), MODEL, 0.002)
    check_proof(Proof("mAP50", [FIRST, replace(XNNPACK, figure=0.1)]), MODEL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detection", "localization", "classification"])
def test_a_real_file_is_shown_to_all_runtimes(kind: str, squares_folder: Path, tmp_path: Path) -> None:
    from mirada.data.images import decode
    from mirada.inference.card import load_card
    from tests import singles
    from tests.squares import draw_example

    folder = squares_folder / "model"
    examples = [draw_example(number) for number in range(6)]
    if kind != "detection":
        folder = tmp_path / "model"
        singles.write_variants(folder, singles.write_singles(tmp_path / "data", kind))
        examples = [singles.draw_single(kind, number) for number in range(6)]
    card, path = load_card(folder), folder / "int8.tflite"
    images = np.stack([decode(example.image, card.channels) for example in examples])
    rows = {row.name: row for row in prove(path, card, to_tensors(path, card, images), examples).rows}
    assert set(rows) == {runtime.name for runtime in RUNTIMES} | set(DECODERS)
    for name in ("tflm", "litert_arm64", "litert_reference"):
        assert rows[name].absent or (rows[name].equal_tensors, rows[name].equal_objects) == (6, 6)
    assert bool(rows["tflm"].absent) == (find_spec("tflite_micro") is None)
    assert all(rows[name].absent or rows[name].different == 0 for name in DECODERS)
    assert rows["litert_xnnpack"].max_steps <= 16
    assert rows["litert_reference"].figure is not None

    def shifted(path: Path, images: np.ndarray) -> list[np.ndarray]:
        return [np.where(values < 127, values + 1, values) for values in REFERENCE.run(path, images)]

    with pytest.raises(MiradaError, match="answers otherwise in A board: .* differs by 1 steps"):
        prove(path, card, images, runtimes=[Runtime("board", "A board", 0, shifted)])
    if kind != "detection":
        return  # one step more on every code changes no softmax
    board = prove(path, card, images, runtimes=[Runtime("board", "A board", 0, shifted)], lenient=True, decoders=())
    assert beyond_bounds(board, path)[0].endswith("do not ship it for that runtime.")
    odd = Answering("odd", "An odd one", REFERENCE.name, 1, 1e-3, lambda: board.found["board"])
    with pytest.raises(MiradaError, match="finds other objects in An odd one than the engine does, in . of 6 images"):
        prove(path, card, images, runtimes=[], decoders=(), answering=[odd])


@pytest.mark.slow
def test_floats_are_compared_too(squares_folder: Path) -> None:
    from mirada.data.images import decode
    from mirada.inference.card import load_card
    from tests.squares import draw_example

    card = load_card(squares_folder / "model")
    images = np.stack([decode(draw_example(number).image) for number in range(3)])
    path = squares_folder / "model" / "float32.tflite"
    rows = {row.name: row for row in prove(path, card, to_tensors(path, card, images)).rows}
    assert rows["litert_xnnpack"].max_steps < 0.01
    assert "int8" in rows["c_decoder"].absent


def test_an_emulator_that_is_not_set_up_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MIRADA_ARM64", raising=False)
    assert ARM64.why_not() == (
        "An emulated arm64 is not set up: fill a folder with `.ci/arm64 FOLDER` and name it in MIRADA_ARM64."
    )
    monkeypatch.setenv("MIRADA_ARM64", str(tmp_path))
    assert "lacks qemu-aarch64-static" in ARM64.why_not()
    with pytest.raises(MiradaError, match="lacks qemu-aarch64-static"):
        ARM64.run(MODEL, np.zeros(1))
