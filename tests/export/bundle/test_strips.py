"""First layers strip by strip: the same bytes come out, and less is in memory at once."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mirada.config import ModelConfig
from mirada.errors import MiradaError
from mirada.export.bundle.strip_plan import lower_peak
from mirada.export.bundle.strips import Cut, Strips, find_cuts, split_rows
from mirada.export.runtimes import run_reference
from mirada.inference.tflite_file import read_tables

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
    cuts = find_cuts(read_tables(content))
    # the image; stem; two convolutions of the first block; the addition of the second; the three convolutions of the next
    assert [(cut.operators, cut.stride) for cut in cuts][:8] == [
        (0, 1),
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
    image, *cuts = find_cuts(read_tables(content))
    for cut in cuts:
        split = split_rows(content, [Strips(image, cut, min(strips, SIDE // cut.stride))])
        assert answers(tmp_path / "split.tflite", split) == wanted
        assert len(split) < len(content) + 40_000  # weights are there once


def test_strips_may_begin_where_others_have_ended(content: bytes, tmp_path: Path) -> None:
    wanted = answers(tmp_path / "whole.tflite", content)
    cuts = {cut.operators: cut for cut in find_cuts(read_tables(content))}
    plan = [Strips(cuts[3], cuts[7], 3), Strips(cuts[7], cuts[10], 4), Strips(cuts[0], cuts[3], 5)]
    assert answers(tmp_path / "split.tflite", split_rows(content, plan)) == wanted


def test_too_many_strips_are_refused(content: bytes) -> None:
    image, stem, *_, last = find_cuts(read_tables(content))
    with pytest.raises(MiradaError, match="strips must be between 2 and 6, got 7"):
        split_rows(content, [Strips(image, Cut(22, last.tensor, 16), 7)])
    with pytest.raises(MiradaError, match="strips must be between 2 and 10, got 11"):
        split_rows(content, [Strips(image, stem, 11)])


@needs_tflm
@pytest.mark.slow
def test_a_microcontroller_gives_the_same_in_a_smaller_arena(content: bytes, tmp_path: Path) -> None:
    from mirada.boards.tflm import measure_arena, run_tflm

    whole, split = tmp_path / "whole.tflite", tmp_path / "split.tflite"
    whole.write_bytes(content)
    split.write_bytes(lower_peak(content, 3))
    images = np.random.default_rng(1).integers(-128, 128, (2, SIDE, SIDE, 1)).astype(np.int8)
    for mine, theirs in zip(run_tflm(split, images), run_tflm(whole, images), strict=True):
        assert np.array_equal(mine, theirs)
    assert measure_arena(split).head < measure_arena(whole).head
