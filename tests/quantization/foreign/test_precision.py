"""What computes in what: networks of every kind, each with its answer and its findings."""

import numpy as np

from mirada.quantization.foreign.finding import Finding
from mirada.quantization.foreign.precision import Precision, precision_findings, precision_of
from mirada.quantization.foreign.reading import read_network
from tests.quantization.foreign.drafts import CONV, Draft, convolution, image


def judge(path, draft, inputs, outputs, *, runs=True) -> tuple[Precision, dict[str, Finding]]:
    network = read_network(draft.write(path / "a.tflite", inputs, outputs))
    precision = precision_of(network)
    return precision, {finding.code: finding for finding in precision_findings(network, precision, runs)}


def floating(draft: Draft, name: str) -> int:
    return draft.tensor(name, (1, 4, 4, 2), "FLOAT32")


def test_a_network_of_integers_is_whole(tmp_path):
    draft = Draft()
    source = image(draft)
    precision, found = judge(tmp_path, draft, [source], [convolution(draft, source)])
    assert (precision.kind, precision.is_whole, precision.integers, precision.floats) == ("int8", True, 1, 0)
    assert precision.sentence == "Whole int8: all 1 operator that compute do so in integers."
    assert found == {}


def test_float_ends_leave_it_whole(tmp_path):
    draft = Draft()
    first, source, last = floating(draft, "in"), image(draft), floating(draft, "out")
    draft.step("QUANTIZE", [first], [source])
    draft.step("DEQUANTIZE", [convolution(draft, source)], [last])
    precision, found = judge(tmp_path, draft, [first], [last])
    assert precision.is_whole and precision.roles == ["conversion", "int8", "conversion"] and found == {}


def test_an_island_between_int8_operators_is_told_with_its_place(tmp_path):
    draft = Draft()
    source = image(draft)
    before, a, b, after = convolution(draft, source), floating(draft, "a"), floating(draft, "island"), None
    draft.step("DEQUANTIZE", [before], [a])
    draft.step("MUL", [a, a], [b])
    after = draft.tensor("after", (1, 4, 4, 2))
    draft.step("QUANTIZE", [b], [after])
    precision, found = judge(tmp_path, draft, [source], [convolution(draft, after, "conv2")])
    assert precision.kind == "partly int8" and (precision.integers, precision.floats) == (2, 1)
    assert [[step.kind for step in island] for island in precision.islands] == [["MUL"]]
    assert precision.sentence == "Not whole: 1 of 3 operators that compute stay in floating point."
    told = found["float_operators"]
    assert told.severity == "warning" and told.where == ["MUL island"]
    assert told.what == "1 operator stays float (1 MUL), an island between int8 operators, in 1 island"


def test_a_float_end_is_no_island(tmp_path):
    draft = Draft()
    source = image(draft)
    values, last = floating(draft, "values"), floating(draft, "last")
    draft.step("DEQUANTIZE", [convolution(draft, source)], [values])
    draft.step("MUL", [values, values], [last])
    precision, found = judge(tmp_path, draft, [source], [last])
    assert precision.islands == [] and "float up to an end" in found["float_operators"].what


def test_an_operator_without_an_int8_form_is_told_as_such(tmp_path):
    draft = Draft()
    source = image(draft)
    values, last = floating(draft, "values"), floating(draft, "last")
    draft.step("DEQUANTIZE", [convolution(draft, source)], [values])
    draft.step("SIN", [values], [last])
    _, found = judge(tmp_path, draft, [source], [last])
    assert found["float_operators"].what == "1 operator stays float (1 SIN), the converters know no int8 form of it"


def test_int8_weights_on_float_values_are_dynamic_range(tmp_path):
    draft = Draft()
    source, target = floating(draft, "in"), floating(draft, "out")
    kernel = draft.tensor("kernel", (2, 1, 1, 2), scale=[0.01, 0.01], data=np.ones((2, 1, 1, 2), np.int8))
    draft.step("CONV_2D", [source, kernel, -1], [target], **CONV)
    precision, found = judge(tmp_path, draft, [source], [target])
    assert (precision.kind, precision.floats) == ("dynamic range", 1)
    assert found["dynamic_range"].what == "dynamic range: 1 operator have int8 weights and compute on float values"


def test_weights_of_float16_are_unpacked_and_no_operators(tmp_path):
    draft = Draft()
    source, target = floating(draft, "in"), floating(draft, "out")
    packed = draft.tensor("packed", (2, 1, 1, 2), scale=None, data=np.ones((2, 1, 1, 2), np.float16))
    kernel = draft.tensor("kernel", (2, 1, 1, 2), "FLOAT32")
    draft.step("DEQUANTIZE", [packed], [kernel])
    draft.step("CONV_2D", [source, kernel, -1], [target], **CONV)
    precision, found = judge(tmp_path, draft, [source], [target])
    assert (precision.kind, precision.roles, [*found]) == ("float16 weights", ["unpacking", "float"], ["float16"])


def test_a_float_network_is_one_finding(tmp_path):
    draft = Draft()
    source, target = floating(draft, "in"), floating(draft, "out")
    draft.step("ADD", [source, source], [target])
    precision, found = judge(tmp_path, draft, [source], [target])
    assert precision.sentence == "Not quantized: all in float32 (1 operator)." and [*found] == ["float"]


def test_foreign_operators_are_told_by_whose_they_are(tmp_path):
    cases = {"FlexErf": "select_operator", "Mine": "custom_operator", "TFLite_Detection_PostProcess": "post_process"}
    for name, code in cases.items():
        draft = Draft()
        source, target = floating(draft, "in"), floating(draft, "out")
        draft.step("CUSTOM", [source], [target], custom=name)
        _, found = judge(tmp_path, draft, [source], [target], runs=False)
        assert found[code].where == [name], name
    _, found = judge(tmp_path, draft, [source], [target], runs=False)
    draft = Draft()
    source, target = image(draft), image(draft)
    draft.step("CUSTOM", [source], [target], custom="ethos-u")
    precision, found = judge(tmp_path, draft, [source], [target])
    assert precision.kind == "compiled" and found["compiled"].what == "this file was compiled by Vela for Arm's Ethos-U"


def test_a_custom_operator_that_litert_has_is_told_so(tmp_path):
    for runs, words in (
        (True, "LiteRT as it is installed here brings it along"),
        (False, "as it is installed here does not"),
    ):
        draft = Draft()
        source, target = floating(draft, "in"), floating(draft, "out")
        draft.step("CUSTOM", [source], [target], custom="Mine")
        _, found = judge(tmp_path, draft, [source], [target], runs=runs)
        assert words in found["custom_operator"].means
