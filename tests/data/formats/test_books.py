"""The books balance: whatever is broken in a raw folder, each object is kept, told as lost, or goes with a rejected file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirada.data.annotations import count_objects
from tests.data.formats.drawing import Reading, draw, write

NAMES = ("a.jpg", "b.PNG", "train/c.jpg", "test/c.jpg", "ä d.webp")
LABELS = ("cat", "Dog", "", "stop\nsign")
coordinate = st.one_of(st.integers(-20, 130), st.floats(-5, 120).map(lambda value: round(value, 2)), st.just("x"))
label = st.sampled_from(LABELS)
thing = st.tuples(label, coordinate, coordinate, coordinate, coordinate)
breakage = st.sampled_from(["", "", "", "no image", "empty image", "text image", "wrong name", "twice", "cut short"])
image = st.tuples(st.lists(thing, max_size=4), breakage)
folder = st.dictionaries(st.sampled_from(NAMES), image, min_size=1)

Write = Callable[[Path, str, list[Any], str], None]


def write_voc(path: Path, name: str, things: list[Any], how: str) -> None:
    body = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in things
    )
    text = f"<annotation><filename>{name}</filename>{body}</annotation>"
    write(path, f"{stem(name, how)}.xml", text[:-5] if how == "cut short" else text)
    if how == "twice":
        write(path, f"copies/{stem(name, how).replace('/', '_')}.xml", text)


def write_yolo(path: Path, name: str, things: list[Any], how: str) -> None:
    rows = [f"{LABELS.index(n)} {share(a)} {share(b)} {share(c)} {share(d)}" for n, a, b, c, d in things]
    write(path, f"{stem(name, how)}.txt", "\n".join(rows))
    write(path, "data.yaml", "names: [cat, Dog]\n")


def share(value: Any) -> Any:
    return value if isinstance(value, str) else value / 100


def stem(name: str, how: str) -> str:
    return (name.rpartition(".")[0] + "_other") if how == "wrong name" else name.rpartition(".")[0]


def write_labelme(path: Path, name: str, things: list[Any], how: str) -> None:
    shapes = [{"label": n, "points": [[a, b], [c, d]], "shape_type": "rectangle"} for n, a, b, c, d in things]
    content = {"shapes": shapes, "imagePath": name if how != "wrong name" else "other.jpg"}
    write(path, f"{stem(name, how)}.json", content)


def _collected(path: Path) -> Any:
    file = path / "all.json"
    return json.loads(file.read_text()) if file.is_file() else None


def write_coco(path: Path, name: str, things: list[Any], how: str) -> None:
    content = _collected(path) or {"images": [], "annotations": [], "categories": [{"id": 0, "name": "cat"}]}
    number = len(content["images"])
    content["images"] += [{"id": number, "file_name": ("x" if how == "wrong name" else "") + name}] * (
        1 + (how == "twice")
    )
    content["annotations"] += [
        {"image_id": number, "category_id": len(n), "bbox": [a, b, c, d], "iscrowd": len(n) % 2}
        for n, a, b, c, d in things
    ]
    content["categories"] = [{"id": 3, "name": "cat"}, {"id": 9, "name": "stop\nsign"}]
    write(path, "all.json", content)


def write_label_studio(path: Path, name: str, things: list[Any], how: str) -> None:
    result = [
        {"value": {"x": a, "y": b, "width": c, "height": d, "rectanglelabels": [n] if n else []}}
        for n, a, b, c, d in things
    ]
    task = {
        "data": {"image": "https://host/" + ("x" if how == "wrong name" else "") + name},
        "annotations": [{"result": result}],
    }
    write(path, "all.json", [*(_collected(path) or []), *[task] * (1 + (how == "twice"))])


def write_csv(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "boxes.csv"
    header = "filename,class,xmin,ymin,xmax,ymax\n"
    text = file.read_text() if file.is_file() else header
    rows = [f'"{"x" if how == "wrong name" else ""}{name}","{n}",{a},{b},{c},{d}\n' for n, a, b, c, d in things]
    write(path, "boxes.csv", text + "".join(rows * (1 + (how == "twice"))))


def write_cvat(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "all.xml"
    body = "".join(f'<box label="{n}" xtl="{a}" ytl="{b}" xbr="{c}" ybr="{d}"/>' for n, a, b, c, d in things)
    entry = f'<image id="1" name="{"x" if how == "wrong name" else ""}{name}">{body}</image>' * (1 + (how == "twice"))
    text = file.read_text().removesuffix("</annotations>") if file.is_file() else "<annotations>"
    write(path, "all.xml", f"{text}{entry}</annotations>")


def write_json_lines(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "all.jsonl"
    objects = [{"label": n, "box": [a, b, c, d]} for n, a, b, c, d in things]
    line = json.dumps({"file": ("x" if how == "wrong name" else "") + name, "objects": objects}) + "\n"
    write(path, "all.jsonl", (file.read_text() if file.is_file() else "") + line * (1 + (how == "twice")))


WRITERS: dict[str, tuple[Write, bool]] = {
    "voc": (write_voc, True),
    "yolo": (write_yolo, False),
    "coco": (write_coco, False),
    "cvat": (write_cvat, True),
    "label_studio": (write_label_studio, True),
    "labelme": (write_labelme, False),
    "csv": (write_csv, True),
    "jsonl": (write_json_lines, True),
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_books_balance(name: str, data: st.DataObject) -> None:
    writer, doubles = WRITERS[name]
    put_in = 0
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        content = data.draw(folder)
        for source, (things, how) in content.items():
            writer(path, source, things, how)
            put_in += len(things) * (1 + (doubles and how == "twice"))
            if how != "no image":
                draw(path, source)
            if how in ("empty image", "text image"):
                (path / source).write_bytes(b"" if how == "empty image" else b"<html>")
        found = Reading(path, name)
        books = count_objects(found.images.values(), found.rejected)
        assert books["found"] == put_in, (found.reasons, {s: (i.boxes, i.repairs) for s, i in found.images.items()})
        for image_ in found.images.values():
            for box in image_.boxes:
                assert 0 <= box.x1 < box.x2 <= image_.width and 0 <= box.y1 < box.y2 <= image_.height and box.label
