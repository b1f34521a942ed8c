"""A job's results in the formats that people take away."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mirada.service.safety import safe_stem

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "n",
    "name",
    "state",
    "error",
    "width",
    "height",
    "label",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "view",
    "tiles",
    "left_out",
)
Images = Sequence[Mapping[str, Any]]
Results = Mapping[int, Mapping[str, Any]]


def to_json(job: Mapping[str, Any], images: Images, results: Results, labels: Sequence[str], task: str) -> bytes:
    """Everything, each image with what was found in it."""
    rows = [dict(image) | {"prediction": results.get(image["n"])} for image in images]
    about = {"job": {key: value for key, value in job.items() if key != "images"}, "task": task, "labels": list(labels)}
    return json.dumps(about | {"images": rows}, ensure_ascii=False).encode()


def to_coco(images: Images, results: Results, labels: Sequence[str]) -> bytes:
    """COCO: images, categories (from 1) and annotations with a score; an image that failed is left out."""
    content: dict[str, Any] = {
        "info": {"description": "Predictions by Mirada"},
        "images": [],
        "categories": [{"id": at, "name": label} for at, label in enumerate(labels, start=1)],
        "annotations": [],
    }
    for image in images:
        found = results.get(image["n"])
        if found is None:
            continue
        about = {"width": found["width"], "height": found["height"]} | _how(found)
        content["images"].append({"id": image["n"], "file_name": image["name"], **about})
        for detection in found["detections"]:
            annotation = {"id": len(content["annotations"]) + 1, "image_id": image["n"], "iscrowd": 0}
            annotation |= {"category_id": labels.index(detection["label"]) + 1, "score": detection["score"]}
            if detection["box"] is not None:
                x1, y1, x2, y2 = detection["box"]
                annotation |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            content["annotations"].append(annotation)
    return json.dumps(content, ensure_ascii=False).encode()


def to_csv(images: Images, results: Results) -> bytes:
    """One row a detection; an image without any, or without a result, has one row.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for image in images:
        found = results.get(image["n"])
        start = [image["n"], _plain(image["name"]), image["state"], _plain(image["error"] or "")]
        if found is None:
            writer.writerow([*start, *[""] * 11])
            continue
        size, how = [found["width"], found["height"]], _how(found).values()
        for detection in found["detections"] or [None]:
            if detection is None:
                writer.writerow([*start, *size, *[""] * 6, *how])
            else:
                box = detection["box"] or [""] * 4
                writer.writerow([*start, *size, _plain(detection["label"]), detection["score"], *box, *how])
    return buffer.getvalue().encode()


def _how(found: Mapping[str, Any]) -> dict[str, Any]:
    """How an image was looked at, and how many detections its result had no room for."""
    return {"view": found.get("view", "whole"), "tiles": found.get("tiles", 0), "left_out": found.get("left_out", 0)}


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def to_voc(images: Images, results: Results) -> bytes:
    """A .zip of one PASCAL VOC XML an image, for training on or correcting by hand; images that failed are left out."""
    buffer = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for image in images:
            found = results.get(image["n"])
            if found is None:
                continue
            stem = safe_stem(image["name"])
            while stem.lower() in taken:
                stem = f"{stem}-{image['n']}"
            taken.add(stem.lower())
            archive.writestr(f"{stem}.xml", _voc_xml(image["name"], found))
    return buffer.getvalue()


def _voc_xml(name: str, found: Mapping[str, Any]) -> bytes:
    root = Element("annotation")
    SubElement(root, "filename").text = name
    size = SubElement(root, "size")
    for key, value in (("width", found["width"]), ("height", found["height"]), ("depth", 3)):
        SubElement(size, key).text = str(value)
    for detection in found["detections"]:
        entry = SubElement(root, "object")
        SubElement(entry, "name").text = detection["label"]
        SubElement(entry, "score").text = str(detection["score"])
        SubElement(entry, "difficult").text = "0"
        box = SubElement(entry, "bndbox")
        corners = detection["box"] or [0, 0, found["width"], found["height"]]
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, key).text = str(value)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
