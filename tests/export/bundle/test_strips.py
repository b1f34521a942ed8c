"""First layers strip by strip: the same bytes come out, and less is in memory at once."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mirada.config import ModelConfig
from mirada.errors import MiradaError
from mirada.export.bundle.strips import Cut, estimate_peak, find_cuts, lower_peak, split_rows
from mirada.export.runtimes import run_reference
from mirada.inference.tflite_file import list_operators, read_tables

needs_tflm = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
SIDE = 96


@pytest.fixture(scope="module")
def content() -> bytes:
    """Grey, two blocks a stage: strided and additive layers before every cut."""
    from mirada.learning.quantization.untrained import untrained_int8

    config = ModelConfig("mcu", "mcu", None, width=8, head_depth=1, head_stride=16, multiplier=0.5, stem_width=8)
    return untrained_int8(config, "detection", SIDE, 1, 1, io="int8")


def answers(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    images = np.random.default_rng(0).integers(-128, 128, (2, SIDE, SIDE, 1)).astype(np.int8)
    return [values.tobytes() for values in run_reference(path, images)]


def test_strips_may_end_where_one_map_is_all_that_goes_on(content: bytes) -> None:
    cuts = find_cuts(content)
    # stem; depthwise and project of the first block; the addition of the second; the three convolutions of the next ...
    assert [(cut.operators, cut.stride) for cut in cuts][:7] == [
        (1, 2),
        (2, 4),
        (3, 4),
        (7, 4),
        (8, 4),
        (9, 8),
        (10, 8),
    ]
    assert max(cut.stride for cut in cuts) <= 16  # the map at stride 16 goes to the head and on


@pytest.mark.parametrize("strips", [2, 5])
def test_answers_are_equal_to_the_bit_at_every_cut(content: bytes, strips: int, tmp_path: Path) -> None:
    wanted = answers(tmp_path / "whole.tflite", content)
    for cut in find_cuts(content):
        split = split_rows(content, cut, min(strips, SIDE // cut.stride))
        assert answers(tmp_path / "split.tflite", split) == wanted
        assert len(split) < len(content) + 40_000  # weights are there once


def test_the_peak_is_lower_and_never_higher(content: bytes) -> None:
    lower = lower_peak(content, 3)
    # whole: 8 channels in, 24 inside and 24 after the depthwise convolution of the second block, on 24 x 24 cells
    assert estimate_peak(content) == (8 + 24 + 24) * 24 * 24
    assert estimate_peak(lower) < 0.9 * estimate_peak(content)
    assert "SLICE" in list_operators(read_tables(lower))


def test_too_many_strips_are_refused(content: bytes) -> None:
    with pytest.raises(MiradaError, match="strips must be between 2 and 6, got 7"):
        split_rows(content, Cut(22, find_cuts(content)[-1].tensor, 16), 7)
    with pytest.raises(MiradaError, match="strips must be between 2 and 10, got 11"):
        split_rows(content, find_cuts(content)[0], 11)


@needs_tflm
@pytest.mark.slow
def test_a_microcontroller_gives_the_same_in_a_smaller_arena(content: bytes, tmp_path: Path) -> None:
    from mirada.export.tflm import measure_arena, run_tflm

    whole, split = tmp_path / "whole.tflite", tmp_path / "split.tflite"
    whole.write_bytes(content)
    split.write_bytes(lower_peak(content, 3))
    images = np.random.default_rng(1).integers(-128, 128, (2, SIDE, SIDE, 1)).astype(np.int8)
    for mine, theirs in zip(run_tflm(split, images), run_tflm(whole, images), strict=True):
        assert np.array_equal(mine, theirs)
    assert measure_arena(split).head < measure_arena(whole).head
