"""A job's results in the formats that people take away."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from mirada.data.formats.coco import coco_json
from mirada.data.formats.voc import voc_xml
from mirada.data.formats.writing import LabelSet, Written
from mirada.data.records import Box
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
    found = [_written(image, results[image["n"]], {"id": image["n"]}) for image in images if results.get(image["n"])]
    return coco_json(LabelSet(found, labels, about="Predictions by Mirada")).encode()


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
            archive.writestr(f"{stem}.xml", voc_xml(_written(image, found, {})))
    return buffer.getvalue()


def _written(image: Mapping[str, Any], found: Mapping[str, Any], about: Mapping[str, Any]) -> Written:
    """What was found in an image, as the formats write it; a label of the whole image has a box that spans it."""
    width, height = found["width"], found["height"]
    detections = found["detections"]
    corners = [(one["label"], *(one["box"] or (0, 0, width, height))) for one in detections]
    boxes = tuple(Box(x1, y1, x2, y2, label) for label, x1, y1, x2, y2 in corners)
    scores = tuple(one["score"] for one in detections)
    whole = any(one["box"] is None for one in detections)
    return Written(image["name"], width, height, boxes, scores, whole=whole, about={**about, **_how(found)})
