"""CVAT, Label Studio, labelme and tables of boxes as tools export them."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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
    assert found.reasons == [
        ("annotations.xml: frame 7", "labels_without_image", 1),
        ("images/frame_000003.PNG", "image_without_labels", 0),
    ]


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


REGION = {"x": 10, "y": 25, "width": 20, "height": 25, "rotation": 0}


def region(kind: str = "rectanglelabels", **value: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 100, "original_height": 80, "value": {kind: ["cat"]} | (value or REGION)}


@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/3/0a1b2c3d-my%20cat.jpg",
        "/data/local-files/?d=photos/my%20cat.jpg",
        "s3://bucket/photos/my cat.jpg",
        "https://host/x/my%20cat.jpg?sig=1",
        "C:\\photos\\my cat.jpg",
        "my cat.jpg",
    ],
)
@pytest.mark.parametrize("key", ["image", "photo of it"])
def test_label_studio_urls(tmp_path: Path, url: str, key: str) -> None:
    task = {"id": 1, "data": {key: url, "text": "x"}, "annotations": [{"result": [region()]}]}
    write(draw(tmp_path, "photos/my cat.jpg"), "export.json", [task])
    assert Reading(tmp_path, "label_studio").boxes("photos/my cat.jpg") == [CAT_BOX]


def test_label_studio_shapes_and_losses(tmp_path: Path) -> None:
    result = [
        region(),
        region(x=50, y=50, width=20, height=12.5, rotation=90),  # 20 x 10 pixels about (50, 40): to the left and down
        region("polygonlabels", points=[[1, 10], [5, 10], [3, 50]]),
        region("ellipselabels", x=50, y=50, radiusX=10, radiusY=5),
        region("keypointlabels", x=1, y=1, width=0.5),
        region("brushlabels", rle=[1, 2]),
        region("rectanglelabels", rectanglelabels=[], **REGION),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    annotations = [{"result": [region()], "was_cancelled": True}, {"result": result}, {"result": [region(), region()]}]
    tasks = [
        {"id": 1, "data": {"image": "a.jpg"}, "annotations": annotations},
        {"id": 2, "data": {"image": "b.jpg"}, "annotations": []},
        {"id": 3, "data": {"image": "http://host/gone.jpg"}, "annotations": [{"result": [region()]}]},
    ]
    write(draw(tmp_path, "a.jpg", "b.jpg"), "export.json", tasks)
    found = Reading(tmp_path, "label_studio")
    assert found.boxes("a.jpg") == [CAT_BOX, (40, 40, 50, 60, "cat"), (1, 8, 5, 40, "cat"), (40, 36, 60, 44, "cat")]
    assert found.repairs("a.jpg") == [
        "annotator_dropped",
        "annotator_dropped",
        "mask_unreadable",
        "name_missing",
        "polygon_enclosed",
        "polygon_enclosed",
        "rotated_box_enclosed",
        "shape_without_area",
    ]
    assert found.boxes("b.jpg") == []
    assert found.reasons == [("export.json: task 3: http://host/gone.jpg", "labels_without_image", 1)]


def test_label_studio_by_the_file_that_was_uploaded(tmp_path: Path) -> None:
    task = {"data": {"image": "/image2"}, "file_upload": "e97d4735-a.jpg", "annotations": [{"result": [region()]}]}
    write(draw(tmp_path, "a.jpg"), "export.json", [task])
    assert Reading(tmp_path, "label_studio").boxes("a.jpg") == [CAT_BOX]


def test_predictions_are_no_labels(tmp_path: Path) -> None:
    task = {"data": {"image": "a.jpg"}, "annotations": [], "predictions": [{"result": [region()]}]}
    write(draw(tmp_path, "a.jpg"), "export.json", [task])
    found = Reading(tmp_path, "label_studio")
    assert found.boxes("a.jpg") == []
    assert found.notes == ["export.json: predictions of 1 tasks are no labels: accept them in Label Studio first"]


def test_label_studio_masks(tmp_path: Path) -> None:
    painted = Image.new("RGBA", (100, 80))
    painted.paste((255, 0, 0, 255), (10, 20, 30, 40))
    buffer = io.BytesIO()
    painted.save(buffer, "PNG")
    # Of 100 x 80 pixels the last one: 31,996 values of 0, then 4 of 255; 8 bits a value, lengths of 1, 1, 3 and 16 bits.
    bits = (
        f"{32_000:032b}{7:05b}{0:04b}{0:04b}{2:04b}{15:04b}"
        + f"1{3:02b}{31_995:016b}{0:08b}"
        + f"1{2:02b}{3:03b}{255:08b}"
    )
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    result = [
        region("brushlabels", format="rle", rle=rle),
        region("bitmasklabels", imageDataURL="data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()),
        region("brushlabels", format="rle", rle=rle[:-2]),
        region("vectorlabels", vertices=[{"x": 1, "y": 2}]),
        region("videorectangle", sequence=[{"frame": 1}]),
    ]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": result}]}
    write(draw(tmp_path, "a.jpg"), "export.json", [task])
    found = Reading(tmp_path, "label_studio")
    assert found.boxes("a.jpg") == [(99, 79, 100, 80, "cat"), CAT_BOX]
    losses = ["box_unreadable", "mask_enclosed", "mask_enclosed", "mask_unreadable", "shape_without_area"]
    assert found.repairs("a.jpg") == losses


def test_label_studio_tells_of_one_shape_in_parts(tmp_path: Path) -> None:
    parts = [{"rectangle": []}, {"labels": ["cat"]}, {"text": ["seen twice"]}]
    result = [{"id": "x", "value": REGION | part, "original_width": 100, "original_height": 80} for part in parts]
    other = [{"id": "y", "value": REGION | {"y": 50, "labels": ["dog"]}, "original_width": 100, "original_height": 80}]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": result + other}]}
    write(draw(tmp_path, "a.jpg"), "export.json", [task])
    found = Reading(tmp_path, "label_studio")
    assert found.boxes("a.jpg") == [CAT_BOX, (10, 40, 30, 60, "dog")] and found.repairs("a.jpg") == []


def test_label_studio_json_min(tmp_path: Path) -> None:
    label = REGION | {"rectanglelabels": ["cat"], "original_width": 100, "original_height": 80}
    task = {"photo": "/data/upload/1/0a1b2c3d-a.jpg", "my boxes": [label], "id": 1, "annotator": 1, "tags": [{"a": 1}]}
    write(draw(tmp_path, "a.jpg"), "min.json", [task])
    assert Reading(tmp_path, "label_studio").boxes("a.jpg") == [CAT_BOX]


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
