"""TensorFlow Lite Micro, the real one where it is installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mirada.boards import tflm
from mirada.boards.tflm import Arena, measure_arena, run_tflm
from mirada.errors import MiradaError

needs_tflm = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")


@pytest.mark.parametrize("total, with_room", [(1_686_048, 1_854_656), (160, 176), (161, 192), (1, 16)])
def test_an_arena_gets_ten_per_cent_more_in_whole_sixteens(total: int, with_room: int) -> None:
    assert Arena(total, 0, 0, {}).with_room == with_room


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tflm, "find_spec", lambda name: None)
    with pytest.raises(MiradaError, match=r"Micro is not installed: `pip install 'mirada\[device\]'`"):
        run_tflm(tmp_path / "model.tflite", np.zeros((1, 2, 2, 3)))


@needs_tflm
@pytest.mark.slow
def test_the_outputs_are_the_reference_kernels_and_the_arena_is_measured(squares_folder: Path, tmp_path: Path) -> None:
    from mirada.data.images import decode
    from mirada.export.runtimes import run_reference
    from tests.squares import draw_example

    path = squares_folder / "model" / "int8.tflite"
    images = np.stack([decode(draw_example(number).image) for number in range(5)])
    for mine, theirs in zip(run_tflm(path, images), run_reference(path, images), strict=True):
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)
    arena = measure_arena(path)
    assert arena.total == arena.head + arena.tail
    assert tflm.allocate(path) == arena, "no inference is needed to know it"
    assert arena.head >= images[0].nbytes  # the input lies in it
    assert 0 < sum(arena.parts.values()) <= arena.tail
    longer = tmp_path / "longer.tflite"
    longer.write_bytes(path.read_bytes() + b"seven b")  # what is appended, such as metadata, takes no memory
    assert measure_arena(longer) == arena
    with pytest.raises(MiradaError, match=r"int8\.tflite does not run in TensorFlow Lite Micro \("):
        tflm._run(path, images, arena.total // 2)
