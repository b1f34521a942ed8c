"""What was found as text, in the formats of labelling tools and of training: predictions that a person corrects.

Every function is pure. Boxes are in pixels of the photograph as displayed, x2 and y2 exclusive, as the project's readers
take them. JSON keeps every digit; VOC and CSV round to a hundredth of a pixel, YOLO and Label Studio to a
millionth of a side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml

from mirada.prediction.findings import Finding

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score")


def coco(findings: Iterable[Finding], labels: Sequence[str], about: str) -> dict[str, Any]:
    """A COCO data set of what was found; annotations have a score besides.

    Args:
        findings: of all photographs.
        labels: of the model, in its order; categories count from 1.
        about: what looked, for people.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, finding in enumerate(findings, start=1):
        image = {"id": number, "file_name": finding.file, "width": finding.width, "height": finding.height}
        of_video = {"frame": finding.frame, "time_s": finding.time_s} if finding.frame is not None else {}
        images.append(image | of_video)
        for label, score, box in zip(finding.labels, finding.scores, finding.corners, strict=True):
            x1, y1, x2, y2 = box
            place = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            of = {"id": len(annotations) + 1, "image_id": number, "category_id": labels.index(label) + 1}
            annotations.append({**of, **place, "score": score, "iscrowd": 0})
    categories = [{"id": at, "name": label, "supercategory": ""} for at, label in enumerate(labels, start=1)]
    info = {"description": about, "version": "1.0"}
    return {"info": info, "licenses": [], "categories": categories, "images": images, "annotations": annotations}


def voc_xml(finding: Finding) -> str:
    """A PASCAL VOC file of one photograph, its scores in an element that readers pass over."""
    root = Element("annotation")
    SubElement(root, "filename").text = finding.file.rpartition("/")[2]
    size = SubElement(root, "size")
    for key, value in (("width", finding.width), ("height", finding.height), ("depth", 3)):
        SubElement(size, key).text = str(value)
    for label, score, corners in zip(finding.labels, finding.scores, finding.corners, strict=True):
        entry = SubElement(root, "object")
        for key, text in (("name", label), ("difficult", "0"), ("score", f"{score:.4f}")):
            SubElement(entry, key).text = text
        box = SubElement(entry, "bndbox")
        for key, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, key).text = _pixels(corner)
    indent(root)
    return str(tostring(root, encoding="unicode")) + "\n"


def yolo_rows(finding: Finding, labels: Sequence[str]) -> str:
    """A row for each object: class, and centre, width and height as shares of the photograph's sides."""
    rows = []
    for label, (x1, y1, x2, y2) in zip(finding.labels, finding.corners, strict=True):
        wide, high = finding.width, finding.height
        shares = ((x1 + x2) / 2 / wide, (y1 + y2) / 2 / high, (x2 - x1) / wide, (y2 - y1) / high)
        rows.append(" ".join([str(labels.index(label)), *(f"{share:.6f}" for share in shares)]))
    return "".join(f"{row}\n" for row in rows)


def yolo_yaml(labels: Sequence[str]) -> str:
    """The `data.yaml` that names the classes; which photographs are for training, people decide."""
    head = "# For Ultralytics add train: and val:, folders of photographs.\n"
    content = {"nc": len(labels), "names": dict(enumerate(labels))}
    return head + yaml.safe_dump(content, allow_unicode=True, sort_keys=False)


def csv_rows(finding: Finding) -> list[list[str]]:
    """A row under `COLUMNS` for each object; a photograph without any has one, without a box."""
    start = [finding.file, str(finding.width), str(finding.height)]
    found = zip(finding.labels, finding.corners, finding.scores, strict=True)
    rows = [[*start, label, *map(_pixels, box), f"{score:.4f}"] for label, box, score in found]
    return rows or [[*start, "", "", "", "", "", ""]]


def json_line(finding: Finding) -> str:
    """A photograph on one line: its name, its size, and its objects as {label, score, box}."""
    keys = ("label", "score", "box")
    boxes: Sequence[list[float] | None] = finding.boxes if finding.boxes is not None else [None]
    objects = [dict(zip(keys, entry, strict=True)) for entry in zip(finding.labels, finding.scores, boxes, strict=True)]
    left_out = ("labels", "scores", "boxes")
    rest = {key: value for key, value in asdict(finding).items() if key not in left_out and value is not None}
    return json.dumps(rest | {"objects": objects}, ensure_ascii=False) + "\n"


def label_studio_task(finding: Finding, model: str) -> dict[str, Any]:
    """A task of Label Studio with its pre-annotations, for a project of `label_studio_view`.

    The image is asked of Label Studio's local storage, whose root is the folder of the photographs.

    Args:
        finding: of one photograph.
        model: what looked; people see it beside the pre-annotations.
    """
    about = {"from_name": "label", "to_name": "image", "image_rotation": 0}
    about |= {"original_width": finding.width, "original_height": finding.height}
    results: list[dict[str, Any]] = []
    for number, (label, score) in enumerate(zip(finding.labels, finding.scores, strict=True)):
        result = {"id": f"object-{number}", **about, "score": score}
        if finding.boxes is None:
            results.append({**result, "type": "choices", "value": {"choices": [label]}})
            continue
        x1, y1, x2, y2 = finding.boxes[number]
        wide, high = 100 / finding.width, 100 / finding.height
        place = {"x": x1 * wide, "y": y1 * high, "width": (x2 - x1) * wide, "height": (y2 - y1) * high}
        value = {key: round(share, 4) for key, share in place.items()} | {"rotation": 0, "rectanglelabels": [label]}
        results.append({**result, "type": "rectanglelabels", "value": value})
    score = sum(finding.scores) / len(finding.scores) if finding.scores else 0.0
    data = {"image": f"/data/local-files/?d={quote(finding.file)}"}
    return {"data": data, "predictions": [{"model_version": model, "score": score, "result": results}]}


def label_studio_view(labels: Sequence[str], boxes: bool) -> str:
    """The labelling interface that the tasks of `label_studio_task` are for; it goes into the project's settings."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    kind, entry = ("RectangleLabels", "Label") if boxes else ("Choices", "Choice")
    choice = SubElement(view, kind, name="label", toName="image")
    for label in labels:
        SubElement(choice, entry, value=label)
    indent(view)
    return str(tostring(view, encoding="unicode")) + "\n"


def _pixels(value: float) -> str:
    """A coordinate to a hundredth of a pixel, whole ones without a point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
