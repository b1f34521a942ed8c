"""Label Studio's exports, JSON and JSON-MIN."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.data.formats.drawing import Reading, draw, write

CAT_BOX = (10, 20, 30, 40, "cat")
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


def test_label_studio_predictions_count_where_nobody_was_to_annotate(tmp_path: Path) -> None:
    """An import holds predictions alone; in an export they are beside annotations, also where these are missing yet."""
    predicted = [{"model_version": "m", "score": 0.5, "result": [region()]}]
    tasks = [
        {"id": 1, "data": {"image": "a.jpg"}, "predictions": predicted},
        {"id": 2, "data": {"image": "b.jpg"}, "predictions": [{"result": []}]},
        {"id": 3, "data": {"image": "c.jpg"}, "annotations": [], "predictions": predicted},
    ]
    write(draw(tmp_path, "a.jpg", "b.jpg", "c.jpg"), "tasks.json", tasks)
    found = Reading(tmp_path, "label_studio")
    assert [found.boxes(name) for name in ("a.jpg", "b.jpg", "c.jpg")] == [[CAT_BOX], [], []]
    assert found.notes == ["tasks.json: 2 tasks hold predictions alone, which are taken for labels"]


def test_label_studio_choices_are_labels_where_a_file_has_no_shapes(tmp_path: Path) -> None:
    choice = {"type": "choices", "original_width": 100, "original_height": 80, "value": {"choices": ["good"]}}
    tasks = [{"id": n, "data": {"image": f"{n}.jpg"}, "annotations": [{"result": [choice]}]} for n in (1, 2)]
    draw(tmp_path, "1.jpg", "2.jpg")
    found = Reading(write(tmp_path, "tasks.json", tasks), "label_studio")
    assert found.boxes("1.jpg") == found.boxes("2.jpg") == [(0, 0, 100, 80, "good")]
    tasks[0]["annotations"] = [{"result": [choice, region()]}]  # now they tell of images with boxes
    found = Reading(write(tmp_path, "tasks.json", tasks), "label_studio")
    assert (found.boxes("1.jpg"), found.boxes("2.jpg")) == ([CAT_BOX], [])
