"""What the page tells of a board."""

import json

import pytest

from mirada.boards import tflm
from mirada.boards.asking import wanted_judge
from mirada.errors import MiradaError
from mirada.evaluation.on_board import Shipped, read_found, read_on_board
from mirada.evaluation.runtimes import Runtimes
from mirada.tables import Table
from tests.quantization.foreign.drafts import Draft, convolution, image

BOARD = {
    "device": "chip", "title": "Chip", "arena_bytes": 1264, "flash_bytes": 2000, "milliseconds": None, "lacking": [],
    "answer": "too_much", "sentence": "it does not fit Chip.", "limits": [{"limit": "arena_bytes", "bound": 1000}],
}  # fmt: skip


@pytest.fixture
def variants(tmp_path, monkeypatch):
    monkeypatch.setattr(tflm, "find_spec", lambda name: None)  # the plan of the file alone
    draft = Draft()
    source = image(draft)
    return {"int8": draft.write(tmp_path / "int8.tflite", [source], [convolution(draft, source)])}


def test_what_quantize_found_becomes_figures_a_row_and_a_sentence(tmp_path, variants):
    entries = {"variants": [{"name": "float32"}, {"name": "int8", "board": BOARD}]}
    (tmp_path / "variants.json").write_text(json.dumps(entries))
    found = read_on_board(tmp_path, variants, "int8")
    taken = {"arena_bytes": 1264, "flash_bytes": 2000, "fits_device": 0, "int8_share": 1}
    assert found.figures("int8") == taken and found.figures("float32") == {}
    assert found.table().rows == [["int8", "1,264", "2,000", "–", "all", "no"]]
    assert (found.title, found.verdict) == ("Chip", "int8: it does not fit Chip.")
    assert found.memory.peak_bytes == 64 and found.plots()["memory"].startswith(b"\x89PNG")
    assert found.sentences[0].startswith("The peak is at operator 1 of 1 (CONV_2D): 64 bytes")


def test_without_a_device_memory_is_shown_all_the_same(tmp_path, variants):
    (tmp_path / "variants.json").write_text(json.dumps({"variants": [{"name": "int8"}]}))
    found = read_on_board(tmp_path, variants, "int8")
    assert found.table() is None and found.verdict == found.title == "" and found.memory is not None
    (tmp_path / "variants.json").write_text("{}")
    with pytest.raises(MiradaError, match=r"variants\.json is corrupt .*run the quantize stage again"):
        read_found(tmp_path)


def test_a_wanted_device_is_asked_in_the_place_of_the_one_of_quantize(tmp_path, variants):
    (tmp_path / "variants.json").write_text(json.dumps({"variants": [{"name": "int8", "board": BOARD}]}))
    found = read_on_board(tmp_path, variants, "int8", "raspberry_pi_5")
    size = variants["int8"].stat().st_size
    assert found.figures("int8") == {"flash_bytes": size, "fits_device": 1, "int8_share": 1}
    found.advise({"int8": {"map50": 0.5, "drop": 0, "size_bytes": size}}, "map50", 0.01)
    assert found.advice.variant == "int8" and found.verdict == "", "the advice says it"
    assert found.advice.sentence.startswith(
        "For Raspberry Pi 5: int8, the smallest, the most accurate within a drop of 0.01. It fits Raspberry Pi 5: it has "
        "all operators. Its multiplications are of 8-bit integers, which it multiplies as they are."
    )
    with pytest.raises(MiradaError, match="wanted_device=pi is no file of conf/device: choose one of android_arm64, "):
        read_on_board(tmp_path, variants, "int8", "pi")


def test_the_file_that_leaves_is_judged_in_the_place_of_its_variant(tmp_path, variants):
    (tmp_path / "variants.json").write_text(json.dumps({"variants": [{"name": "int8", "board": BOARD}]}))
    draft = Draft()
    source = image(draft)
    middle = convolution(draft, source)
    other = draft.write(tmp_path / "other.tflite", [source], [middle, convolution(draft, source)])
    variants["float32"] = other
    shipped = tmp_path / "model.tflite"
    shipped.write_bytes(variants["int8"].read_bytes() + bytes(100))
    beside = Runtimes("int8", 0, 0.0, Table([], []))
    leaves = Shipped(shipped, variants["int8"], wanted_judge("raspberry_pi_5"), "input int8", beside)
    found = read_on_board(tmp_path, variants, "int8", shipped=leaves)
    assert found.figures("int8")["flash_bytes"] == shipped.stat().st_size
    assert found.figures("float32")["flash_bytes"] == other.stat().st_size
    assert (found.title, found.note) == ("Raspberry Pi 5", "int8 as in the bundle: input int8.")
