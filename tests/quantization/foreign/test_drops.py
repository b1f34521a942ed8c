"""Error by layer of foreign files: images, normalisation, twins that are none."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from mirada.data.records import load_dataset
from mirada.errors import MiradaError
from mirada.inference.card import load_card
from mirada.quantization.evidence import SATURATED, layer_evidence
from mirada.quantization.foreign.drops import drop_findings, layer_drops, normalisation_of, picture_shape, read_images
from mirada.quantization.foreign.reading import read_network
from mirada.quantization.operators import Opened
from tests.quantization.foreign.drafts import CONV, Draft
from tests.quantization.foreign.test_metadata import write_metadata


def brightness(path, *, end: float = 1.0, zero: int = -128, scale: float = 1 / 255, blob: bytes = b""):
    """A 1x1 convolution that gives back the brightness 0..1, in int8 with an output range 0..end, and its float twin."""
    files = []
    for name, quantized in (("int8", True), ("float", False)):
        draft, dtype = Draft(), "INT8" if quantized else "FLOAT32"
        source = draft.tensor("image", (1, 4, 4, 1), dtype, scale=scale, zero=zero)
        weight = np.full((1, 1, 1, 1), 100, np.int8) if quantized else np.ones((1, 1, 1, 1), np.float32)
        kernel = draft.tensor("kernel", (1, 1, 1, 1), scale=[0.01], data=weight)
        bias = np.zeros(1, np.int32 if quantized else np.float32)
        shift = draft.tensor("bias", (1,), scale=[scale * 0.01], data=bias)
        target = draft.tensor("shine", (1, 4, 4, 1), dtype, scale=end / 255, zero=-128)
        draft.step("CONV_2D", [source, kernel, shift], [target], **CONV)
        if blob:
            draft.note("TFLITE_METADATA", blob)
        files.append(read_network(draft.write(path / f"{name}.tflite", [source], [target])))
    return files


WHITE = np.full((4, 4, 1), 255, np.uint8)


def test_a_range_that_cuts_off_is_found_in_a_file_that_takes_int8(tmp_path):
    network, twin = brightness(tmp_path, end=0.5)
    (row,) = layer_drops(network, twin, [WHITE], 0.0, 255.0)
    assert (row.op, row.why, row.saturation) == ("CONV_2D", SATURATED, 1.0)
    assert row.hurt == pytest.approx(0.5, abs=0.01)  # 1.0 became 0.5
    first, last = drop_findings([row])
    assert first.code == "layer_error" and first.what == "shine (CONV_2D) adds 50.0% error"
    assert last.code == "output_error" and last.severity == "warning"  # 20 log10(1 / 0.5) = 6 dB


def test_a_range_that_fits_is_harmless(tmp_path):
    network, twin = brightness(tmp_path)
    (row,) = layer_drops(network, twin, [np.arange(0, 256, 16, np.uint8).reshape(4, 4, 1)], 0.0, 255.0)
    assert row.why == "harmless" and row.sqnr_db > 45
    assert [(f.code, f.severity) for f in drop_findings([row])] == [("output_error", "note")]


def test_a_file_of_ours_is_judged_as_by_its_card_also_without_a_signature(squares_folder, tmp_path):
    model = squares_folder / "model"
    card, content = load_card(model), (model / "int8.tflite").read_bytes()
    dataset = load_dataset(squares_folder / "data")
    images = read_images(str(dataset.folder), (64, 64, 3), 3)
    wanted = layer_evidence("int8.tflite", content, Opened((model / "float32.tflite").read_bytes()), images, card)
    bare = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    bare.signatureDefs = []
    (tmp_path / "int8.tflite").write_bytes(_packed(bare))
    twin = read_network(model / "float32.tflite")
    for path in (model / "int8.tflite", tmp_path / "int8.tflite"):
        network = read_network(path)
        mean, std, _ = normalisation_of([network, twin], None, None)
        assert (1 / std, -mean / std) == pytest.approx((card.input_scale, card.input_offset))
        found = {row.tensor: row.hurt for row in layer_drops(network, twin, images, mean, std)}
        assert len(found) > 3 and found == {row.tensor: row.hurt for row in wanted}


def _packed(model) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_normalisation_is_what_is_said_or_told_or_the_grid(tmp_path):
    files = brightness(tmp_path)
    assert normalisation_of(files, 10.0, 20.0)[:2] == (10.0, 20.0)
    assert normalisation_of(files, None, None)[:2] == (0.0, 255.0)
    assert normalisation_of(brightness(tmp_path, scale=1 / 127.5, zero=-1), None, None)[:2] == (127.5, 127.5)
    odd = normalisation_of(brightness(tmp_path, scale=0.5, zero=-28), None, None)  # pixel 100 is 0, a step is 0.5
    assert odd[:2] == (100.0, pytest.approx(2.0))
    told = brightness(tmp_path, blob=write_metadata("a", [1.0], 3.0))
    assert normalisation_of(told, None, None) == (1.0, 3.0, "as its metadata say")
    uneven = brightness(tmp_path, blob=write_metadata("a", [1.0, 2.0, 3.0], 3.0))
    with pytest.raises(MiradaError, match="normalises each channel by its own mean .* set mean= and std="):
        normalisation_of(uneven, None, None)
    with pytest.raises(MiradaError, match="nothing says how pixels become the input: set mean= and std="):
        normalisation_of([files[1], files[1]], None, None)


def test_pictures_are_stretched_to_the_input_in_its_colours(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("L", (7, 9), 100).save(tmp_path / "deep" / "b.png")
    (tmp_path / "notes.txt").write_text("no picture")
    red, grey = read_images(str(tmp_path), (6, 8, 3), 5)
    assert red.shape == (6, 8, 3) and (red == (255, 0, 0)).all() and (grey == 100).all()
    assert (read_images(str(tmp_path), (6, 8, 1), 5)[0] == 76).all()  # 0.299 x 255
    assert len(read_images(str(tmp_path), (6, 8, 3), 1)) == 1


def test_images_that_are_not_there_are_told(tmp_path):
    with pytest.raises(MiradaError, match="data_dir=.*none: there is no such folder"):
        read_images(str(tmp_path / "none"), (6, 8, 3), 5)
    with pytest.raises(MiradaError, match="holds no pictures"):
        read_images(str(tmp_path), (6, 8, 3), 5)


def test_a_twin_that_is_none_is_refused(tmp_path, squares_folder):
    network, twin = brightness(tmp_path)
    with pytest.raises(MiradaError, match=r"path=.*float.tflite computes in float32, only int8 is measured"):
        layer_drops(twin, twin, [WHITE], 0.0, 255.0)
    with pytest.raises(MiradaError, match=r"twin=.*int8.tflite is quantized itself: give the float file"):
        layer_drops(network, network, [WHITE], 0.0, 255.0)
    other = read_network(squares_folder / "model" / "float32.tflite")
    with pytest.raises(MiradaError, match="takes images of another size"):
        layer_drops(network, other, [WHITE], 0.0, 255.0)
    draft = Draft()
    source, target = draft.tensor("in", (1, 4, 4, 1), "FLOAT32"), draft.tensor("out", (1, 4, 4, 1), "FLOAT32")
    draft.step("ADD", [source, source], [target], Add={})
    stranger = read_network(draft.write(tmp_path / "stranger.tflite", [source], [target]))
    with pytest.raises(MiradaError, match="shares no operator"):
        layer_drops(network, stranger, [WHITE], 0.0, 255.0)
    assert picture_shape(twin) == (4, 4, 1)


def test_a_network_that_takes_no_image_is_refused(tmp_path):
    draft = Draft()
    source, target = draft.tensor("in", (1, 40)), draft.tensor("out", (1, 40))
    draft.step("ADD", [source, source], [target])
    with pytest.raises(MiradaError, match=r"takes \[1, 40\], not one image .*: leave out data_dir= and twin="):
        picture_shape(read_network(draft.write(tmp_path / "a.tflite", [source], [target])))
