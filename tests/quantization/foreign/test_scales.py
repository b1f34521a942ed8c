"""Each flaw of a scale planted in a network that is right without it."""

import numpy as np
import pytest

from mirada.quantization.foreign.finding import Finding
from mirada.quantization.foreign.reading import read_network
from mirada.quantization.foreign.scales import scale_findings
from tests.quantization.foreign.drafts import CONV, DEPTHWISE, Draft, convolution, image


def judge(path, draft, inputs, outputs) -> dict[str, Finding]:
    return {f.code: f for f in scale_findings(read_network(draft.write(path / "a.tflite", inputs, outputs)))}


def test_a_right_network_has_no_finding(tmp_path):
    draft = Draft()
    source = image(draft)
    assert judge(tmp_path, draft, [source], [convolution(draft, source)]) == {}


@pytest.mark.parametrize("scale", [0.0, -0.1, float("nan"), float("inf")])
def test_a_scale_that_is_no_step_is_an_error(tmp_path, scale):
    draft = Draft()
    source = image(draft)
    target = draft.tensor("broken", (1, 4, 4, 2), scale=scale)
    draft.step("ADD", [source, source], [target])
    found = judge(tmp_path, draft, [source], [target])
    assert [*found] == ["scale_zero"] and found["scale_zero"].severity == "error"
    assert found["scale_zero"].what == "the scale of broken is zero, negative or no number"


def test_a_zero_point_outside_of_its_type_is_an_error(tmp_path):
    draft = Draft()
    source = image(draft)
    target = draft.tensor("shifted", (1, 4, 4, 2), zero=128)  # of -128..127
    draft.step("ADD", [source, source], [target])
    found = judge(tmp_path, draft, [source], [target])
    assert [*found] == ["zero_point"] and found["zero_point"].where == ["shifted"]


def test_scales_that_fit_no_axis_are_an_error(tmp_path):
    draft = Draft()
    source = image(draft)
    kernel = draft.tensor("kernel", (2, 1, 1, 2), scale=[0.1, 0.1, 0.1], data=np.full((2, 1, 1, 2), 9, np.int8))
    target = draft.tensor("conv", (1, 4, 4, 2))
    draft.step("CONV_2D", [source, kernel, -1], [target], **CONV)
    assert judge(tmp_path, draft, [source], [target])["scale_count"].where == ["kernel"]


@pytest.mark.parametrize(("bias_scale", "wrong"), [(0.001, False), (0.0011, False), (0.004, True)])
def test_a_bias_on_another_scale_is_an_error(tmp_path, bias_scale, wrong):
    """Right is 0.1 x 0.01; LiteRT bears what differs by 2 % of the output's step of 0.1, which is 0.002."""
    draft = Draft()
    source = image(draft)
    found = judge(tmp_path, draft, [source], [convolution(draft, source, bias_scale=bias_scale)])
    assert ([*found] == ["bias_scale"]) is wrong


def test_a_copy_that_changes_its_scale_is_an_error(tmp_path):
    draft = Draft()
    source = image(draft)
    target = draft.tensor("flat", (1, 32), scale=0.2)
    draft.step("RESHAPE", [source], [target])
    found = judge(tmp_path, draft, [source], [target])
    assert [*found] == ["moved_scale"] and found["moved_scale"].where == ["RESHAPE flat"]


def test_a_logistic_function_has_the_grid_of_its_kernels(tmp_path):
    for scale, zero, right in ((1 / 256, -128, True), (1 / 255, -128, False), (1 / 256, 0, False)):
        draft = Draft()
        source = image(draft)
        target = draft.tensor("scores", (1, 4, 4, 2), scale=scale, zero=zero)
        draft.step("LOGISTIC", [source], [target])
        assert ("fixed_grid" in judge(tmp_path, draft, [source], [target])) is not right, (scale, zero)


def test_a_huge_range_and_a_dead_one_are_told(tmp_path):
    draft = Draft()
    source = image(draft)
    wide, dead = draft.tensor("wide", (1, 4, 4, 2), scale=8.0), draft.tensor("dead", (1, 4, 4, 2), scale=1e-9)
    draft.step("ADD", [source, source], [wide])
    draft.step("ADD", [source, source], [dead])
    found = judge(tmp_path, draft, [source], [wide, dead])
    assert found["scale_huge"].where == ["wide (range 2.04e+03)"]  # 8 x 255
    assert found["scale_dead"].where == ["dead"] and [*found] == ["scale_huge", "scale_dead"]


def depthwise(draft: Draft, source: int, kernel: np.ndarray, scale: float | list[float]) -> int:
    weights = draft.tensor("kernel", kernel.shape, scale=scale, axis=3, data=kernel)
    target = draft.tensor("dw", (1, 4, 4, 2))
    draft.step("DEPTHWISE_CONV_2D", [source, weights, -1], [target], **DEPTHWISE)
    return target


def test_a_depthwise_convolution_of_one_scale_is_told(tmp_path):
    draft = Draft()
    source = image(draft)
    target = depthwise(draft, source, np.full((1, 1, 1, 2), 100, np.int8), 0.01)
    found = judge(tmp_path, draft, [source], [target])
    assert [*found] == ["per_tensor_depthwise"] and found["per_tensor_depthwise"].severity == "warning"
    assert found["per_tensor_depthwise"].where == ["DEPTHWISE_CONV_2D dw"]


def test_a_channel_that_starves_by_the_scale_of_others_is_counted(tmp_path):
    draft = Draft()
    source = image(draft)
    kernel = np.array([100, 3], np.int8).reshape(1, 1, 1, 2)  # the second uses 3 of 127 steps
    found = judge(tmp_path, draft, [source], [depthwise(draft, source, kernel, 0.01)])
    assert [*found] == ["starved_weights"] and found["starved_weights"].where == [
        "DEPTHWISE_CONV_2D dw (1 of 2 channels)"
    ]
    draft = Draft()
    source = image(draft)
    assert judge(tmp_path, draft, [source], [depthwise(draft, source, kernel, [0.01, 0.01])]) == {}


def test_a_channel_of_zeros_is_a_note(tmp_path):
    draft = Draft()
    source = image(draft)
    kernel = np.array([100, 0], np.int8).reshape(1, 1, 1, 2)
    found = judge(tmp_path, draft, [source], [depthwise(draft, source, kernel, [0.01, 0.01])])
    assert [*found] == ["silent_channels"] and found["silent_channels"].where == ["DEPTHWISE_CONV_2D dw (1 of 2)"]


def test_a_convolution_of_one_scale_is_a_note(tmp_path):
    draft = Draft()
    source = image(draft)
    found = judge(tmp_path, draft, [source], [convolution(draft, source, per_channel=False)])
    assert [(f.code, f.severity) for f in found.values()] == [("per_tensor", "note")]
