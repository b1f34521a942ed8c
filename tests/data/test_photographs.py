"""What evaluation is shown: whole photographs of val and test, with the truth in their own pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TileConfig
from mirada.data.annotations import RawImage
from mirada.data.images import decode
from mirada.data.inputs import Unit, settings_of
from mirada.data.photographs import make_photograph, plan_photographs
from mirada.data.records import Box, Example, parse_example
from mirada.data.tiles import Region


def photograph(folder: Path, width: int = 400, height: int = 100, name: str = "a.png", **save: object) -> Path:
    path = folder / name
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **save)
    return path


def raw(path: Path, *boxes: Box, width: int = 400, height: int = 100, transpose: bool = True) -> RawImage:
    return RawImage(path, path.name, None, width, height, transpose, boxes, ())


def stored(unit: Unit, data: DataConfig) -> Example:
    made = make_photograph(unit, settings_of(PreprocessConfig(data=data, raw_dir="", output_dir=""), ["tree"]))
    return parse_example(made.framed[12:-4])


AREA = DataConfig(split=SplitConfig(kind="area", val=0.1, test=0.3), tile=TileConfig(size=40))


def test_where_photographs_are_split_by_area_each_one_gives_its_part(tmp_path: Path) -> None:
    image = raw(photograph(tmp_path), Box(270, 10, 300, 40, "tree"), Box(300, 50, 320, 70, "tree"))
    units = plan_photographs([image], {}, AREA)
    assert [(unit.split, unit.region) for unit in units] == [
        ("val", Region(240, 0, 280, 100)),
        ("test", Region(280, 0, 400, 100)),
    ]
    test = stored(units[1], AREA)
    assert test.image_id == "a.png#280,0,400,100"
    np.testing.assert_array_equal(decode(test.image), decode(image.path.read_bytes())[:, 280:])
    assert test.boxes_xyxy.tolist() == [[0, 10, 20, 40], [20, 50, 40, 70]]
    assert test.ignore.tolist() == [False, False]
    assert stored(units[0], AREA).ignore.tolist() == [True], "only a third of it is on this side"


def test_a_whole_photograph_keeps_the_bytes_of_its_file(tmp_path: Path) -> None:
    data, path = DataConfig(), photograph(tmp_path, name="a.jpg")
    image = raw(path, Box(1, 2, 30, 40, "tree"))
    units = plan_photographs(
        [image, raw(photograph(tmp_path, name="b.jpg"))], {"a.jpg": "test", "b.jpg": "train"}, data
    )
    assert [unit.image.source for unit in units] == ["a.jpg"]
    found = stored(units[0], data)
    assert found.image == path.read_bytes()
    assert found.boxes_xyxy.tolist() == [[1, 2, 30, 40]]


def test_labels_that_contradict_the_orientation_get_a_picture_without_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image = raw(photograph(tmp_path, name="a.jpg", exif=exif), Box(300, 2, 390, 40, "tree"), transpose=False)
    found = stored(Unit(image, "test", Region(0, 0, 400, 100), "whole"), DataConfig())
    assert decode(found.image).shape == (100, 400, 3)
    assert found.image != image.path.read_bytes()


def test_tiled_data_with_folders_keeps_photographs_whole(tmp_path: Path) -> None:
    data = DataConfig(split=SplitConfig(kind="folder"), tile=TileConfig(size=40))
    units = plan_photographs([raw(photograph(tmp_path))], {"a.png": "val"}, data)
    assert [(unit.split, unit.part) for unit in units] == [("val", "whole")]
