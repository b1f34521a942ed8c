"""The file that a candidate is judged by is as large as what is exported of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from mirada.boards.tflm import allocate
from mirada.config import DeviceConfig, ModelConfig
from mirada.export.bundle.assembly import assemble
from mirada.inference.tflite_file import read_tables
from mirada.learning.quantization.untrained import untrained_int8
from mirada.stages.fitting.candidate_file import Added
from tests.cards import CARD

OUTPUTS = {part: [f"{part}_16"] for part in ("objectness", "classes", "distances")}


@pytest.fixture(scope="module")
def network() -> bytes:
    """Of two classes, as the converter leaves it."""
    model = ModelConfig(name="tiny", backbone="tiny", weights=None, width=8, head_stride=16)
    return untrained_int8(model, "detection", 32, 3, 2)


def judged(network: bytes, *, tuned: bool) -> bytes:
    added = Added(tuple(CARD.labels), CARD.dataset, "CC0", "int8", tuned, strips=False)
    return added.to(network, "detection", 32, 3, OUTPUTS)


def test_it_is_as_large_as_an_export_and_some_bytes_for_each_map(network: bytes, tmp_path: Path) -> None:
    (tmp_path / "best.tflite").write_bytes(network)
    card = replace(CARD, task="detection", outputs=OUTPUTS)
    board = DeviceConfig(name="desktop", title="Desktop")
    exported = assemble(tmp_path / "best.tflite", card, "best", board, "int8", "CC0")[0]
    maps = sum(len(tensor.shape) == 4 for tensor in read_tables(exported).subgraphs[0].tensors)
    assert len(exported) < len(judged(network, tuned=False)) <= len(exported) + 8 * maps + 32


def test_names_and_biases_are_those_that_tuning_leaves_and_take_no_arena(network: bytes, tmp_path: Path) -> None:
    plain, tuned = judged(network, tuned=False), judged(network, tuned=True)
    graph = read_tables(tuned).subgraphs[0]
    biases = [graph.tensors[int(one.inputs[2])] for one in graph.operators if len(one.inputs) == 3]
    assert len({int(bias.buffer) for bias in biases}) == len(biases) > 5
    names = [bias.name.decode() for bias in biases]
    own, layer = (
        next(name for name in names if name.startswith("tiny/score_16_0_depthwise")),
        "tiny/score_16_0_depthwise",
    )
    assert own == f"{layer}/BiasAdd;{layer}/depthwise;{layer}/BiasAdd/ReadVariableOp"
    named, layer = next(name for name in names if "score_16_0_conv" in name), "tiny/score_16_0_conv"
    assert named == f"tiny/score_16_0_relu/Relu6;{layer}/BiasAdd;{layer}/Conv2D;{layer}/BiasAdd/ReadVariableOp"
    assert len(tuned) > len(plain)
    pytest.importorskip("tflite_micro")
    for name, content in (("plain", plain), ("tuned", tuned)):
        (tmp_path / name).write_bytes(content)
    assert allocate(tmp_path / "plain").total == allocate(tmp_path / "tuned").total
