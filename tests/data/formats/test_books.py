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

from mirada.config import TableConfig
from mirada.data.annotations import count_objects
from mirada.errors import MiradaError
from tests.data.formats.drawing import Reading, draw, write
from tests.data.formats.tfrecord.records import detection, picture

NAMES = ("a.jpg", "b.PNG", "train/c.jpg", "test/c.jpg", "ä d.webp")
LABELS = ("cat", "Dog", "", "stop\nsign")
SHAPES = ("box", "box", "box", "rotated", "polygon", "mask", "point", "junk")
coordinate = st.one_of(st.integers(-20, 130), st.floats(-5, 120).map(lambda value: round(value, 2)), st.just("x"))
label = st.sampled_from(LABELS)
thing = st.tuples(label, coordinate, coordinate, coordinate, coordinate, st.sampled_from(SHAPES))
breakage = st.sampled_from(["", "", "", "no image", "empty image", "text image", "wrong name", "twice", "cut short"])
image = st.tuples(st.lists(thing, max_size=4), breakage)
folder = st.dictionaries(st.sampled_from(NAMES), image, min_size=1)

Write = Callable[[Path, str, list[Any], str], None]


def voc_shape(a: Any, b: Any, c: Any, d: Any, shape: str) -> str:
    if shape == "rotated":
        return f"<robndbox><cx>{a}</cx><cy>{b}</cy><w>{c}</w><h>{d}</h><angle>0.5</angle></robndbox>"
    if shape == "polygon":
        return f"<polygon><x1>{a}</x1><y1>{b}</y1><x2>{c}</x2><y2>{d}</y2></polygon>"
    if shape == "point":
        return f"<point><x>{a}</x><y>{b}</y></point>"
    return f"<bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"


def write_voc(path: Path, name: str, things: list[Any], how: str) -> None:
    body = "".join(f"<object><name>{thing[0]}</name>{voc_shape(*thing[1:])}</object>" for thing in things)
    text = f"<annotation><filename>{name}</filename>{body}</annotation>"
    write(path, f"{stem(name, how)}.xml", text[:-5] if how == "cut short" else text)
    if how == "twice":
        write(path, f"copies/{stem(name, how).replace('/', '_')}.xml", text)


def write_yolo(path: Path, name: str, things: list[Any], how: str) -> None:
    rows = []
    for n, a, b, c, d, shape in things:
        cells = [share(value) for value in (a, b, c, d)]
        cells = {"rotated": cells + cells[::-1], "polygon": cells + cells[:2], "point": cells[:2]}.get(shape, cells)
        rows.append(" ".join(map(str, [LABELS.index(n), *cells])))
    write(path, f"{stem(name, how)}.txt", "\n".join(rows))
    write(path, "data.yaml", "names: [cat, Dog]\n")


def share(value: Any) -> Any:
    return value if isinstance(value, str) else value / 100


def stem(name: str, how: str) -> str:
    return (name.rpartition(".")[0] + "_other") if how == "wrong name" else name.rpartition(".")[0]


def write_labelme(path: Path, name: str, things: list[Any], how: str) -> None:
    kinds = {"box": "rectangle", "rotated": "rotation"}
    shapes = [
        {"label": n, "points": [[a, b], [c, d]], "shape_type": kinds.get(shape, shape), "mask": "AAAA"}
        for n, a, b, c, d, shape in things
    ]
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
    for n, a, b, c, d, shape in things:
        said = {
            "polygon": {"segmentation": [[a, b, c, d, a, d]]},
            "mask": {"segmentation": {"size": [80, 100], "counts": [a, b, c, d]}},
            "point": {"keypoints": [a, b, 2], "segmentation": []},
            "junk": {"segmentation": "x", "bbox": None},
        }.get(shape, {"bbox": [a, b, c, d]})
        content["annotations"].append({"image_id": number, "category_id": len(n), "iscrowd": len(n) % 2} | said)
    content["categories"] = [{"id": 3, "name": "cat"}, {"id": 9, "name": "stop\nsign"}]
    write(path, "all.json", content)


def write_label_studio(path: Path, name: str, things: list[Any], how: str) -> None:
    result: list[dict[str, Any]] = []
    for n, a, b, c, d, shape in things:
        value = {
            "rotated": {"x": a, "y": b, "width": c, "height": d, "rotation": 30},
            "polygon": {"points": [[a, b], [c, d], [0, 0]]},
            "mask": {"rle": [a, b, c, d]},
            "point": {"x": a, "y": b, "width": 1, "keypointlabels": []},
        }.get(shape, {"x": a, "y": b, "width": c, "height": d})
        labels = {"rectanglelabels": [n] if n else []}
        result.append({"id": f"r{len(result)}", "value": value | labels, "original_width": 100, "original_height": 80})
        if shape == "junk":  # what is told of one region in parts
            result.append(result[-1] | {"value": value | {"text": ["x"]}})
    task = {
        "data": {"image": "https://host/" + ("x" if how == "wrong name" else "") + name},
        "annotations": [{"result": result}],
    }
    write(path, "all.json", [*(_collected(path) or []), *[task] * (1 + (how == "twice"))])


def write_csv(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "boxes.csv"
    header = "filename,class,xmin,ymin,xmax,ymax\n"
    text = file.read_text() if file.is_file() else header
    rows = [f'"{"x" if how == "wrong name" else ""}{name}","{n}",{a},{b},{c},{d}\n' for n, a, b, c, d, _ in things]
    write(path, "boxes.csv", text + "".join(rows * (1 + (how == "twice"))))


def write_cvat(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "all.xml"
    body = ""
    for n, a, b, c, d, shape in things:
        corners = f'xtl="{a}" ytl="{b}" xbr="{c}" ybr="{d}"'
        said = {
            "rotated": f'box {corners} rotation="30"',
            "polygon": f'polygon points="{a},{b};{c},{d}"',
            "mask": f'mask rle="{a},{b}" left="{c}" top="{d}" width="9" height="9"',
            "point": f'points points="{a},{b}"',
            "junk": "cuboid",
        }.get(shape, f"box {corners}")
        body += f'<{said} label="{n}"/>'
    entry = f'<image id="1" name="{"x" if how == "wrong name" else ""}{name}">{body}</image>' * (1 + (how == "twice"))
    text = file.read_text().removesuffix("</annotations>") if file.is_file() else "<annotations>"
    write(path, "all.xml", f"{text}{entry}</annotations>")


def write_tfrecord(path: Path, name: str, things: list[Any], how: str) -> None:
    boxes = [[float("nan") if value == "x" else value / 100 for value in thing[1:5]] for thing in things]
    content = {"no image": b"", "empty image": b"", "text image": b"<html>"}.get(how, picture(len(name), "PNG"))
    texts = [thing[0].encode() for thing in things]
    if any(thing[5] == "junk" for thing in things):
        texts = texts[:-1]
    record = detection(name, content, boxes, class__text=texts, class__label=[9] * len(things))
    file = path / "all.record"
    file.write_bytes((file.read_bytes() if file.is_file() else b"") + record * (1 + (how == "twice")))


def prefixed(name: str, how: str) -> str:
    return ("x" if how == "wrong name" else "") + name


def write_createml(path: Path, name: str, things: list[Any], how: str) -> None:
    objects: list[Any] = [
        7 if shape == "junk" else {"label": n, "coordinates": {"x": a, "y": b, "width": c, "height": d}}
        for n, a, b, c, d, shape in things
    ]
    known = {"image": "none", "annotations": [{"coordinates": 0}]}  # else a file without a box is none of CreateML
    entry = {"image": prefixed(name, how), "annotations": objects}
    write(path, "all.json", [*(_collected(path) or [known]), *[entry] * (1 + (how == "twice"))])


def write_via(path: Path, name: str, things: list[Any], how: str) -> None:
    regions = []
    for n, a, b, c, d, shape in things:
        said: Any = {
            "polygon": {"name": "polygon", "all_points_x": [a, c, 0], "all_points_y": [b, d, 0]},
            "rotated": {"name": "ellipse", "cx": a, "cy": b, "rx": c, "ry": d, "theta": 1},
            "point": {"name": "point", "cx": a, "cy": b},
            "junk": None,
        }.get(shape, {"name": "rect", "x": a, "y": b, "width": c, "height": d})
        regions.append({"shape_attributes": said, "region_attributes": {"kind": n}})
    content = _collected(path) or {}
    for _ in range(1 + (how == "twice")):
        content[f"{name}{len(content)}"] = {"filename": prefixed(name, how), "regions": regions}
    write(path, "all.json", content)


def write_keras(path: Path, name: str, things: list[Any], how: str) -> None:
    line = " ".join([prefixed(name, how), *(f"{a},{b},{c},{d},{LABELS.index(n)}" for n, a, b, c, d, _ in things)])
    file = path / "all.txt"
    text = file.read_text() if file.is_file() else "none.jpg 1,2,3,4,0\n"
    write(path, "all.txt", text + f"{line}\n" * (1 + (how == "twice")))
    write(path, "_classes.txt", "cat\nDog\n")


def write_dota(path: Path, name: str, things: list[Any], how: str) -> None:
    rows = [f"{a} {b} {c} {b} {c} {d} {a} {d} {n.split()[0] if n else ''} 0" for n, a, b, c, d, _ in things]
    write(path, f"{stem(name, how)}.txt", "gsd:1\n" + "1 1 2 1 2 2 1 2 cat 0\n" + "\n".join(rows))


def write_json_lines(path: Path, name: str, things: list[Any], how: str) -> None:
    file = path / "all.jsonl"
    objects = [{"label": n, "box": [a, b, c, d]} for n, a, b, c, d, _ in things]
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
    "tfrecord": (write_tfrecord, True),
    "createml": (write_createml, True),
    "via": (write_via, True),
    "keras": (write_keras, True),
    "dota": (write_dota, False),
    "jsonl": (write_json_lines, True),
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
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
            if how != "no image" and name != "tfrecord":
                draw(path, source)
            if how in ("empty image", "text image") and name != "tfrecord":
                (path / source).write_bytes(b"" if how == "empty image" else b"<html>")
        found = Reading(path, name)
        put_in += {"createml": 1, "keras": 1, "dota": len(content)}.get(name, 0)  # that the files begin with
        books = count_objects(found.images.values(), found.rejected)
        assert books["found"] == put_in, (found.reasons, {s: (i.boxes, i.repairs) for s, i in found.images.items()})
        for image_ in found.images.values():
            for box in image_.boxes:
                assert 0 <= box.x1 < box.x2 <= image_.width and 0 <= box.y1 < box.y2 <= image_.height and box.label


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    places=st.lists(st.sampled_from(["cat", "train/cat", "Testing/dog", "dog/x", ".hidden", "", "train"]), max_size=6),
    broken=st.sets(st.integers(0, 5)),
)
def test_the_books_of_folders_of_classes_balance(places: list[str], broken: set[int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        for number, folder_ in enumerate(places):
            draw(path, f"{folder_}/{number}.png".lstrip("/"))
            if number in broken:
                (path / folder_ / f"{number}.png").write_bytes(b"<html>")
        try:
            found = Reading(path, "folder", task="classification")
        except MiradaError as error:
            assert "say which" in str(error)
            return
        told = [*found.images, *(item.file for item in found.rejected)]  # each image once
        wanted = [f"{folder_}/{n}.png".lstrip("/") for n, folder_ in enumerate(places) if folder_ != ".hidden"]
        assert sorted(told) == sorted(wanted)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["0.png", "1.png", "gone.png"]), st.sampled_from(["0.2", "0.9", "x", ""])))
)
def test_the_books_of_a_table_balance(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = draw(Path(place), "0.png", "1.png")
        write(path, "labels.csv", "".join(f"{name},{value}\n" for name, value in rows))
        table = TableConfig(file="labels.csv", delimiter=",", threshold=0.5)
        found = Reading(path, "table", task="classification", classes=["low", "high"], table=table)
        said: dict[str, set[str]] = {}
        for name, value in rows:
            said.setdefault(name, set()).add({"0.2": "low", "0.9": "high"}.get(value, ""))
        for image_ in found.images.values():
            assert {image_.boxes[0].label} == said[image_.name] - {""}
        lost = " ".join(item.file for item in found.rejected)
        for name in {"0.png", "1.png", *said} - found.images.keys():
            assert name in lost or any(f"row {number}" in lost for number in range(len(rows) + 1))
