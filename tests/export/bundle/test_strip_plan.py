"""Which layers go into strips: less is in memory at once, in all places where much was, and the same bytes come out."""

from pathlib import Path

import numpy as np

from mirada.config import ModelConfig
from mirada.export.bundle.strip_plan import lower_peak, planned_bytes
from mirada.export.runtimes import run_reference
from mirada.inference.tflite_file import list_operators, read_tables
from mirada.learning.quantization.untrained import untrained_int8

SIDE = 64


def answers(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    images = np.random.default_rng(0).integers(-128, 128, (2, SIDE, SIDE, 1)).astype(np.int8)
    return [values.tobytes() for values in run_reference(path, images)]


def test_each_wide_block_of_a_cut_pretrained_network_gets_strips_of_its_own(tmp_path: Path) -> None:
    config = ModelConfig("lite0", stages=3, width=8)
    content = untrained_int8(config, "classification", SIDE, 1, 2, io="int8")
    lower = lower_peak(content)
    # 96 channels on 32 x 32 cells inside the first block of stage 2, and 96 on 16 x 16 after its stride
    assert planned_bytes(read_tables(content)) == 96 * (32 * 32 + 16 * 16)
    assert planned_bytes(read_tables(lower)) < 0.45 * planned_bytes(read_tables(content))
    assert list_operators(read_tables(lower)).count("CONCATENATION") >= 2
    assert answers(tmp_path / "lower.tflite", lower) == answers(tmp_path / "whole.tflite", content)


def test_a_network_whose_tables_would_outweigh_what_strips_save_stays_as_it_is() -> None:
    content = untrained_int8(ModelConfig("tiny", "tiny", None), "classification", 32, 1, 2, io="int8")
    assert lower_peak(content) == content
