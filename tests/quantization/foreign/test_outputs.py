"""Boxes and scores on one scale, and what only looks like it."""

import pytest

from mirada.quantization.foreign.outputs import output_findings
from mirada.quantization.foreign.reading import read_network
from tests.quantization.foreign.drafts import Draft


def detector(scale: float, *, scores: bool = True, dequantized: bool = False) -> tuple[Draft, list[int], list[int]]:
    """4 numbers of boxes and 2 of scores a place, joined in one output of that scale."""
    draft = Draft()
    boxes, raw = draft.tensor("boxes", (1, 9, 4), scale=scale), draft.tensor("raw", (1, 9, 2))
    part = draft.tensor("scores", (1, 9, 2), scale=1 / 256, zero=-128)
    moved = draft.tensor("moved", (1, 9, 2), scale=scale)
    source = draft.tensor("in", (1, 9, 4))
    draft.step("ADD", [source, source], [boxes])
    draft.step("ADD", [source, source], [raw])
    draft.step("LOGISTIC" if scores else "RELU", [raw], [part])
    draft.step("QUANTIZE", [part], [moved])
    last = draft.tensor("found", (1, 9, 6), scale=scale)
    draft.step("CONCATENATION", [boxes, moved], [last])
    turned = draft.tensor("turned", (1, 6, 9), scale=scale)
    draft.step("TRANSPOSE", [last], [turned])
    if dequantized:
        end = draft.tensor("end", (1, 6, 9), "FLOAT32")
        draft.step("DEQUANTIZE", [turned], [end])
        turned = end
    return draft, [source], [turned]


def judge(path, draft, inputs, outputs, files=None):
    return output_findings(read_network(draft.write(path / "a.tflite", inputs, outputs, files)))


@pytest.mark.parametrize("dequantized", [False, True])
@pytest.mark.parametrize(
    ("scale", "steps", "severity"),
    [(2.5, 0, "error"), (0.05, 20, "error"), (0.02, 50, "warning"), (1 / 256, 256, "note")],
)
def test_boxes_and_scores_on_one_scale_are_as_grave_as_few_steps_are_left(
    tmp_path, scale, steps, severity, dequantized
):
    (found,) = judge(tmp_path, *detector(scale, dequantized=dequantized))
    assert (found.code, found.severity) == ("shared_scale", severity)
    assert f"between a score of 0 and of 1 lie {steps} of its 256 steps" in found.means


def test_parts_of_one_kind_may_be_joined(tmp_path):
    assert judge(tmp_path, *detector(2.5, scores=False)) == []


def test_an_output_as_long_as_a_box_with_its_scores_is_told(tmp_path):
    draft = Draft()
    source, target = draft.tensor("in", (1, 20, 20, 85)), draft.tensor("map", (1, 20, 20, 85))
    draft.step("ADD", [source, source], [target])
    (found,) = judge(tmp_path, draft, [source], [target])
    assert found.what == "map has 85 numbers a place, as boxes with scores have, on one scale"
    draft = Draft()
    source, target = draft.tensor("in", (1, 20, 20, 64)), draft.tensor("map", (1, 20, 20, 64))
    draft.step("ADD", [source, source], [target])
    assert judge(tmp_path, draft, [source], [target]) == []
