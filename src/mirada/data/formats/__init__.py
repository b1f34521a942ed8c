"""The formats of raw data behind one door: list what there may be, then read each item into a `RawImage`.

Listing opens no image. Reading is for workers; it opens headers only. Every format has its own thin reader: each names the
bad file, keeps and counts what is odd, and never opens what a file of labels only points to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected, settle
from mirada.data.formats import coco, csv_boxes, cvat, folder, json_lines, label_studio, labelme, table, voc, yolo
from mirada.data.formats.coco import gather_coco
from mirada.data.formats.csv_boxes import gather_csv
from mirada.data.formats.cvat import gather_cvat
from mirada.data.formats.folder import list_class_folders
from mirada.data.formats.gathering import Gathering
from mirada.data.formats.json_lines import gather_json_lines
from mirada.data.formats.label_studio import gather_label_studio
from mirada.data.formats.labelme import gather_labelme
from mirada.data.formats.labels import read_labelled
from mirada.data.formats.rarer.createml import gather_createml
from mirada.data.formats.rarer.dota import gather_dota
from mirada.data.formats.rarer.keras import gather_keras
from mirada.data.formats.rarer.via import gather_via
from mirada.data.formats.table import list_table
from mirada.data.formats.tfrecord import list_tfrecords, read_tfrecord
from mirada.data.formats.voc import list_voc, read_voc
from mirada.data.formats.writing import Writer
from mirada.data.formats.yolo import list_yolo, read_yolo


@dataclass(frozen=True)
class Format:
    """A way to annotate images.

    Attributes:
        list: (raw folder, data, notes) -> items with a `source`, sorted by it, and what has no label or no image; the notes
            receive what was taken for what.
        read: (item, data) -> the image with its boxes, or why it can't be used.
        expected: what the raw folder should hold, for a message.
    """

    list: Callable[[Path, DataConfig, list[str]], tuple[list[Any], list[Rejected]]]
    read: Callable[[Any, DataConfig], RawImage | Rejected]
    expected: str


def _naming(gather: Callable[..., None], expected: str, *, turns: bool = False) -> Format:
    """A format whose files of labels name their images; `turns` if boxes of it may be rotated."""

    def list_items(raw_dir: Path, data: DataConfig, notes: list[str]) -> tuple[list[Any], list[Rejected]]:
        gathering = Gathering(raw_dir, data.split.names, notes)
        gather(gathering, data.rename, **({"rotated": data.rotated} if turns else {}))
        return gathering.finish()

    return Format(list_items, lambda item, data: settle(item), expected)


def _list_keras(raw_dir: Path, data: DataConfig, notes: list[str]) -> tuple[list[Any], list[Rejected]]:
    gathering = Gathering(raw_dir, data.split.names, notes)
    gather_keras(gathering, data.rename, data.classes)
    return gathering.finish()


FORMATS = {
    "voc": Format(
        lambda raw_dir, data, notes: list_voc(raw_dir, data.split.names, notes),
        lambda item, data: read_voc(item, data.rename, data.rotated),
        "image with a VOC XML: put x.xml beside x.jpg",
    ),
    "coco": _naming(gather_coco, "image in a COCO JSON: export the instances with their images"),
    "yolo": Format(
        lambda raw_dir, data, notes: list_yolo(raw_dir, data.classes, data.split.names, notes),
        lambda item, data: read_yolo(item, data.rename, data.rotated),
        "image with YOLO rows: put x.txt beside x.jpg, or into labels/ beside images/",
    ),
    "cvat": _naming(gather_cvat, "image in an XML of CVAT: export `CVAT for images 1.1` with the images", turns=True),
    "label_studio": _naming(
        gather_label_studio, "image in a task of Label Studio: put the export beside the images", turns=True
    ),
    "labelme": _naming(gather_labelme, "image with a JSON of labelme: put x.json beside x.jpg", turns=True),
    "csv": _naming(gather_csv, "image in a table of boxes: name the columns filename, xmin, ymin, xmax, ymax, class"),
    "jsonl": _naming(gather_json_lines, "image on a line of a .jsonl: name its file and its objects"),
    "createml": _naming(gather_createml, "image in a JSON of CreateML: put it beside the images"),
    "via": _naming(gather_via, "image in a JSON of VIA: export the annotations as JSON and put it beside the images"),
    "dota": _naming(gather_dota, "image with rows of DOTA: put x.txt into labelTxt/ beside images/", turns=True),
    "keras": Format(
        _list_keras,
        lambda item, data: settle(item),
        "image in a list of paths and boxes: put the list and _classes.txt beside the images",
    ),
    "tfrecord": Format(
        lambda raw_dir, data, notes: list_tfrecords(raw_dir, data.split.names, notes),
        lambda item, data: read_tfrecord(item, data.rename),
        "image in a TFRecord file of the Object Detection API: give the files with their label_map.pbtxt",
    ),
    "folder": Format(
        lambda raw_dir, data, notes: list_class_folders(raw_dir, data.rename, data.split.names, notes),
        lambda item, data: read_labelled(item),
        "image in a folder of its class: put x.jpg into <class>/ or train/<class>/",
    ),
    "table": Format(
        lambda raw_dir, data, notes: list_table(raw_dir, data.table, data.classes, data.rename, data.split.names),
        lambda item, data: read_labelled(item),
        "image with a row in data.table.file: correct the file or data.table's columns",
    ),
}

WRITERS: dict[str, Writer] = {
    "voc": voc.WRITER,
    "coco": coco.WRITER,
    "yolo": yolo.WRITER,
    "cvat": cvat.WRITER,
    "label_studio": label_studio.WRITER,
    "labelme": labelme.WRITER,
    "csv": csv_boxes.WRITER,
    "jsonl": json_lines.WRITER,
    "folder": folder.WRITER,
    "table": table.WRITER,
}
