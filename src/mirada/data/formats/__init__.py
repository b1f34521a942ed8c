"""The formats of raw data behind one door: list what there may be, then read each item into a `RawImage`.

Listing opens no image. Reading is for workers; it opens headers only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.formats.folder import list_class_folders
from mirada.data.formats.labels import read_labelled
from mirada.data.formats.table import list_table
from mirada.data.formats.voc import list_voc, read_voc


@dataclass(frozen=True)
class Format:
    """A way to annotate images.

    Attributes:
        list: (raw folder, data) -> items with a `source`, sorted by it, and what has no label or no image.
        read: (item, data) -> the image with its boxes, or why it can't be used.
        expected: what the raw folder should hold, for a message.
    """

    list: Callable[[Path, DataConfig], tuple[list[Any], list[Rejected]]]
    read: Callable[[Any, DataConfig], RawImage | Rejected]
    expected: str


FORMATS = {
    "voc": Format(
        lambda raw_dir, data: list_voc(raw_dir),
        lambda item, data: read_voc(item, data.rename),
        "image with a VOC XML: put x.xml beside x.jpg",
    ),
    "folder": Format(
        lambda raw_dir, data: list_class_folders(raw_dir, data.rename),
        lambda item, data: read_labelled(item),
        "image in a folder of its class: put x.jpg into <class>/ or train/<class>/",
    ),
    "table": Format(
        lambda raw_dir, data: list_table(raw_dir, data.table, data.classes, data.rename),
        lambda item, data: read_labelled(item),
        "image with a row in data.table.file: correct the file or data.table's columns",
    ),
}
