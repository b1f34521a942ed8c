"""CVAT, labelme and tables of boxes as tools export them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.data.formats.drawing import Reading, draw, write

CAT_BOX = (10, 20, 30, 40, "cat")


def test_cvat_images(tmp_path: Path) -> None:
    shapes = """
      <box label="cat" xtl="10" ytl="20" xbr="30" ybr="40"/>
      <box label="ship" xtl="40" ytl="35" xbr="60" ybr="45" rotation="90.0"/>
      <polygon label="cat" points="1,2;9,3;5,30"/>
      <ellipse label="cat" cx="50" cy="40" rx="10" ry="5"/>
      <mask label="cat" rle="1, 2, 1, 2" left="5" top="6" width="3" height="2"/>
      <polyline label="cat" points="1,2;9,3"/><points label="cat" points="1,2"/><tag label="cat"/>
      <box label=" " xtl="10" ytl="20" xbr="30" ybr="40"/>
      <box label="cat" xtl="x" ytl="20" xbr="30" ybr="40"/>"""
    image = f'<image id="0" name="sub\\a.jpg" width="100" height="80" subset="Train">{shapes}</image>'
    empty = '<image id="1" name="b.jpg" width="100" height="80"/><image id="2" name="gone.jpg"><tag label="x"/></image>'
    write(
        draw(tmp_path, "images/a.jpg", "images/b.jpg"), "annotations.xml", f"<annotations>{image}{empty}</annotations>"
    )
    found = Reading(tmp_path, "cvat")
    assert found.boxes("images/a.jpg") == [
        CAT_BOX,
        (45, 30, 55, 50, "ship"),
        (1, 2, 9, 30, "cat"),
        (40, 35, 60, 45, "cat"),
        (6, 6, 8, 8, "cat"),  # of 3 x 2 pixels the right two columns
    ]
    assert found.repairs("images/a.jpg") == [
        "box_unreadable",
        "mask_enclosed",
        "name_missing",
        "polygon_enclosed",
        "polygon_enclosed",
        "rotated_box_enclosed",
        *["shape_without_area"] * 3,
    ]
    assert found.boxes("images/b.jpg") == [] and found.splits == {"images/a.jpg": "train", "images/b.jpg": None}
    assert found.reasons == [("annotations.xml: image 2", "labels_without_image", 1)]


_CVAT = """<annotations><image id="0" name="a.jpg"><box label="cat" occluded="1" xtl="10" ytl="20" xbr="30" ybr="40"/>
  <box label="cat" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4"><attribute name="truncated">true</attribute></box>
  <box label="cat" xtl="5" ytl="6" xbr="7" ybr="8"/></image></annotations>"""
_SAID: list[dict[str, Any]] = [{"occluded": True}, {"occluded": 0, "truncated": 1}, {"truncated": -1}]
_BOXES = [[10, 20, 30, 40], [1, 2, 3, 4], [5, 6, 7, 8]]
_LABELME = {
    "imagePath": "a.jpg",
    "shapes": [
        {"label": "cat", "shape_type": "rectangle", "points": [box[:2], box[2:]], "flags": said}
        for box, said in zip(_BOXES, _SAID, strict=True)
    ],
}
_COCO_OBJECTS = [{"image_id": 1, "category_id": 1, "bbox": [at, 2, 3, 4]} for at in range(3)]
_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        _COCO_OBJECTS[0] | {"attributes": _SAID[0]},
        _COCO_OBJECTS[1] | _SAID[1] | {"attributes": None},
        _COCO_OBJECTS[2] | {"attributes": _SAID[2]},
    ],
}
_LINE = {
    "file": "a.jpg",
    "objects": [{"label": "cat", "box": box} | said for box, said in zip(_BOXES, _SAID, strict=True)],
}
_CSV = """ImageID,LabelName,XMin,YMin,XMax,YMax,IsOccluded,IsTruncated\na,cat,10,20,30,40,1,\na,cat,1,2,3,4,0,1
a,cat,5,6,7,8,,-1"""


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("cvat", "a.xml", _CVAT),
        ("labelme", "a.json", _LABELME),
        ("coco", "a.json", _COCO),
        ("jsonl", "a.jsonl", json.dumps(_LINE)),
        ("csv", "a.csv", _CSV),
    ],
)
def test_truncated_and_occluded_objects(tmp_path: Path, name: str, file: str, content: Any) -> None:
    write(draw(tmp_path, "a.jpg"), file, content)
    assert Reading(tmp_path, name).hidden("a.jpg") == [(None, True), (True, False), (None, None)]


def test_cvat_tracks_with_outside_frames(tmp_path: Path) -> None:
    box = '<box frame="{0}" outside="{1}" xtl="10" ytl="20" xbr="30" ybr="40"/>'
    track = f'<track id="0" label="cat">{box.format(0, 0)}{box.format(2, 1)}{box.format(7, 0)}</track>'
    size = "<meta><job><size>8</size></job><original_size><width>80</width><height>100</height></original_size></meta>"
    write(tmp_path, "annotations.xml", f"<annotations>{size}{track}</annotations>")
    draw(tmp_path, "images/frame_000000.PNG", "images/frame_000002.PNG", "images/frame_000003.PNG")
    found = Reading(tmp_path, "cvat")
    assert found.boxes("images/frame_000000.PNG") == [CAT_BOX]
    assert found.repairs("images/frame_000000.PNG") == ["size_wrong"]  # it is 100 x 80
    assert found.boxes("images/frame_000002.PNG") == []
    assert found.repairs("images/frame_000002.PNG") == ["outside_frame", "size_wrong"]
    assert found.boxes("images/frame_000003.PNG") == [] and found.repairs("images/frame_000003.PNG") == ["size_wrong"]
    assert found.reasons == [("annotations.xml: frame 7", "labels_without_image", 1)]


@pytest.mark.parametrize(
    ("head", "background", "outside"),
    [
        ("<size>3</size>", [0, 2], [5]),
        ("<start_frame>2</start_frame><stop_frame>5</stop_frame>", [2, 5], [0, 1]),
        ("<start_frame>1</start_frame><size>2</size>", [2], [0, 5]),
        ("<mode>interpolation</mode>", [0, 2, 5], []),
    ],
)
@pytest.mark.parametrize("part", ["task", "job"])
@pytest.mark.parametrize("shown", [True, False])
def test_cvat_frames_without_objects(
    tmp_path: Path, head: str, background: list[int], outside: list[int], part: str, shown: bool
) -> None:
    """Frames 0, 1, 2 and 5 are there, and only number 1 may show anything; an image that another file names is its own."""
    box = '<track id="0" label="cat"><box frame="1" outside="0" xtl="10" ytl="20" xbr="30" ybr="40"/></track>'
    mode = "" if "mode" in head else "<mode>interpolation</mode>"
    about = f"<meta><{part}>{head}{mode}</{part}></meta>"
    write(tmp_path, "video.xml", f"<annotations>{about}{box if shown else ''}</annotations>")
    other = '<image id="0" name="other_4.png"><box label="dog" xtl="1" ytl="2" xbr="3" ybr="4"/></image>'
    write(tmp_path, "images.xml", f"<annotations>{other}</annotations>")
    draw(tmp_path, *(f"frame_{number:06d}.png" for number in (0, 1, 2, 5)), "other_4.png")
    found = Reading(tmp_path, "cvat")
    if shown:
        outside = [number for number in outside if number != 1]
    elif 1 not in outside:
        background = [*background, 1]
    assert {source for source in found.images if not found.boxes(source)} == {f"frame_{n:06d}.png" for n in background}
    assert found.boxes("other_4.png") == [(1, 2, 3, 4, "dog")]
    if shown:
        assert found.boxes("frame_000001.png") == [CAT_BOX]
    assert found.reasons == [(f"frame_{n:06d}.png", "image_without_labels", 0) for n in outside]


def test_cvat_key_frames_alone_are_said(tmp_path: Path) -> None:
    box = '<box frame="{0}" outside="{1}" xtl="10" ytl="20" xbr="30" ybr="40"/>'
    whole = "".join(box.format(n, 0) for n in range(3)) + box.format(3, 1) + box.format(9, 0)
    for name, boxes in (("whole", whole), ("keys", box.format(0, 0) + box.format(2, 0))):
        track = f'<annotations><track id="0" label="cat">{boxes}</track></annotations>'
        write(draw(tmp_path / name, *(f"frame_{n}.png" for n in range(10))), "a.xml", track)
    assert Reading(tmp_path / "whole", "cvat").notes == []
    assert Reading(tmp_path / "keys", "cvat").notes == [
        "a.xml: 1 tracks hold key frames alone: their frames between are not told, export them with CVAT itself"
    ]


# A PNG of 4 x 2 pixels of one bit: 0110 and 0010.
MASK = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACAQAAAABX00DOAAAADElEQVR4nGNIYFAAAAFEAIFCw9Q5AAAAAElFTkSuQmCC"


def test_labelme(tmp_path: Path) -> None:
    shapes: list[dict[str, Any]] = [
        {"label": "cat", "points": [[30, 40], [10, 20]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[1, 2], [9, 3], [5, 30]], "shape_type": "polygon"},
        {"label": "cat", "points": [[50, 40], [53, 44]], "shape_type": "circle"},
        {"label": "cat", "points": [[50, 40]], "shape_type": "point"},
        {"label": "cat", "points": [[60, 50], [63, 51]], "shape_type": "mask", "mask": MASK},
        {"label": "cat", "points": [[60, 50], [63, 51]], "shape_type": "mask", "mask": "?"},
        {"label": "cat", "points": [["x", 40], [1, 2]], "shape_type": "rectangle"},
        {"label": "", "points": [[30, 40], [10, 20]], "shape_type": "rectangle"},
    ]
    content = {
        "version": "5.0",
        "shapes": shapes,
        "imagePath": "..\\old name.jpg",
        "imageHeight": 80,
        "imageWidth": 100,
    }
    write(draw(tmp_path, "a.jpg", "b.jpg"), "json/a.json", content)
    write(tmp_path, "json/other.json", content | {"shapes": [], "imagePath": "..\\b.jpg"})
    write(tmp_path, "json/broken.json", "{")
    found = Reading(tmp_path, "labelme")
    assert found.boxes("a.jpg") == [CAT_BOX, (1, 2, 9, 30, "cat"), (45, 35, 55, 45, "cat"), (61, 50, 63, 52, "cat")]
    assert found.repairs("a.jpg") == [
        "box_unreadable",
        "mask_enclosed",
        "mask_unreadable",
        "name_missing",
        "polygon_enclosed",
        "polygon_enclosed",
        "shape_without_area",
    ]
    assert found.boxes("b.jpg") == [] and [(file, why) for file, why, _ in found.reasons] == [
        ("json/broken.json", "labels_unreadable")
    ]


@pytest.mark.parametrize(
    ("table", "encoding"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,100,80,cat,10,20,30,40\nb.jpg,100,80,,,,,\n", "utf-8"),
        ("image;class;x1;y1;x2;y2\nC:\\p\\a.jpg;cat;10;20;30;40\nb.jpg;;;;;\n", "cp1252"),
        ("Image Path\tX\tY\tWidth\tHeight\tLabel\na.jpg\t10\t20\t20\t20\tcat\nb.jpg\t\t\t\t\t\n", "utf-16"),
        ('image_id,bbox,label\na,"[10, 20, 20, 20]",cat\nb,,\n', "utf-8-sig"),
        ("images/a.jpg,10,20,30,40,cat\nimages/b.jpg,,,,,\n", "utf-8"),
    ],
)
def test_tables_of_boxes(tmp_path: Path, table: str, encoding: str) -> None:
    write(draw(tmp_path, "images/a.jpg", "images/b.jpg"), "labels.csv", table, encoding)
    found = Reading(tmp_path, "csv")
    assert found.boxes("images/a.jpg") == [CAT_BOX] and found.boxes("images/b.jpg") == []
    assert found.reasons == []


def test_a_table_of_shares_as_open_images_has_it(tmp_path: Path) -> None:
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
    rows = "a,xclick,cat,1,0.1,0.3,0.25,0.5,0,0,0\na,xclick,cat,1,0.5,1.0,0.5,1.0,0,0,1\n"
    write(draw(tmp_path, "images/a.jpg"), "boxes.csv", header + rows)
    found = Reading(tmp_path, "csv")
    assert found.boxes("images/a.jpg") == [CAT_BOX, (50, 40, 100, 80, "cat")]
    assert [box.difficult for box in found.images["images/a.jpg"].boxes] == [False, True]
    assert found.notes[-1] == "boxes.csv: its numbers are taken for shares of the images' sides"


def test_a_table_tells_its_losses_and_splits(tmp_path: Path) -> None:
    rows = [
        "filename,class,xmin,ymin,xmax,ymax,split",
        "a.jpg,cat,10,20,30,40,TRAIN",
        "a.jpg,cat,10,20,30,40,TRAIN",
        "a.jpg,,10,20,30,40,TRAIN",
        "a.jpg,cat,ten,20,30,40,TRAIN",
        '"b, c.jpg",cat,10,20,30,40,testing',
        ",cat,10,20,30,40,testing",
        "gone.jpg,cat,1,2,3,4,testing",
    ]
    write(draw(tmp_path, "a.jpg", "b, c.jpg"), "boxes.csv", "\n".join(rows))
    found = Reading(tmp_path, "csv")
    assert found.boxes("a.jpg") == [CAT_BOX] and found.boxes("b, c.jpg") == [CAT_BOX]
    assert found.repairs("a.jpg") == ["box_unreadable", "name_missing", "object_repeated"]
    assert found.splits == {"a.jpg": "train", "b, c.jpg": "test"}
    assert found.reasons == [
        ("boxes.csv: ,cat,10,20,30,40,testing", "labels_unreadable", 1),
        ("boxes.csv: gone.jpg", "labels_without_image", 1),
    ]


def test_tables_for_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        row = f"filename,class,xmin,ymin,xmax,ymax\n{name}.jpg,cat,10,20,30,40\n"
        write(draw(tmp_path, f"images/{name}.jpg"), f"{name}_labels.csv", row)
    assert Reading(tmp_path, "csv").splits == {"images/train.jpg": "train", "images/test.jpg": "test"}


def test_a_number_that_is_none(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "l.csv", f"image,class,x1,y1,x2,y2\na.jpg,cat,1,2,3,{math.inf}\na.jpg,cat,1,2,3,4\n")
    found = Reading(tmp_path, "csv")
    assert found.boxes("a.jpg") == [(1, 2, 3, 4, "cat")] and found.repairs("a.jpg") == ["box_unreadable"]


def test_json_lines(tmp_path: Path) -> None:
    box = {"label": "cat", "box": [10, 20, 30, 40]}
    lines = [
        {
            "file": "x/a.jpg",
            "width": 100,
            "height": 80,
            "split": "Valid",
            "objects": [box | {"difficult": True}, box, 3],
        },
        {"file": "b.jpg", "width": 100, "height": 80, "objects": [{"label": "dog", "box": None}]},
        {"file": "c.jpg", "objects": [box | {"label": " "}, {"label": "cat"}, box | {"box": [1, 2, "x", 4]}, box]},
        {"file": "gone.jpg", "objects": [box]},
        {"file": "d.jpg", "objects": []},
        {"objects": [box]},
    ]
    text = "\r\n\r\n".join(map(json.dumps, lines)) + "\n{"
    found = Reading(write(draw(tmp_path, *(f"{name}.jpg" for name in "abcd")), "a.jsonl", text), "jsonl")
    assert found.boxes("a.jpg") == [CAT_BOX, CAT_BOX]
    assert [one.difficult for one in found.images["a.jpg"].boxes] == [True, False]
    assert found.repairs("a.jpg") == ["name_missing"] and found.splits["a.jpg"] == "val"
    assert found.boxes("b.jpg") == [(0, 0, 100, 80, "dog")]
    assert found.boxes("c.jpg") == [CAT_BOX] and found.boxes("d.jpg") == []
    assert found.repairs("c.jpg") == ["box_unreadable", "box_unreadable", "name_missing"]
    assert found.reasons == [
        ("a.jsonl: gone.jpg", "labels_without_image", 1),
        ("a.jsonl: line 11", "labels_unreadable", 0),
        ("a.jsonl: line 12", "labels_unreadable", 0),
    ]
