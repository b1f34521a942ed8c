"""Data sets as the stage preprocess leaves them, equalized or not, and what is corrupted of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TileConfig
from mirada.data.images import GREY, decode
from mirada.data.records import Box, load_dataset
from mirada.data.shapes import draw_shapes
from mirada.errors import MiradaError
from mirada.evaluation.weaknesses.corruptions import corrupt
from mirada.evaluation.weaknesses.scenes import Scene, scenes_of
from mirada.stages import preprocess
from tests.stages.test_preprocess import save


def test_corruption_comes_before_equalization_which_undoes_it() -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 2 + 60  # 60 to 186, as many pixels of each
    scene = Scene(ramp[:4], "equalize", 8)  # 8 wide and 4 high: two rows of padding above and below
    clean, flat = scene.shown(), scene.shown(lambda pixels: (pixels - 60) // 2 + 100)
    assert (clean.shape, clean.dtype) == ((8, 8, 1), np.uint8)
    assert (clean[:2] == GREY).all() and (clean[6:] == GREY).all()
    assert (clean[2:6].min(), clean[2:6].max()) == (0, 255)
    assert np.array_equal(flat, clean), "half the contrast, in the same order: equalized it is the same picture"
    assert Scene(ramp, "none", 8).shown() is ramp


CROPPED = {"task": "localization", "several": "crop"}


@pytest.mark.parametrize(
    ("split", "data", "keys"),
    [
        (SplitConfig(val=0.0, test=0.5), {}, {"channels": 1}),
        (SplitConfig(val=0.0, test=0.5), CROPPED, {"fit": "stretch"}),  # crops of an object each
        (SplitConfig(kind="area", val=0.2, test=0.4), {"tile": TileConfig(size=48, overlap=0.5)}, {}),
    ],
)
def test_scenes_are_what_the_network_saw(
    split: SplitConfig, data: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    """Cut and scaled anew, then equalized, they are the stored pixels: whole images, crops and tiles, padded or not."""
    boxes = [Box(10, 10, 30, 30, "x"), Box(65, 50, 85, 70, "x"), Box(115, 95, 140, 125, "x")]
    for number in range(4):
        image, _ = draw_shapes(number, 1, 3, 150, seed=0)
        save(tmp_path / "raw" / f"{number}.png", image.crop((0, 0, 150, 130)), boxes)
    settings = {"raw_dir": str(tmp_path / "raw"), "output_dir": str(tmp_path / "out"), "input_size": 64, "workers": 1}
    preprocess.run(
        PreprocessConfig(
            data=DataConfig("shapes", split=split, **data), enhance="equalize", encoding="png", **settings, **keys
        )
    )
    dataset = load_dataset(tmp_path / "out")
    examples = list(dataset.examples("test"))[::-1]
    stored = [decode(example.image, dataset.channels) for example in examples]
    scenes = scenes_of(dataset, "test", examples)
    assert len(scenes) >= 2 and ("#" in examples[0].image_id) == bool(data)
    for scene, pixels in zip(scenes, stored, strict=True):
        assert np.array_equal(scene.shown(), pixels)
        dark = scene.shown(partial(corrupt, kind="contrast", strength=0))
        after = corrupt(pixels, "contrast", 0)
        assert dark.std() > 1.5 * after.std(), "equalization brings most of the contrast back"
    shutil.rmtree(dataset.folder)  # what is equalized needs its photographs, what is not only the stored pixels
    plain = scenes_of(replace(dataset, enhance="none"), "test", examples)
    assert all(np.array_equal(scene.shown(), pixels) for scene, pixels in zip(plain, stored, strict=True))
    (tmp_path / "out").mkdir()
    with pytest.raises(MiradaError, match="holds no photographs of test: run the preprocess stage again"):
        scenes_of(replace(dataset, photographs={}), "test", examples)
