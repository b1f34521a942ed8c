"""What the quantize stage left, as the report shows it."""

import json

import pytest

from mirada.errors import MiradaError
from mirada.evaluation.quantization_record import QuantizationRecord, read_quantization

RUNG = {
    "rung": "int8", "what": "128 images", "value": 0.5, "drop": -0.0123, "drop_low": -0.02, "drop_high": 0.01,
    "size_bytes": 3_400_000, "latency_ms_p50": 4.26, "minutes": 1.25, "float_layers": ["a", "b"],
    "answer": "within",
}  # fmt: skip


def test_nothing_is_said_where_nothing_was_left(tmp_path):
    record = read_quantization(tmp_path)
    assert record == QuantizationRecord() and record.ladder_table() is None


def test_the_rung_that_became_best_is_marked(tmp_path):
    ladder = {
        "best": "int8",
        "answer": "within",
        "rungs": [RUNG, RUNG | {"rung": "qat", "float_layers": [], "answer": "cannot_tell"}],
    }
    (tmp_path / "ladder.json").write_text(json.dumps(ladder))
    (tmp_path / "layers.json").write_text(json.dumps({"int8": ["stem adds 3 %."]}))
    (tmp_path / "layers.png").write_bytes(b"picture")
    record = read_quantization(tmp_path)
    rows = record.ladder_table().rows
    assert rows[0] == ["int8 ✓", "128 images", "0.500", "−0.012 [−0.020, +0.010]", "within", "3.40", "4.3", "1.2", "2"]
    assert (rows[1][0], rows[1][4], rows[1][-1]) == ("qat", "cannot tell", "0")
    record.ladder["answer"] = "cannot_tell"
    assert record.ladder_table().rows[0][0] == "int8 (best)"
    assert record.sentences == {"int8": ["stem adds 3 %."]} and record.plot == b"picture"


def test_a_rung_on_a_device_says_whether_it_fits():
    boards = [RUNG | {"board": {"answer": answer}} for answer in ("fits", "too_much")]
    table = QuantizationRecord({"best": "int8", "answer": "within", "rungs": boards}).ladder_table()
    assert table.head[-1] == "fits the device" and [row[-1] for row in table.rows] == ["fits", "too much"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "ladder.json").write_text("{")
    with pytest.raises(MiradaError, match=r"ladder.json is corrupt .*run the quantize stage again"):
        read_quantization(tmp_path)


def test_a_ladder_of_an_earlier_version_is_refused(tmp_path):
    (tmp_path / "ladder.json").write_text(json.dumps({"best": "int8", "met": True, "rungs": []}))
    with pytest.raises(
        MiradaError, match=r"ladder.json is of an earlier version of Mirada: run the quantize stage again"
    ):
        read_quantization(tmp_path)
