from pathlib import Path
from typing import Any

from tests.data.formats.drawing import Reading, draw, write


def entry(name: str, *objects: Any, key: str = "image") -> dict[str, Any]:
    return {key: name, "annotations": list(objects)}


def cat(**more: Any) -> dict[str, Any]:
    return {"label": "cat", "coordinates": {"x": 20, "y": 30, "width": 20, "height": 20}} | more


def test_boxes_about_their_middle(tmp_path: Path) -> None:
    lost = [cat(label=""), cat(coordinates={"x": 1}), "x", cat()]
    content = [entry("a.jpg", cat(), *lost), entry("..\\b.JPG"), entry("gone.jpg", cat(), key="imagefilename"), 7]
    write(draw(tmp_path, "train/a.jpg", "train/b.jpg"), "train/_annotations.createml.json", content[:3])
    found = Reading(tmp_path, "createml")
    assert found.boxes("train/a.jpg") == [(10, 20, 30, 40, "cat")] and found.boxes("train/b.jpg") == []
    assert found.repairs("train/a.jpg") == ["box_unreadable", "box_unreadable", "name_missing", "object_repeated"]
    assert found.reasons == [("train/_annotations.createml.json: gone.jpg", "labels_without_image", 1)]
    assert found.splits == {"train/a.jpg": "train", "train/b.jpg": "train"}


def test_another_json_is_left_alone_and_said(tmp_path: Path) -> None:
    write(draw(tmp_path, "a.jpg"), "x.json", [{"image": "a.jpg"}])
    found = Reading(tmp_path, "createml")
    assert found.reasons == [("a.jpg", "image_without_labels", 0)]
    assert found.notes == ["x.json holds no boxes of CreateML and was left alone"]
