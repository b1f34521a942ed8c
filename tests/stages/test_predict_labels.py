import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mirada.config import TableConfig
from mirada.data.formats.writing import corners_of
from mirada.stages import predict
from tests.data.formats.drawing import Reading
from tests.singles import draw_single, write_singles
from tests.singles import write_variants as write_single_variants
from tests.stages.test_predict import content_of, draw_photos, make_config, rows_of

COUNTS = [0, 1, 2, 0, 1, 2, 0, 1]  # squares of the eight photographs


@pytest.fixture
def model(squares_folder) -> Path:
    return squares_folder / "model"


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path / "photos")


@pytest.mark.parametrize("name", ["voc", "coco", "yolo", "cvat", "label_studio", "labelme", "csv", "jsonl"])
def test_the_way_round_predict_then_read_again(model, photos, tmp_path, name):
    """The labels copied over the photographs are read by the project's own reader: the same boxes, and negatives."""
    found = predict.run(make_config(model, photos, tmp_path / "out", formats=[name]))
    shutil.copytree(tmp_path / "out" / "labels" / name, photos, dirs_exist_ok=True)
    read = Reading(photos, name)
    assert read.reasons == []
    assert [len(read.images[file].boxes) for file in sorted(found)] == COUNTS
    for file, one in found.items():
        assert read.images[file].repairs == ()
        assert [box.label for box in read.images[file].boxes] == one.labels
        corners = [corners_of(box) for box in read.images[file].boxes]
        assert corners == [pytest.approx(box, rel=0, abs=5.1e-5) for box in one.boxes]


@pytest.mark.parametrize("name", ["coco", "csv", "jsonl", "label_studio", "table", "folder"])
def test_the_way_round_with_classes(tmp_path, name):
    write_single_variants(tmp_path / "model", write_singles(tmp_path / "data", "classification"))
    for number in range(4):
        path = tmp_path / "photos" / ("more" if number > 2 else ".") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_single("classification", number).image)
    found = predict.run(make_config(tmp_path / "model", tmp_path / "photos", tmp_path / "out", formats=[name]))
    labels = tmp_path / "out" / "labels" / name
    if name != "folder":  # which holds the photographs
        shutil.copytree(labels, tmp_path / "photos", dirs_exist_ok=True)
    table = TableConfig("labels.csv", ",", header=True)
    read = Reading(labels if name == "folder" else tmp_path / "photos", name, table=table, task="classification")
    assert read.reasons == [] and len(read.images) == 4
    for source, image in read.images.items():
        (one,) = (one for file, one in found.items() if Path(file).stem == Path(source).stem.removeprefix("more_"))
        (box,) = image.boxes
        assert (box.label, corners_of(box)) == (one.labels[0], (0, 0, 64, 64))


def test_a_score_is_kept_as_each_tool_expects_it(model, photos, tmp_path):
    formats = ["voc", "yolo", "csv", "jsonl", "label_studio", "labelme", "cvat", "coco"]
    found = predict.run(make_config(model, photos, tmp_path / "out", formats=formats, row_scores=True))
    labels, score = tmp_path / "out" / "labels", found["1.png"].scores[0]
    text = f"{score:.4f}".rstrip("0").rstrip(".")
    assert ElementTree.parse(labels / "voc/1.xml").findtext("object/score") == text
    assert (labels / "yolo/1.txt").read_text().split()[5] == f"{score:.6f}"
    rows = [row for row in rows_of(labels / "csv/annotations.csv") if row["filename"] == "1.png"]
    assert [row["score"] for row in rows] == [text]
    assert json.loads((labels / "jsonl/annotations.jsonl").read_text().splitlines()[1])["objects"][0]["score"] == score
    task = json.loads((labels / "label_studio/tasks.json").read_text())[1]["predictions"][0]
    assert (task["score"], task["result"][0]["score"]) == (score, score)
    assert json.loads((labels / "labelme/1.json").read_text())["shapes"][0]["description"] == f"score {text}"
    box = ElementTree.parse(labels / "cvat/annotations.xml").find("image[@name='1.png']/box")
    assert (box.get("source"), box.findtext("attribute")) == ("auto", text)
    coco = json.loads((labels / "coco/_annotations.coco.json").read_text())
    assert coco["annotations"] == content_of(tmp_path / "out")["annotations"]
    assert coco["annotations"][0]["score"] == score
