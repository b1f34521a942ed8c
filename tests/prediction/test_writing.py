"""Texts worked out by hand, of a photograph of 200 x 100 pixels with a cat and a dog."""

import json
from xml.etree import ElementTree

import yaml

from mirada.prediction.findings import Finding
from mirada.prediction.writing import (
    coco,
    csv_rows,
    json_line,
    label_studio_task,
    label_studio_view,
    voc_xml,
    yolo_rows,
    yolo_yaml,
)

LABELS = ["dog", "cat"]
FOUND = Finding("in/b c.jpg", 200, 100, ["cat", "dog"], [0.75, 0.5], [[10, 20, 50, 60], [0, 0, 200, 33.336]])
NOTHING = Finding("d.jpg", 200, 100, [], [], [])
SORTED = Finding("e.jpg", 200, 100, ["cat"], [0.75], None)


def test_coco():
    content = coco([NOTHING, FOUND], LABELS, "a test")
    assert content["info"]["description"] == "a test"
    assert [image["file_name"] for image in content["images"]] == ["d.jpg", "in/b c.jpg"]
    first, second = content["annotations"]
    assert first == {
        "id": 1, "image_id": 2, "category_id": 2, "bbox": [10, 20, 40, 40], "area": 1600, "score": 0.75, "iscrowd": 0,
    }  # fmt: skip
    assert (second["id"], second["category_id"], second["bbox"]) == (2, 1, [0, 0, 200, 33.336])


def test_voc():
    root = ElementTree.fromstring(voc_xml(FOUND))
    assert root.findtext("filename") == "b c.jpg"
    assert (root.findtext("size/width"), root.findtext("size/height")) == ("200", "100")
    cat, dog = root.findall("object")
    assert [cat.findtext(key) for key in ("name", "score", "bndbox/xmin", "bndbox/ymax")] == [
        "cat",
        "0.7500",
        "10",
        "60",
    ]
    assert dog.findtext("bndbox/ymax") == "33.34"


def test_yolo():
    assert yolo_rows(FOUND, LABELS).splitlines() == [
        "1 0.150000 0.400000 0.200000 0.400000",
        "0 0.500000 0.166680 1.000000 0.333360",
    ]
    assert yolo_rows(NOTHING, LABELS) == ""
    assert yaml.safe_load(yolo_yaml(["no", "1.0"])) == {"nc": 2, "names": {0: "no", 1: "1.0"}}


def test_csv():
    assert csv_rows(FOUND)[0] == ["in/b c.jpg", "200", "100", "cat", "10", "20", "50", "60", "0.7500"]
    assert csv_rows(NOTHING) == [["d.jpg", "200", "100", "", "", "", "", "", ""]]
    assert csv_rows(SORTED) == [["e.jpg", "200", "100", "cat", "0", "0", "200", "100", "0.7500"]]


def test_json_lines():
    line = json_line(FOUND)
    assert line.count("\n") == 1
    content = json.loads(line)
    assert (content["file"], content["width"], content["height"]) == ("in/b c.jpg", 200, 100)
    assert content["objects"][0] == {"label": "cat", "score": 0.75, "box": [10, 20, 50, 60]}
    assert json.loads(json_line(SORTED))["objects"] == [{"label": "cat", "score": 0.75, "box": None}]


def test_label_studio():
    task = label_studio_task(FOUND, "trees int8")
    assert task["data"]["image"] == "/data/local-files/?d=in/b%20c.jpg"
    prediction = task["predictions"][0]
    assert (prediction["model_version"], prediction["score"]) == ("trees int8", 0.625)
    first = prediction["result"][0]
    assert (first["type"], first["original_width"], first["original_height"]) == ("rectanglelabels", 200, 100)
    value = {"x": 5, "y": 20, "width": 20, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
    assert first["value"] == value
    choice = label_studio_task(SORTED, "m")["predictions"][0]["result"][0]
    assert (choice["type"], choice["value"]) == ("choices", {"choices": ["cat"]})
    view = ElementTree.fromstring(label_studio_view(LABELS, boxes=True))
    assert [entry.get("value") for entry in view.iter("Label")] == LABELS
    assert view.find("RectangleLabels").get("name") == first["from_name"]
    assert [e.get("value") for e in ElementTree.fromstring(label_studio_view(LABELS, False)).iter("Choice")] == LABELS
