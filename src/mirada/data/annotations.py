"""Read PASCAL VOC annotations as people really leave them: repair and count what can be repaired, reject the rest.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html. Coordinates are kept as they are
written. The original VOC counts pixels from 1 and includes the last one, most tools since count from 0; a file does not
say which, and the difference is one pixel at the left and top.

Only headers of images are read here. A photograph that is cut short is found by whoever decodes it.
"""

from __future__ import annotations

import csv
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mirada.data.records import Box

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Folders of VOCdevkit whose images are masks, not photographs.
_MASKS = {"segmentationclass", "segmentationobject"}
_TOLERANCE_PX = 1.0
_ORIENTATION = 0x0112

ADVICE = {
    "image_without_xml": "annotate it (an XML without objects makes it a background image) or remove it",
    "xml_without_image": "put the image beside it, converted to JPEG or PNG if need be, or remove the XML",
    "duplicate_name": "another image has the same name but for its extension: rename one and give it an XML of its own",
    "in_no_list": "add its name to a list in ImageSets/Main or remove it",
    "in_several_lists": "leave its name in one of the train, val and test lists, else the test is no test",
    "listed_but_missing": "add the image and its XML or strike the name from the list",
    "xml_empty": "the file has no content: annotate the image again",
    "xml_broken": "the file is no well-formed XML, perhaps cut short: annotate the image again",
    "xml_unsafe": "the file defines XML entities, which no annotation needs: export it again without a DOCTYPE",
    "xml_not_voc": "the root of a VOC file is <annotation>: export the annotations as PASCAL VOC",
    "image_unreadable": "the file is no image that can be opened: export it again as JPEG or PNG",
    "image_too_large": "the image has more pixels than is safe to decode: cut it into parts",
    "no_usable_box": "each of its objects lacks a name or lies outside the image: annotate the image again",
}


@dataclass(frozen=True, slots=True)
class RawImage:
    """An annotated image of the raw folder.

    Attributes:
        path: where it lies.
        source: its path below the raw folder, with '/'.
        split: 'train', 'val' or 'test' where the layout says so, else None.
        width, height: in pixels as displayed, after the decision about EXIF.
        transpose: apply the EXIF orientation when decoding.
        boxes: inside the image, each with an area.
        repairs: what was mended, a reason code for each occurrence.
    """

    path: Path
    source: str
    split: str | None
    width: int
    height: int
    transpose: bool
    boxes: tuple[Box, ...]
    repairs: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """A file that is left out: its path below the raw folder, a reason code, and what to do."""

    file: str
    reason: str
    advice: str


def reject(file: str, reason: str) -> Rejected:
    """A file that is left out, with the advice that belongs to the reason."""
    return Rejected(file, reason, ADVICE[reason])


def visible_files(raw_dir: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Every visible file with the folders that lead to it."""
    for folder, names, files in os.walk(raw_dir):
        parts = Path(folder).relative_to(raw_dir).parts
        names[:] = sorted(n for n in names if not n.startswith((".", "__MACOSX")) and n.lower() not in _MASKS)
        for name in sorted(files):
            if not name.startswith("."):
                yield parts, Path(folder) / name


def read_header(path: Path) -> tuple[tuple[int, int], int, list[str]] | str:
    """Stored size, EXIF orientation (1 where there is none) and repairs of an image, or a reason code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a big image and a damaged EXIF block are no reason to stop
            with Image.open(path) as image:
                # Pillow turns a TIFF by itself; asking a PNG without EXIF in its header would decode all of it.
                known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
                try:
                    orientation = image.getexif().get(_ORIENTATION, 1) if known else 1
                except (OSError, ValueError, SyntaxError, struct.error):
                    orientation = 1
                suffixes = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
                expected = suffixes.get(path.suffix.lower(), path.suffix[1:].upper())
                actual = "JPEG" if image.format == "MPO" else image.format
                repairs = [] if actual == expected else ["extension_wrong"]
                return image.size, orientation if orientation in range(1, 9) else 1, repairs
    except Image.DecompressionBombError:
        return "image_too_large"
    except (OSError, ValueError, SyntaxError, struct.error):
        return "image_unreadable"


def is_turned(size: tuple[int, int], orientation: int, xml_size: tuple[int, int], boxes: list[Box]) -> bool:
    """Whether the annotation was made on the image as its EXIF orientation displays it; see `read_voc`."""
    if orientation < 5 or size[0] == size[1]:
        return False
    as_stored, as_turned = _misfits(boxes, size), _misfits(boxes, size[::-1])
    return xml_size == size[::-1] if as_stored == as_turned else as_turned < as_stored


def _misfits(boxes: list[Box], size: tuple[int, int]) -> int:
    """How many boxes reach more than a pixel out of an image of that size."""
    return sum(
        min(b.x1, b.x2, b.y1, b.y2) < -_TOLERANCE_PX
        or max(b.x1, b.x2) > size[0] + _TOLERANCE_PX
        or max(b.y1, b.y2) > size[1] + _TOLERANCE_PX
        for b in boxes
    )


def repair_box(box: Box, width: int, height: int) -> tuple[Box | None, list[str]]:
    """The box with its corners in order and inside the image, or None; and what was done."""
    reasons = []
    x1, x2 = sorted((box.x1, box.x2))
    y1, y2 = sorted((box.y1, box.y2))
    if x1 == x2 or y1 == y2:
        return None, ["box_empty"]
    if (x1, y1) != (box.x1, box.y1):
        reasons.append("corners_swapped")
    inside = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None, ["box_outside"]
    if inside != (x1, y1, x2, y2):
        reasons.append("box_clipped")
    return Box(*inside, box.label, box.difficult), reasons


def write_rejected(rejected: set[Rejected], path: Path) -> None:
    """Write `rejected.csv`: file, reason and what to do, sorted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "reason", "advice"))
        writer.writerows(sorted((item.file, item.reason, item.advice) for item in rejected))
