"""Labels of whole images: from the folder that an image lies in, or from a table with one image a row.

As with VOC, what can be repaired is repaired and counted, the rest is left out with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mirada.data.annotations import ADVICE as COMMON_ADVICE
from mirada.data.annotations import RawImage, Rejected, read_header
from mirada.data.folders.layout import FOREIGN_SUFFIXES, Parts
from mirada.data.records import Box

ADVICE = COMMON_ADVICE | {
    "no_class_folder": "it lies in no folder of a class: move it into <class>/ or train/<class>/, or remove it",
    "row_too_short": "the row lacks the column of the image or of the label: complete it, or correct data.table",
    "label_missing": "the row's label is empty: fill it in or remove the row",
    "label_no_number": "data.table.threshold needs a number here: correct the row, or unset the threshold",
    "rows_disagree": "the table gives this image several labels: leave one row",
    "row_without_image": "no such image: add it, strike the row, or correct data.table.image_column",
    "image_without_row": "the table has no row for it: add one or remove the image",
}


@dataclass(frozen=True)
class LabelledImage:
    """An image and the label of all of it; `source` is its path below the raw folder, `group` as of `RawImage`."""

    path: Path
    source: str
    split: str | None
    label: str
    repairs: tuple[str, ...] = ()
    group: str = ""


def reject(file: str, reason: str, objects: int = 1) -> Rejected:
    """A file or row that is left out, with the advice that belongs to the reason."""
    return Rejected(file, reason, ADVICE[reason], objects)


def list_strangers(files: Iterable[tuple[Parts, Path]]) -> list[Rejected]:
    """Pictures of kinds that are not opened here."""
    return [
        reject("/".join((*parts, path.name)), "image_format_foreign", 0)
        for parts, path in files
        if path.suffix.lower() in FOREIGN_SUFFIXES
    ]


def read_labelled(item: LabelledImage) -> RawImage | Rejected:
    """Read the image's header; its one box spans all of it. Its EXIF orientation is applied: there is none to contradict.

    Args:
        item: from `list_class_folders` or `list_table`.
    """
    header = read_header(item.path)
    if isinstance(header, str):
        return reject(item.source, header)
    (width, height), orientation, repairs = header
    if orientation > 1:
        repairs.append("exif_applied")
    if orientation >= 5:
        width, height = height, width
    box = Box(0.0, 0.0, float(width), float(height), item.label)
    repairs += item.repairs
    place = (item.path, item.source, item.split, width, height, orientation > 1)
    return RawImage(*place, (box,), tuple(repairs), item.group)
