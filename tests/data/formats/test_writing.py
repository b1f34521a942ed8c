"""Texts worked out by hand, of a photograph of 200 x 100 pixels with a cat and a dog, and of one without either."""

import csv
import io
import json
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.config import LABEL_FORMATS
from mirada.data.folders.texts import clean_label
from mirada.data.formats import WRITERS
from mirada.data.formats.writing import LabelSet, Written, corners_of, name_outputs
from mirada.data.records import Box
from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw

CAT, DOG = Box(10, 20, 50, 60, "cat"), Box(0, 0, 200, 33.33612, "dog", True)
PHOTO = Written("in/b c.jpg", 200, 100, (CAT, DOG))
FOUND = Written("in/b c.jpg", 200, 100, (CAT, DOG), (0.75, 0.5), about={"left_out": 3})
NOTHING = Written("d.jpg", 200, 100, ())
SORTED = Written("e.jpg", 200, 100, (Box(0, 0, 200, 100, "cat"),), (0.75,), whole=True)
CLASSES = ["dog", "cat"]


def texts(name: str, *images: Written, model: str | None = "trees int8", **more: bool) -> dict[str, str]:
    return dict(WRITERS[name].write(LabelSet(images, CLASSES, model, "a test", **more)))


def test_every_format_of_the_settings_has_a_writer() -> None:
    assert set(WRITERS) == set(LABEL_FORMATS)


def test_coco() -> None:
    content = json.loads(texts("coco", NOTHING, FOUND)["_annotations.coco.json"])
    assert content["info"]["description"] == "a test"
    assert [category["name"] for category in content["categories"]] == CLASSES
    assert [image["file_name"] for image in content["images"]] == ["d.jpg", "in/b c.jpg"]
    assert content["images"][1]["left_out"] == 3
    cat, dog = content["annotations"]
    assert cat == {
        "id": 1, "image_id": 2, "category_id": 2, "bbox": [10, 20, 40, 40], "area": 1600, "score": 0.75, "iscrowd": 0,
        "segmentation": [],
    }  # fmt: skip
    assert dog["bbox"] == [0, 0, 200, 33.33612]  # every digit
    assert (dog["id"], dog["category_id"], dog["iscrowd"], dog["ignore"]) == (2, 1, 1, 1)


def test_coco_has_a_file_a_split() -> None:
    images = [Written(f"{split}.jpg", 9, 9, (), split=split) for split in ("val", "train")]
    assert [*texts("coco", *images)] == ["train/_annotations.coco.json", "val/_annotations.coco.json"]


def test_voc() -> None:
    ((path, text),) = texts("voc", FOUND).items()
    root = ElementTree.fromstring(text)
    assert (path, root.findtext("filename")) == ("in/b c.xml", "b c.jpg")
    assert (root.findtext("size/width"), root.findtext("size/height")) == ("200", "100")
    cat, dog = root.findall("object")
    tags = ("name", "difficult", "score", "bndbox/xmin", "bndbox/ymax")
    assert [cat.findtext(tag) for tag in tags] == ["cat", "0", "0.75", "10", "60"]
    assert [dog.findtext(tag) for tag in tags] == ["dog", "1", "0.5", "0", "33.3361"]
    assert "score" not in texts("voc", PHOTO)["in/b c.xml"]


def test_yolo() -> None:
    found = texts("yolo", FOUND, NOTHING)
    assert found["in/b c.txt"].splitlines() == [
        "1 0.15000000 0.40000000 0.20000000 0.40000000",
        "0 0.50000000 0.16668060 1.00000000 0.33336120",
    ]
    assert found["d.txt"] == ""
    assert yaml.safe_load(found["data.yaml"]) == {"nc": 2, "names": {0: "dog", 1: "cat"}}
    assert texts("yolo", FOUND, row_scores=True)["in/b c.txt"].splitlines()[0].endswith(" 0.40000000 0.750000")
    labelled = texts("yolo", Written("b.jpg", 9, 9, (), split="val"), model=None)
    assert [*labelled] == ["labels/val/b.txt", "data.yaml"]
    assert yaml.safe_load(labelled["data.yaml"])["val"] == "images/val"


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(texts("csv", FOUND, NOTHING)["annotations.csv"])))
    size = {"filename": "in/b c.jpg", "width": "200", "height": "100"}
    corners = {"xmin": "10", "ymin": "20", "xmax": "50", "ymax": "60"}
    assert rows[0] == size | corners | {"class": "cat", "difficult": "0", "score": "0.75"}
    assert (rows[1]["difficult"], rows[1]["ymax"]) == ("1", "33.3361")
    assert rows[2] == dict.fromkeys(rows[0], "") | {"filename": "d.jpg", "width": "200", "height": "100"}
    plain = texts("csv", NOTHING, model=None)["annotations.csv"]
    assert plain.splitlines()[0] == "filename,width,height,class,xmin,ymin,xmax,ymax"


def test_json_lines() -> None:
    first, second = map(json.loads, texts("jsonl", FOUND, SORTED)["annotations.jsonl"].splitlines())
    assert (first["file"], first["width"], first["height"], first["left_out"]) == ("in/b c.jpg", 200, 100, 3)
    assert first["objects"][0] == {"label": "cat", "box": [10, 20, 50, 60], "difficult": False, "score": 0.75}
    assert second["objects"] == [{"label": "cat", "box": None, "difficult": False, "score": 0.75}]


def test_label_studio() -> None:
    found = texts("label_studio", FOUND)
    (task,) = json.loads(found["tasks.json"])
    assert task["data"]["image"] == "/data/local-files/?d=in/b%20c.jpg"
    prediction = task["predictions"][0]
    assert (prediction["model_version"], prediction["score"]) == ("trees int8", 0.625)
    cat, dog = prediction["result"]
    assert (cat["type"], cat["original_width"], cat["original_height"], cat["score"]) == (
        "rectanglelabels", 200, 100, 0.75,
    )  # fmt: skip
    assert cat["value"] == {"x": 5, "y": 20, "width": 20, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
    assert "meta" not in cat and dog["meta"] == {"text": ["difficult"]}
    view = ElementTree.fromstring(found["view.xml"])
    assert [entry.get("value") for entry in view.iter("Label")] == CLASSES
    kind = view.find("RectangleLabels")
    assert kind is not None and kind.get("name") == cat["from_name"]
    assert json.loads(texts("label_studio", NOTHING, model=None)["tasks.json"])[0]["annotations"] == [{"result": []}]


def test_label_studio_asks_for_a_choice_where_labels_are_of_the_whole() -> None:
    found = texts("label_studio", SORTED)
    choice = json.loads(found["tasks.json"])[0]["predictions"][0]["result"][0]
    assert (choice["type"], choice["value"]) == ("choices", {"choices": ["cat"]})
    assert [entry.get("value") for entry in ElementTree.fromstring(found["view.xml"]).iter("Choice")] == CLASSES


def test_labelme() -> None:
    content = json.loads(texts("labelme", FOUND)["in/b c.json"])
    assert (content["imagePath"], content["imageWidth"], content["imageHeight"]) == ("b c.jpg", 200, 100)
    cat, dog = content["shapes"]
    assert (cat["label"], cat["points"], cat["shape_type"]) == ("cat", [[10, 20], [50, 60]], "rectangle")
    assert (cat["description"], cat["flags"], dog["flags"]) == ("score 0.75", {}, {"difficult": True})
    assert json.loads(texts("labelme", NOTHING, model=None)["d.json"])["shapes"] == []


def test_cvat() -> None:
    images = [FOUND, Written("x.jpg", 9, 8, (), split="val")]
    root = ElementTree.fromstring(texts("cvat", *images)["annotations.xml"])
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == CLASSES
    assert [name.text for name in root.findall("meta/task/labels/label[1]/attributes/attribute/name")] == [
        "difficult",
        "score",
    ]
    first, second = root.findall("image")
    cat, dog = first.findall("box")
    assert [cat.get(key) for key in ("label", "xtl", "ytl", "xbr", "ybr", "source")] == [
        "cat",
        "10",
        "20",
        "50",
        "60",
        "auto",
    ]
    assert [attribute.text for attribute in cat] == ["false", "0.75"]
    assert [attribute.text for attribute in dog] == ["true", "0.5"] and dog.get("ybr") == "33.3361"
    assert second.attrib == {"id": "1", "name": "val/x.jpg", "subset": "val", "width": "9", "height": "8"}
    plain = ElementTree.fromstring(texts("cvat", Written("a.jpg", 100, 80, (CAT,)), model=None)["annotations.xml"])
    box = plain.find("image/box")
    assert box is not None and len(box) == 0 and box.get("source") == "manual"


def test_classes_of_whole_images() -> None:
    image = Written("in/e.jpg", 9, 9, SORTED.boxes, split="val", whole=True)
    assert WRITERS["folder"].place(image) == "val/cat/in_e.jpg" and texts("folder", image) == {}
    assert texts("table", image) == {"labels.csv": "image,class\nval/in/e.jpg,cat\n"}


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (
            NOTHING,
            r"d\.jpg shows no object, and a folder or a table of classes holds one class an image: choose a format",
        ),
        (PHOTO, r"in/b c\.jpg shows objects of several classes \(cat, dog\), and"),
    ],
)
def test_what_has_no_class_of_its_own_is_refused(image: Written, why: str) -> None:
    with pytest.raises(MiradaError, match=why):
        WRITERS["folder"].place(image)
    with pytest.raises(MiradaError, match=why):
        texts("table", image)


@pytest.mark.parametrize("label", ["a/b", "..", "a\\b", ".hidden"])
def test_a_class_that_is_no_folder_is_refused(label: str) -> None:
    with pytest.raises(MiradaError, match="can't be the name of a folder: give it another"):
        WRITERS["folder"].place(Written("a.jpg", 9, 9, (Box(0, 0, 9, 9, label),)))


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_format_has_no_place_for_is_counted(name: str) -> None:
    lost = WRITERS[name].losses(LabelSet([PHOTO, FOUND, SORTED, NOTHING], CLASSES))
    flags = {"flag difficult": 2} if name in ("yolo", "folder", "table") else {}
    assert lost == ({"box": 4} if name in ("folder", "table") else {}) | flags


def test_files_are_stored_whole(tmp_path: Path) -> None:
    WRITERS["voc"].store(LabelSet([PHOTO, NOTHING], CLASSES), tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == ["d.xml", "in/b c.xml"]


def test_outputs_of_pictures_that_differ_by_the_suffix_alone_stay_apart():
    names = ["x/a.jpg", "x/a.png", "a.jpg", "x/A.tif", "bare"]
    assert list(name_outputs(names)) == ["x/a", "x/a.png", "a", "x/A.tif", "bare"]


SIZES = {"a.jpg": (100, 80), "b c.v2.png": (37, 4999), "in/a.jpg": (7, 3), "ä.jpg": (100, 80)}
names = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1).map(clean_label).filter(bool)
# Ten-thousandths of a side; a box has one at least, which of the smallest side is three ten-thousandths of a pixel.
sides = st.lists(st.integers(0, 10_000), min_size=2, max_size=2, unique=True).map(sorted)
Share = tuple[list[int], list[int], bool, int]
shares = st.tuples(sides, sides, st.booleans(), st.integers(0, 2))


def place_of(share: Share) -> tuple[int, ...]:
    return *share[0], *share[1]


def box_of(share: Share, size: tuple[int, int], classes: list[str]) -> Box:
    (x1, x2), (y1, y2), difficult, label = share
    wide, high = size
    corners = x1 * wide / 10_000, y1 * high / 10_000, x2 * wide / 10_000, y2 * high / 10_000
    return Box(*corners, classes[label], difficult)  # type: ignore[misc, arg-type]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name, size in SIZES.items():
        draw(folder, name, size=size)
    return folder


@pytest.mark.parametrize("model", ["trees int8", None])
@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("folder", "table")])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    things=st.lists(st.lists(shares, max_size=3, unique_by=place_of), min_size=4, max_size=4),
    classes=st.lists(names, min_size=3, max_size=3, unique=True),
)
def test_any_labels_are_read_as_they_were_written(
    name: str, model: str | None, photographs: Path, things: list[list[object]], classes: list[str]
) -> None:
    """What a model found is laid over the photographs; labels of people have the layout of their format."""
    images = []
    for (file, size), shares_of in zip(SIZES.items(), things, strict=True):
        boxes = tuple(box_of(share, size, classes) for share in shares_of)  # type: ignore[arg-type]
        images.append(Written(file, *size, boxes, (0.5,) * len(boxes) if model else ()))
    labels = LabelSet(images, classes, model)
    with tempfile.TemporaryDirectory() as place:
        for image in images:
            at = Path(place) / (image.path if model else WRITERS[name].place(image))
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(photographs / image.path)
        WRITERS[name].store(labels, Path(place))
        found = Reading(Path(place), name)
        assert found.reasons == []
        read = {source.removeprefix("images/"): image for source, image in found.images.items()}
    assert set(read) == set(SIZES)
    for image in images:
        mine = read[image.path]
        assert [code for code in mine.repairs if "decoded" not in code] == []
        assert [box.label for box in mine.boxes] == [box.label for box in image.boxes]
        for box, wanted in zip(mine.boxes, image.boxes, strict=True):
            assert corners_of(box) == pytest.approx(corners_of(wanted), rel=0, abs=1.01e-4)
            assert box.difficult == (wanted.difficult and WRITERS[name].keeps_difficult)
