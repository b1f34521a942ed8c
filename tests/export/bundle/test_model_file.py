import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mirada.data.images import decode
from mirada.errors import MiradaError
from mirada.export.bundle import model_file
from mirada.inference.card import Card, load_card
from mirada.inference.litert import Model
from mirada.inference.tflite_file import list_operators, read_tables, to_bytes
from tests.squares import draw_example


@pytest.fixture
def card(squares_folder) -> Card:
    return load_card(squares_folder / "model")


def changed(path: Path, kind: str, out: Path) -> Path:
    tables = read_tables(path.read_bytes())
    model_file.set_ends(tables, kind, path.stem)
    out.write_bytes(to_bytes(tables))
    return out


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "int8", "float32"])
def test_ends_of_another_type_change_no_number(int8_file, card, tmp_path, kind, reference) -> None:
    tables = read_tables(int8_file.read_bytes())
    steps = model_file.input_steps(tables)
    assert steps is not None
    own = replace(card, input_scale=steps[0], input_offset=-steps[1] * steps[0])
    before = Model(int8_file, card, reference=reference)
    after = Model(changed(int8_file, kind, tmp_path / "a.tflite"), own, reference=reference)
    for number in range(12):
        image = decode(draw_example(number).image)
        wanted, found = before.predict(image), after.predict(image)
        assert after.to_tensor(image).dtype.name == kind
        assert {tensor.dtype.name for tensor in after.read_tensors().values()} == {kind}
        assert all(np.array_equal(found[name], wanted[name]) for name in card.outputs["classes"] + ["objectness_8"])


def test_types_can_be_changed_again_until_the_input_is_bare_integers(int8_file, card, tmp_path) -> None:
    path, image = int8_file, decode(draw_example(3).image)
    wanted = Model(int8_file, card).predict(image)
    for number, kind in enumerate(("float32", "uint8", "float32", "uint8", "int8")):
        path = changed(path, kind, tmp_path / f"{number}.tflite")
    found = Model(path, card).predict(image)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    for kind in ("float32", "uint8"):
        with pytest.raises(MiradaError, match=rf"io={kind} is for variants that .* \(its input is int8 all the way"):
            changed(path, kind, tmp_path / "x.tflite")


def test_what_nothing_names_any_more_is_taken_out(int8_file) -> None:
    tables = read_tables(int8_file.read_bytes())
    count = len(tables.subgraphs[0].tensors)
    assert "QUANTIZE" in list_operators(tables)
    model_file.set_ends(tables, "int8", "int8")
    assert len(tables.subgraphs[0].tensors) == count - 1
    assert "QUANTIZE" not in list_operators(tables)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tables.operatorCodes]
    assert schema.BuiltinOperator.QUANTIZE not in codes


def test_a_float_network_has_no_integers_to_show(float_file) -> None:
    for kind in ("uint8", "int8"):
        with pytest.raises(
            MiradaError, match=rf"io={kind} is for variants .* float32 is not \(its input is float32 all"
        ):
            model_file.set_ends(read_tables(float_file.read_bytes()), kind, "float32")
    tables = read_tables(float_file.read_bytes())
    model_file.set_ends(tables, "float32", "float32")
    assert model_file.types_of_ends(tables) == ("float32", ["float32"] * 3)


def test_weights_lie_where_a_microcontroller_can_read_them_in_place(int8_file) -> None:
    content = to_bytes(read_tables(int8_file.read_bytes()))
    model = schema.Model.GetRootAs(content, 0)
    places = [
        model.Buffers(i)._tab.Vector(model.Buffers(i)._tab.Offset(4))
        for i in range(model.BuffersLength())
        if model.Buffers(i).DataLength()
    ]
    assert len(places) > 3
    assert [place % 16 for place in places] == [0] * len(places)


def test_attached_files_are_found_in_the_zip_and_the_metadata_by_its_name(int8_file, card, tmp_path) -> None:
    tables = read_tables(int8_file.read_bytes())
    content = model_file.attach(tables, b"what it is", {"labels.txt": b"red\nblue\n"})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt") == b"red\nblue\n"
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("labels.txt").date_time == (1980, 1, 1, 0, 0, 0), "the day of the export is not in it"
    again = read_tables(content)
    (entry,) = [entry for entry in again.metadata if entry.name == model_file.METADATA_NAME]
    assert bytes(again.buffers[entry.buffer].data) == b"what it is"
    (tmp_path / "a.tflite").write_bytes(content)
    image = decode(draw_example(3).image)
    wanted, found = Model(int8_file, card).predict(image), Model(tmp_path / "a.tflite", card).predict(image)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_metadata_of_before_goes_and_equal_input_gives_equal_bytes(int8_file) -> None:
    def attach(content: bytes, text: bytes) -> bytes:
        return model_file.attach(read_tables(content), text, {"a": b"b"})

    content = attach(int8_file.read_bytes(), b"first")
    assert content == attach(int8_file.read_bytes(), b"first")
    entries = read_tables(attach(content, b"second")).metadata
    assert [entry.name for entry in entries].count(model_file.METADATA_NAME) == 1


def test_outputs_are_named_as_the_signature_names_them(int8_file) -> None:
    names = model_file.output_names(read_tables(int8_file.read_bytes()))
    assert sorted(names) == ["classes_8", "distances_8", "objectness_8"]
