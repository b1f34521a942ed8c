"""Files that are no `.tflite`, or were one: one sentence each, never a traceback."""

import random
from pathlib import Path

import numpy as np
import pytest

from mirada.errors import MiradaError
from mirada.quantization.foreign import reading
from mirada.quantization.foreign.reading import read_network
from mirada.quantization.foreign.report import as_json, check, page
from tests.quantization.foreign.drafts import Draft, convolution, image


def content_of_two() -> bytes:
    draft = Draft()
    source = image(draft)
    return draft.content([source], [convolution(draft, convolution(draft, source, "one"), "two")])


def refusal(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MiradaError) as error:
        read_network(path)
    sentence = str(error.value)
    assert sentence.startswith(f"path={path}") and sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_tensors_and_operators_are_as_they_were_drawn(tmp_path):
    (tmp_path / "a.tflite").write_bytes(content_of_two())
    network = read_network(tmp_path / "a.tflite")
    graph = network.main
    assert [(step.kind, step.inputs, step.outputs) for step in graph.steps] == [
        ("CONV_2D", (0, 1, 2), (3,)),
        ("CONV_2D", (3, 4, 5), (6,)),
    ]
    kernel = graph.tensors[1]
    assert (kernel.name, kernel.dtype, kernel.shape, kernel.axis) == ("one/kernel", "INT8", (2, 1, 1, 2), 0)
    assert kernel.scales == pytest.approx([0.01, 0.01]) and kernel.zero_points.tolist() == [0, 0]
    assert np.array_equal(kernel.values(), np.full((2, 1, 1, 2), 100)) and not graph.tensors[3].is_constant
    assert (graph.inputs, graph.outputs) == ([0], [6]) and graph.stored == {1, 2, 4, 5}
    assert (network.signatures, network.metadata, network.size_bytes) == ([], None, len(content_of_two()))


def test_what_is_no_tflite_is_told_by_what_it_is(tmp_path):
    path = tmp_path / "a.tflite"
    assert refusal(path) == f"path={path}: there is no such file; give a .tflite."
    assert "is empty (0 bytes)" in refusal(path, b"")
    assert "is a folder" in refusal(tmp_path)
    assert "is a zip archive" in refusal(path, b"PK\x03\x04" + bytes(60))
    assert "is an HDF5 file" in refusal(path, b"\x89HDF\r\n\x1a\n" + bytes(60))
    assert "Git LFS pointer" in refusal(path, b"version https://git-lfs.github.com/spec/v1\n")
    assert "page of the web" in refusal(path, b"<!doctype html><title>Not found</title>")
    assert "lacks the mark TFL3" in refusal(path, b"\x1c\x00\x00\x00ONNX" + bytes(60))
    assert "lacks the mark TFL3" in refusal(path, b"\x00")


def test_another_version_of_the_schema_is_refused(tmp_path):
    path, content = tmp_path / "a.tflite", content_of_two()
    assert "has version 2 of the schema, expected 3" in refusal(path, content[:4] + b"TFL2" + content[8:])
    draft = Draft()
    draft.model.version = 4
    source = image(draft)
    assert "has version 4 of the schema" in refusal(path, draft.content([source], [convolution(draft, source)]))


def test_a_file_too_big_for_a_flatbuffer_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "a.tflite"
    path.write_bytes(content_of_two())
    with path.open("r+b") as file:
        file.truncate(2**31 + 1)  # a hole: takes no room
    assert "has 2.0 GiB" in refusal(path)
    monkeypatch.setattr(reading, "MOST_BYTES", 2**31 + 1)
    assert len(read_network(path).main.steps) == 2


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path):
    path, content = tmp_path / "a.tflite", content_of_two()
    whole = []
    for length in range(8, len(content)):
        path.write_bytes(content[:length])
        try:
            read_network(path)
            whole.append(length)
        except MiradaError as error:
            assert "cut short or damaged" in str(error)
    assert not [length for length in whole if length < len(content) - 64], "what may lack is padding at the end"


def test_an_operator_that_names_what_is_not_there_is_refused(tmp_path):
    draft = Draft()
    source = image(draft)
    target = convolution(draft, source)
    draft.graph.operators[0].inputs = [source, 99, 2]
    assert "an operator names tensor 99 of 4" in refusal(tmp_path / "a.tflite", draft.content([source], [target]))
    draft.graph.operators[0].inputs, draft.graph.tensors[1].buffer = [source, 1, 2], 77
    assert "buffer 77 is not in it" in refusal(tmp_path / "a.tflite", draft.content([source], [target]))


def test_damage_anywhere_is_a_sentence_or_a_page(tmp_path):
    """Whatever bytes are wrong: the file is refused in one sentence, or judged as it then stands."""
    path, content, rng = tmp_path / "a.tflite", content_of_two(), random.Random(0)
    judged = 0
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 3, 20))):
            damaged[rng.randrange(8, len(damaged))] = rng.choice((0, 255, rng.randrange(256)))
        path.write_bytes(damaged)
        try:
            checked = check(read_network(path), [])
        except MiradaError as error:
            assert "\n" not in str(error)
            continue
        judged += 1
        as_json(checked)
        if judged % 50 == 0:
            page(checked)
    assert judged > 50
