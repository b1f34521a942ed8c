"""Ends, shapes, state and sizes."""

import numpy as np

from mirada.quantization.foreign.interface import interface_findings, sizes_of
from mirada.quantization.foreign.precision import precision_of
from mirada.quantization.foreign.reading import read_network
from tests.quantization.foreign.drafts import CONV, Draft, convolution, image


def judge(path, draft, inputs, outputs):
    network = read_network(draft.write(path / "a.tflite", inputs, outputs))
    return {finding.code: finding for finding in interface_findings(network, precision_of(network))}


BARE = {"no_signature", "no_metadata"}  # of every draft


def test_int8_ends_of_a_fixed_shape_are_right(tmp_path):
    draft = Draft()
    source = image(draft)
    assert {*judge(tmp_path, draft, [source], [convolution(draft, source)])} == BARE


def test_float_ends_of_a_whole_network_are_a_note(tmp_path):
    draft = Draft()
    first, source = draft.tensor("first", (1, 4, 4, 2), "FLOAT32"), image(draft)
    draft.step("QUANTIZE", [first], [source])
    found = judge(tmp_path, draft, [first], [convolution(draft, source)])
    assert found["float_ends"].severity == "note" and found["float_ends"].where == ["first"]


def test_integers_without_a_scale_are_told(tmp_path):
    draft = Draft()
    source, target = draft.tensor("bare", (1, 4, 4, 2), scale=None), image(draft)
    draft.step("ADD", [source, source], [target])
    assert judge(tmp_path, draft, [source], [target])["no_scale"].where == ["bare"]


def test_sides_that_may_change_and_several_images_are_told(tmp_path):
    draft = Draft()
    source, target = draft.tensor("in", (-1, 4, 4, 2)), draft.tensor("out", (-1, 4, 4, 2))
    draft.step("ADD", [source, source], [target])
    assert judge(tmp_path, draft, [source], [target])["dynamic_shape"].where == ["in", "out"]
    draft = Draft()
    source, target = draft.tensor("in", (8, 4, 4, 2)), draft.tensor("out", (8, 4, 4, 2))
    draft.step("ADD", [source, source], [target])
    found = judge(tmp_path, draft, [source], [target])
    assert found["batch"].where == ["in [8, 4, 4, 2]"] and "dynamic_shape" not in found


def test_state_and_uint8_are_notes(tmp_path):
    draft = Draft()
    source, target = image(draft, "UINT8"), image(draft, "UINT8")
    draft.step("ADD", [source, source], [target])
    draft.graph.tensors[source].isVariable = True
    assert {*judge(tmp_path, draft, [source], [target])} == {*BARE, "uint8", "state"}


def test_bytes_are_those_of_constants_by_kind_and_of_the_rest(tmp_path):
    draft = Draft()
    source, target = draft.tensor("in", (1, 4, 4, 2), "FLOAT32"), draft.tensor("out", (1, 4, 4, 2), "FLOAT32")
    between = draft.tensor("between", (1, 4, 4, 2), "FLOAT32")
    packed = draft.tensor("packed", (2, 1, 1, 2), scale=None, data=np.ones((2, 1, 1, 2), np.float16))
    kernel = draft.tensor("kernel", (2, 1, 1, 2), "FLOAT32")
    draft.step("DEQUANTIZE", [packed], [kernel])
    draft.step("CONV_2D", [source, kernel, -1], [between], **CONV)
    draft.step("CONV_2D", [between, kernel, -1], [target], **CONV)  # the same weights again: they count once
    path = draft.write(tmp_path / "a.tflite", [source], [target])
    network = read_network(path)
    shares = {share.kind: share for share in sizes_of(network, precision_of(network))}
    assert (shares["CONV_2D"].count, shares["CONV_2D"].size_bytes, shares["CONV_2D"].computes) == (2, 8, "float")
    assert shares["DEQUANTIZE"].size_bytes == 0
    assert sum(share.size_bytes for share in shares.values()) == path.stat().st_size
