import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.config import DataConfig, PreprocessConfig, SplitConfig, TableConfig, TileConfig
from mirada.data import images, records
from mirada.data.records import Box
from mirada.data.shapes import draw_shapes, write_voc
from mirada.errors import MiradaError
from mirada.stages import preprocess

RATIO = SplitConfig(kind="ratio", val=0.2, test=0.2)


def save(path: Path, image: Image.Image, boxes: list[Box]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    write_voc(path, image.width, image.height, boxes)


def draw(raw_dir: Path, count: int = 15, size: int = 64) -> Path:
    for index in range(count):
        image, boxes = draw_shapes(index, 2, 3, size, seed=0)
        save(raw_dir / f"{index:03d}.png", image, boxes)
    return raw_dir


def config(tmp_path: Path, split: SplitConfig = RATIO, data: dict[str, Any] | None = None, **keys: Any) -> Any:
    keys = {
        "raw_dir": str(tmp_path / "raw"),
        "output_dir": str(tmp_path / "out"),
        "workers": 1,
        "input_size": 64,
    } | keys
    return PreprocessConfig(data=DataConfig(name="shapes", split=split, **(data or {})), **keys)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def rejected(folder: Path) -> list[tuple[str, str]]:
    with (folder / "rejected.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "reason", "advice"] and all(row[2] for row in rows)
    return [(row[0], row[1]) for row in rows[1:]]


def test_a_whole_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "raw")
    (tmp_path / "raw" / "SOURCE.json").write_text('{"licence": "none", "version": "3", "fetched_from": "/secret"}')
    preprocess.run(config(tmp_path, encoding="png", shard_images=4))
    dataset = records.load_dataset(tmp_path / "out", verify=True)
    assert dataset.classes == ["circle", "square"]
    assert {split: counts["images"] for split, counts in dataset.splits.items()} == {"train": 9, "val": 3, "test": 3}
    assert [shard["images"] for shard in dataset.splits["train"]["shards"]] == [3, 3, 3]
    assert dataset.shards("train")[2].name == "train-00002-of-00003.tfrecord"
    assert dataset.about["source"] == {"licence": "none", "version": "3"}
    everything = [example for split in records.SPLITS for example in dataset.examples(split)]
    assert {example.image_id for example in everything} == {f"{index:03d}.png" for index in range(15)}
    for example in everything:  # an image of the input's size goes through untouched, and so do its boxes
        image, boxes = draw_shapes(int(example.source[:3]), 2, 3, 64, seed=0)
        assert (images.decode(example.image) == np.asarray(image)).all()
        assert example.boxes_xyxy.tolist() == [[box.x1, box.y1, box.x2, box.y2] for box in boxes]
        assert [dataset.classes[label] for label in example.labels] == [box.label for box in boxes]
    timing = json.loads((tmp_path / "out.timing.json").read_text())
    assert timing["images"] == 15 and timing["workers"] == 1
    assert min(timing["images_per_s"], timing["peak_memory_mb"], timing["cpu_percent"]) > 0
    assert "hidden" not in dataset.about and not any(example.hidden for example in everything)
    line = capsys.readouterr().out
    assert line.startswith("shapes: images train 9, val 3, test 3; ") and "0 files rejected" in line


def test_any_number_of_workers_and_any_chunks_give_the_same_bytes(tmp_path: Path) -> None:
    draw(tmp_path / "raw", 30, size=150)
    data = {"tile": TileConfig(size=64)}
    preprocess.run(config(tmp_path, data=data, shard_images=20))
    first = contents(tmp_path / "out")
    preprocess.run(config(tmp_path, data=data, shard_images=20, workers=4, chunk_images=1))
    assert contents(tmp_path / "out") == first
    assert len(first) > 6


def test_train_is_shuffled_and_the_rest_is_not(tmp_path: Path) -> None:
    draw(tmp_path / "raw", 40)
    preprocess.run(config(tmp_path))
    dataset = records.load_dataset(tmp_path / "out")
    ids = {split: [example.image_id for example in dataset.examples(split)] for split in records.SPLITS}
    assert ids["train"] != sorted(ids["train"])
    assert ids["test"] == sorted(ids["test"])


def test_tiles_by_area_show_their_side_only(tmp_path: Path) -> None:
    """The photograph's pixel values tell their column, so each tile shows where it came from."""
    columns = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 90, 0).repeat(3, 2)
    boxes = [
        Box(10, 10, 30, 30, "x"),
        Box(110, 10, 130, 30, "x"),
        Box(175, 60, 195, 80, "x"),
        Box(150, 5, 170, 25, "x"),
    ]
    save(tmp_path / "raw" / "wide.png", Image.fromarray(columns), boxes)
    split = SplitConfig(kind="area", val=0.2, test=0.3)
    preprocess.run(config(tmp_path, split, {"tile": TileConfig(size=64, overlap=0.5)}, encoding="png"))
    dataset = records.load_dataset(tmp_path / "out")
    sides = {"train": (0, 100), "val": (100, 140), "test": (140, 200)}
    for name, (start, end) in sides.items():
        for example in dataset.examples(name):
            pixels = images.decode(example.image)
            shown = np.unique(pixels[pixels != images.GREY])
            assert start <= shown.min() and shown.max() < end
            offset_x, offset_y = example.placement[4:]
            assert example.image_id == f"wide.png#{offset_x:.0f},{offset_y:.0f}"
    (found,) = (example for example in dataset.examples("test") if example.placement[5] == 0)
    ours = images.boxes_from_input(found.boxes_xyxy, found.placement)
    assert ours.tolist() == [[150.0, 5.0, 170.0, 25.0]]
    assert dataset.splits["test"]["boxes"] == 2


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    raw = draw(tmp_path / "raw" / "train", 12).parent
    for index in range(20, 24):
        image, boxes = draw_shapes(index, 2, 3, 64, seed=0)
        save(raw / "test" / f"{index}.png", image, boxes)
    (raw / "test" / "lonely.xml").write_text("<annotation/>")
    cut = raw / "train" / "003.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    for suffix in (".png", ".xml"):
        shutil.copy(raw / "test" / f"20{suffix}", raw / "train" / f"copy{suffix}")
        shutil.copy(raw / "train" / f"001{suffix}", raw / f"outside{suffix}")
    preprocess.run(config(tmp_path, SplitConfig(val=0.0)))
    assert rejected(tmp_path / "out") == [
        ("outside.png", "in_no_split"),
        ("test/lonely.xml", "xml_without_image"),
        ("train/003.png", "image_undecodable"),
        ("train/copy.png", "copy_in_train"),
    ]
    dataset = records.load_dataset(tmp_path / "out")
    assert {split: counts["images"] for split, counts in dataset.splits.items()} == {"train": 11, "val": 0, "test": 4}
    assert dataset.about["rejected"] == 4
    assert dataset.shards("val") == []


def test_difficult_boxes_are_ignored_and_other_classes_left_out(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 64))
    for index in range(6):
        image.putpixel((0, 0), (index, 0, 0))
        boxes = [Box(1, 1, 9, 9, "a"), Box(20, 20, 40, 40, "a", difficult=True), Box(5, 5, 50, 50, "b")]
        save(tmp_path / "raw" / f"{index}.png", image, boxes)
        xml = tmp_path / "raw" / f"{index}.xml"
        parts = xml.read_text().split("<object>")
        parts[2] = parts[2].replace("<difficult>0", "<difficult>1")
        xml.write_text("<object>".join(parts))
    preprocess.run(config(tmp_path, data={"classes": ["a"]}))
    dataset = records.load_dataset(tmp_path / "out")
    assert dataset.about["repaired"]["label_not_wanted"] == 6
    assert (dataset.splits["test"]["boxes"], dataset.splits["test"]["ignored"]) == (1, 1)
    assert next(dataset.examples("test")).ignore.tolist() == [False, True]


def test_what_hides_objects_is_kept_where_it_is_said_of_any(tmp_path: Path) -> None:
    for index in range(6):
        image = Image.new("RGB", (64, 64), (index, 0, 0))
        save(tmp_path / "raw" / f"{index}.png", image, [Box(1, 1, 9, 9, "a"), Box(20, 20, 74, 40, "a")])
        xml = tmp_path / "raw" / f"{index}.xml"
        first, second = "<truncated>0</truncated><occluded>0</occluded>", "<truncated>1</truncated>"
        parts = xml.read_text().split("<difficult>")
        xml.write_text(f"{parts[0]}{first}<difficult>{parts[1]}{second}<difficult>{parts[2]}")
    preprocess.run(config(tmp_path))
    dataset = records.load_dataset(tmp_path / "out")
    assert dataset.about["hidden"] == {"truncated": 6}, "nobody says that an object is occluded"
    for found in (*dataset.examples("train"), *dataset.examples("test"), *dataset.whole_photographs("test")):
        assert {name: said.tolist() for name, said in found.hidden.items()} == {"truncated": [0, 1]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"raw_dir": "nowhere"}, r"^nowhere is missing: run the fetch stage first"),
        ({"data": {"classes": ["circle", "newt"]}}, r"^Class 'newt' is empty"),
        ({"split": SplitConfig(kind="folder")}, r"data\.split\.kind=ratio"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    draw(tmp_path / "raw", 6)
    with pytest.raises(MiradaError, match=message):
        preprocess.run(config(tmp_path, **keys))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_no_usable_image_says_why(tmp_path: Path) -> None:
    draw(tmp_path / "raw", 3)
    for path in (tmp_path / "raw").glob("*.xml"):
        path.write_text("<annotation><object>")
    with pytest.raises(MiradaError, match=r"raw holds no usable image .* 3 files were rejected, most as xml_broken"):
        preprocess.run(config(tmp_path))


def test_old_output_goes_and_foreign_files_stay(tmp_path: Path) -> None:
    draw(tmp_path / "raw")
    out = tmp_path / "out"
    preprocess.run(config(tmp_path, shard_images=2))
    (out / "run.log").write_text("mine")
    preprocess.run(config(tmp_path))
    assert sorted(path.name for path in out.iterdir()) == [
        "dataset.json",
        "photographs-test-00000-of-00001.tfrecord",
        "photographs-val-00000-of-00001.tfrecord",
        "rejected.csv",
        "run.log",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "val-00000-of-00001.tfrecord",
    ]
    records.load_dataset(out, verify=True)


def shades(folder: Path, count: int, mode: str = "RGB", first: int = 0) -> None:
    """Photographs of 40 x 20 pixels, each of a shade of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        image = Image.new(mode, (40, 20), (index, 0, 0) if mode == "RGB" else index)
        image.save(folder / f"{index:03d}.png")


def test_folders_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw" / "pets"
    shades(raw / "cat", 10)
    shades(raw / "dog", 10, first=10)
    shutil.copy(raw / "cat" / "001.png", raw / "dog" / "again.png")
    (raw / "dog" / "broken.png").write_bytes(b"no image")
    data = {"task": "classification", "format": "folder"}
    preprocess.run(config(tmp_path, data=data, encoding="png"))
    dataset = records.load_dataset(tmp_path / "out")
    assert (dataset.task, dataset.classes) == ("classification", ["cat", "dog"])
    assert {split: counts["per_class"] for split, counts in dataset.splits.items()} == {
        "train": {"cat": 5, "dog": 6},
        "val": {"cat": 2, "dog": 2},
        "test": {"cat": 2, "dog": 2},
    }
    assert rejected(tmp_path / "out") == [
        ("pets/cat/001.png", "copies_disagree"),
        ("pets/dog/again.png", "copies_disagree"),
        ("pets/dog/broken.png", "image_unreadable"),
    ]
    for split in records.SPLITS:
        for example in dataset.examples(split):
            assert example.boxes_xyxy.tolist() == [[0, 0, 64, 64]], "with the letterbox's padding"
            assert dataset.classes[example.labels[0]] == example.source.split("/")[1]
            assert not example.ignore.any()
    assert "; 9 cat, 10 dog, 0 repairs, 3 files rejected" in capsys.readouterr().out


def test_a_table_of_numbers_and_grey_equalized_images(tmp_path: Path) -> None:
    shades(tmp_path / "raw" / "images", 20, "L", first=50)
    for path in (tmp_path / "raw" / "images").iterdir():
        with Image.open(path) as image:
            image.putpixel((0, 0), 40)
            image.save(path)
    rows = [f"images/{index:03d}.png 0.{index % 2} mono" for index in range(50, 70)]
    (tmp_path / "raw" / "labels.csv").write_text("\n".join(rows))
    table = TableConfig(file="labels.csv", threshold=0.1)
    data = {"task": "classification", "format": "table", "table": table, "classes": ["whole", "broken"]}
    preprocess.run(config(tmp_path, data=data, encoding="png", channels=1, enhance="equalize", fit="stretch"))
    dataset = records.load_dataset(tmp_path / "out")
    assert (dataset.channels, dataset.enhance, dataset.classes) == (1, "equalize", ["whole", "broken"])
    settings = dataset.about["settings"]
    assert (settings["channels"], settings["enhance"], settings["table"]["threshold"]) == (1, "equalize", 0.1)
    for example in dataset.examples("test"):
        assert example.labels.tolist() == [int(example.source[-5]) % 2]
        pixels = images.decode(example.image, 1)
        assert pixels.shape == (64, 64, 1) and (pixels.min(), pixels.max()) == (0, 255)
        path = tmp_path / "raw" / example.source
        served, _ = images.load_input(path, 64, "stretch", channels=1, enhance="equalize")
        assert (served == pixels).all(), "what is served is what was learnt"


def test_crops_of_a_photograph_stay_in_its_split(tmp_path: Path) -> None:
    """The photograph's columns tell where each crop came from."""
    columns = np.repeat(np.arange(90, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    boxes = [Box(10, 10, 30, 30, "x"), Box(50, 20, 80, 50, "y")]
    for index in range(10):
        columns[0, 0, 0] = index
        save(tmp_path / "raw" / f"{index}.png", Image.fromarray(columns), boxes)
    preprocess.run(config(tmp_path, data={"task": "localization", "several": "crop"}, encoding="png"))
    dataset = records.load_dataset(tmp_path / "out")
    splits: dict[str, set[str]] = {}
    for split in records.SPLITS:
        for example in dataset.examples(split):
            splits.setdefault(example.source, set()).add(split)
            number = int(example.labels[0])
            window = ["0,0,50,60", "30,0,90,60"][number]
            assert example.image_id == f"{example.source}#{window}"
            ours = images.boxes_from_input(example.boxes_xyxy, example.placement)
            expected = [[boxes[number].x1, boxes[number].y1, boxes[number].x2, boxes[number].y2]]
            np.testing.assert_allclose(ours, expected, atol=1e-4)
            shown = images.decode(example.image)[32, 32, 0]  # the middle of the window
            assert abs(int(shown) - (25, 60)[number]) <= 1
    assert len(splits) == 10 and all(len(places) == 1 for places in splits.values())
    assert sum(counts["images"] for counts in dataset.splits.values()) == 20


@pytest.mark.parametrize(("several", "kept", "label"), [("reject", 0, None), ("largest", 5, "y")])
def test_photographs_of_several_objects(tmp_path: Path, several: str, kept: int, label: str | None) -> None:
    for index in range(15):
        image = Image.new("RGB", (64, 64), (index, 0, 0))
        boxes = [Box(1, 1, 20, 20, "x"), Box(10, 10, 50, 50, "y")]
        boxes = boxes if index >= 10 else [boxes[index % 2]]
        save(tmp_path / "raw" / f"{index:02d}.png", image, boxes)
    preprocess.run(config(tmp_path, data={"task": "localization", "several": several}))
    dataset = records.load_dataset(tmp_path / "out")
    found = [example for split in records.SPLITS for example in dataset.examples(split) if example.source >= "10"]
    assert len(found) == kept
    assert all([dataset.classes[index] for index in example.labels] == [label] for example in found)
    assert dataset.about["repaired"] == ({"object_dropped": 5} if kept else {})
    assert len(rejected(tmp_path / "out")) == 5 - kept


def test_a_val_folder_can_be_merged_into_train(tmp_path: Path) -> None:
    for at, label in enumerate("ab"):
        shades(tmp_path / "raw" / "train" / label, 10, first=100 * at)
        shades(tmp_path / "raw" / "val" / label, 1, first=100 * at + 20)
        shades(tmp_path / "raw" / "test" / label, 3, first=100 * at + 30)
    data = {"task": "classification", "format": "folder"}
    preprocess.run(config(tmp_path, SplitConfig(val=0.5, merge_val=True), data))
    counts = {split: part["images"] for split, part in records.load_dataset(tmp_path / "out").splits.items()}
    assert counts == {"train": 11, "val": 11, "test": 6}


def test_nothing_fit_for_the_task_says_why(tmp_path: Path) -> None:
    for index in range(4):
        save(
            tmp_path / "raw" / f"{index}.png", Image.new("RGB", (64, 64)), [Box(1, 1, 9, 9, "x"), Box(1, 1, 9, 9, "y")]
        )
    with pytest.raises(MiradaError, match=r"no image fit for data\.task=classification, 4 files .* several_labels"):
        preprocess.run(config(tmp_path, data={"task": "classification"}))
    assert not (tmp_path / "out").exists()
