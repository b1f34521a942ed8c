"""The stage `inspect`: folders with known faults, and what comes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.config import DataConfig, InspectConfig, SplitConfig
from mirada.data.images import decode
from mirada.errors import MiradaError
from mirada.stages import inspect
from tests.data.formats.drawing import write
from tests.squares import LABELS, draw_example

PROJECT = Path(__file__).resolve().parents[2]


def xml(*boxes: tuple[float, float, float, float, str], size: tuple[int, int] = (320, 240)) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d, label in boxes
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"


def photograph(path: Path, seed: int, size: tuple[int, int] = (320, 240)) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size).save(path)


def raw(folder: Path, images: int = 12) -> Path:
    """VOC: images with a cat and a dog each, 60 and 80 pixels large."""
    for number in range(images):
        photograph(folder / f"{number}.png", number)
        write(folder, f"{number}.xml", xml((10, 10, 70, 70, "cat"), (100, 100, 180, 180, "dog")))
    return folder


def run(source: Path, target: Path, name: str = "auto", **config: Any) -> dict[str, Any]:
    data = config.pop("data", None) or DataConfig(
        format=name, task="auto" if name == "auto" else "detection", path=str(source)
    )
    inspect.run(InspectConfig(data=data, output_dir=str(target), **config))
    return json.loads((target / "findings.json").read_text())


def ids(content: dict[str, Any]) -> set[str]:
    return {finding["id"] for finding in content["findings"]}


def test_faults_are_found_and_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = raw(tmp_path / "raw", 40)
    (folder / "broken.jpg").write_text("<html>not found</html>")
    write(folder, "broken.xml", xml((1, 1, 9, 9, "cat")))
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    write(folder, "copy.xml", xml((10, 10, 70, 70, "cat"), (10, 10, 70, 69, "cat"), (300, 200, 500, 230, "dog")))
    Image.new("RGB", (320, 240), (50, 50, 50)).save(folder / "flat.png")
    write(folder, "flat.xml", xml())
    content = run(folder, tmp_path / "out")
    assert ids(content) >= {
        "left_out.image_is_text", "boxes_repeated", "repaired.box_clipped", "image_constant", "image_without_objects"
    }  # fmt: skip
    assert ids(content) & {"copies", "copies_across_splits"}
    assert (content["format"], content["task"], content["images"], content["left_out"]) == ("voc", "detection", 42, 1)
    [repeated] = [finding for finding in content["findings"] if finding["id"] == "boxes_repeated"]
    assert repeated["count"] == 1 and repeated["examples"][0]["file"] == "copy.png"
    assert repeated["examples"][0]["boxes"] == [
        {"box_xyxy": [10, 10, 70, 70], "label": "cat"}, {"box_xyxy": [10, 10, 70, 69], "label": "cat"}
    ]  # fmt: skip
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("data:image/webp") >= 5 and "broken.jpg" in page and "http" not in page.partition("<style>")[0]
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) < 24 and "data=voc" in lines[0] and lines[-1].endswith(f"{tmp_path}/out/index.html")
    assert not list(tmp_path.glob(".out*")) and json.loads((tmp_path / "out.verdict.json").read_text()) == {
        "passed": True
    }


def test_sound_data_bring_no_error(tmp_path: Path) -> None:
    content = run(raw(tmp_path / "raw", 60), tmp_path / "out")
    assert {finding["severity"] for finding in content["findings"]} <= {"note", "warning"}
    assert ids(content) <= {"class_hard_to_judge", "class_rare"}
    assert (
        sum(content["units"].values()) == 60
        and sum(content["objects"]["train"].values()) == 2 * content["units"]["train"]
    )


def test_the_same_page_comes_of_any_number_of_workers(tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw")
    assert run(folder, tmp_path / "a", workers=1) == run(folder, tmp_path / "b", workers=3)


def test_an_archive_is_looked_at_as_its_folder(tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    assert run(tmp_path / "raw.zip", tmp_path / "a") == run(folder, tmp_path / "b")


def test_what_preprocess_would_refuse_is_an_error_on_the_page(tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw")
    data = DataConfig(path=str(folder), classes=["cat", "horse"])
    content = run(folder, tmp_path / "out", data=data)
    assert content["findings"][0]["id"] == "refused" and "'horse'" in content["findings"][0]["sentence"]


def test_a_folder_without_a_usable_image_has_a_page_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", "a.xml", xml((1, 1, 9, 9, "cat")))
    (folder / "a.jpg").write_bytes(b"")
    content = run(folder, tmp_path / "out", "voc")
    assert ids(content) == {"refused", "left_out.image_unreadable"} and content["images"] == 0


def test_class_folders_are_looked_at_as_well(tmp_path: Path) -> None:
    for number in range(12):
        photograph(tmp_path / "raw" / ("cat" if number % 2 else "dog") / f"{number}.png", number)
    photograph(tmp_path / "raw/cat/9.png", 0)  # the dog's picture 0, as a cat
    content = run(tmp_path / "raw", tmp_path / "out")
    assert (content["format"], content["task"]) == ("folder", "classification")
    assert "left_out.copies_disagree" in ids(content)


def test_photographs_split_by_area_are_counted_by_tiles(tmp_path: Path) -> None:
    from mirada.config import TileConfig

    photograph(tmp_path / "raw/a.png", 0, (1000, 500))
    write(tmp_path / "raw", "a.xml", xml(*((x, 50, x + 30, 80, "tree") for x in range(10, 960, 50))))
    data = DataConfig(path=str(tmp_path / "raw"), tile=TileConfig(160), split=SplitConfig(kind="area", test=0.3))
    content = run(tmp_path / "raw", tmp_path / "out", data=data)
    assert set(content["units"]) == {"train", "val", "test"} and "tile" not in ids(content)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"fail_on": "sometimes"}, "fail_on must be one of never, error, warning"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"channels": 2}, "channels must be 3"),
        ({"examples": 51}, "examples must be between 0 and 50"),
    ],
)
def test_settings_out_of_range(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence):
        InspectConfig(output_dir="out", **config)


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match="nowhere is no folder and no archive: correct data.path, or run fetch first"):
        run(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MiradaError, match="no labels that are known|holds"):
        run(tmp_path / "empty", tmp_path / "out")


def test_fail_on_stops_after_the_page_is_written(tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw")
    target = tmp_path / "out"
    with pytest.raises(MiradaError, match="fail_on=warning stops here, for .*class_|fail_on=warning stops here"):
        run(folder, target, fail_on="warning")
    assert (target / "index.html").is_file() and not (tmp_path / "out.verdict.json").exists()
    run(folder, target, fail_on="error")
    assert (tmp_path / "out.verdict.json").is_file()


def test_off_by_a_key(tmp_path: Path) -> None:
    content = run(tmp_path / "nowhere", tmp_path / "out", enabled=False)
    assert content == {"enabled": False, "findings": []}
    assert (
        "nothing was looked at" in (tmp_path / "out/index.html").read_text()
        and (tmp_path / "out.verdict.json").is_file()
    )


def squares(folder: Path) -> Path:
    """Twelve images of squares with their true labels, but for mistakes in three of them."""
    for number in range(1, 13):
        example = draw_example(number)
        Image.fromarray(decode(example.image)).save((folder.mkdir(exist_ok=True) or folder) / f"{number}.png")
        boxes = [
            (*map(float, corners), LABELS[label])
            for corners, label in zip(example.boxes_xyxy, example.labels, strict=True)
        ]
        if number == 5:  # one square: the other colour
            boxes = [(*boxes[0][:4], LABELS[1 - LABELS.index(boxes[0][4])])]
        if number == 6:  # two squares: the first is forgotten
            boxes = boxes[1:]
        write(folder, f"{number}.xml", xml(*boxes, size=(64, 64)))
    return folder


def test_a_model_finds_the_mistakes_that_were_put_in(tmp_path: Path, squares_folder: Path) -> None:
    content = run(squares(tmp_path / "raw"), tmp_path / "out", model_dir=str(squares_folder / "model"), input_size=64)
    [finding] = [finding for finding in content["findings"] if finding["id"] == "label_errors"]
    assert sorted(example["file"] for example in finding["examples"]) == ["5.png", "6.png"]
    notes = {example["file"]: example["note"] for example in finding["examples"]}
    assert notes["5.png"].startswith("labelled") and notes["6.png"].startswith("no label, the model says")
    assert {path.name for path in (tmp_path / "out/labels").iterdir()} == {
        "suspects.csv",
        "tasks.json",
        "view.xml",
    }


def test_a_model_that_does_not_fit(tmp_path: Path, squares_folder: Path) -> None:
    model = str(squares_folder / "model")
    with pytest.raises(MiradaError, match="knows red, blue, and the data have cat, dog: give a model of these classes"):
        run(raw(tmp_path / "raw"), tmp_path / "out", model_dir=model)
    for number in range(8):
        photograph(tmp_path / "folders" / ("red" if number % 2 else "blue") / f"{number}.png", number)
    with pytest.raises(MiradaError, match="is a model for detection, and data.task is classification"):
        run(tmp_path / "folders", tmp_path / "out", model_dir=model)
    with pytest.raises(MiradaError, match="variants.json is missing: run the quantize stage first"):
        run(tmp_path / "raw", tmp_path / "out", model_dir=str(tmp_path))


@pytest.mark.slow
def test_the_command_is_the_doctor(tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw (é)")
    command = [sys.executable, str(PROJECT / "src/inspect.py"), "data=auto", f"data.path='{folder}'", "output_dir=out"]
    done = subprocess.run(
        [*command, "fail_on=error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.splitlines()[-1].endswith("out/index.html")
    done = subprocess.run([*command, "examples=99"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "error: examples must be between 0 and 50, got 99.\n")
