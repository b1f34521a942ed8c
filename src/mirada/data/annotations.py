"""Annotated images as people really leave them: repair and count what can be repaired, reject the rest.

What all formats share. Only headers of images are read here. A photograph that is cut short is found by whoever decodes it.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mirada.data.pixels.depth import is_cut_down, is_deep
from mirada.data.pixels.opening import Unopenable, open_picture
from mirada.data.records import Box
from mirada.files import read_part

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
    "image_needs_heic": "it is a HEIC photograph: install mirada[heic], or save it as JPEG or PNG",
    "image_bands_unknown": "Pillow opens no TIFF of such bands: save three of them as RGB, or one as grey of 16 bits "
    "(`gdal_translate -ot UInt16 -b 3 -b 2 -b 1`)",
    "depth_unknown": "its pixels are floats, and no training image tells their range: set data.depth_range=[low,high]",
    "image_too_large": "the image has more pixels than is safe to decode: cut it into parts",
    "no_usable_box": "each of its objects lacks a name or lies outside the image: annotate the image again",
    "image_is_pointer": "it is a pointer of Git LFS, not the image: run `git lfs pull` where it comes from",
    "image_is_text": "it is a page of text under an image's name, as a failed download leaves one: get the image again",
    "image_format_foreign": "Pillow opens no image of this kind here: convert it to JPEG or PNG",
    "image_without_labels": "no annotation names it: annotate it or remove it",
    "labels_without_image": "no image of the raw folder is meant: add the image or remove the labels",
    "image_ambiguous": "several images may be meant: rename all but one, or write the folder into the path",
    "labels_ambiguous": "several files may hold its labels: leave one",
    "labels_twice": "other labels of the same images were taken: remove these to be sure",
    "labels_unreadable": "the file can't be read as labels: export it again",
    "image_id_twice": "two images of the file have one id, so nobody knows whose its objects are: export it again",
    "record_damaged": "its bytes are not those that were written, or the file is cut short: copy or export it again",
    "record_foreign": "it is no example of the Object Detection API: export it again",
    "record_without_image": "its image/encoded is empty: write the image's bytes into the record",
    "shard_missing": "the name of the others tells of it: copy all of them",
    "class_unknown": "an object's class is not among the names of the file: complete them",
}

# What happens to single objects, by the code under which it is counted. An image's objects are those that it keeps and
# those that were lost; all other codes tell of mending.
LOSSES = {
    "box_empty": "a box without area",
    "box_outside": "a box that lies outside the image",
    "box_unreadable": "an object without four numbers",
    "name_missing": "an object without a class",
    "class_unknown": "an object whose class has no name",
    "mask_unreadable": "an object whose mask can't be decoded",
    "shape_without_area": "a point, a line or a tag",
    "outside_frame": "a tracked object that has left the frame",
    "object_repeated": "the same box and class a second time",
    "annotator_dropped": "an object of a second annotator of the same image",
}
_BACKGROUND = {"box_empty", "shape_without_area", "outside_frame", "object_repeated", "annotator_dropped"}


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
        group: images of one group are never parted by a split; empty where the annotations tell of none.
        part: offset and length of an image that lies inside a bigger file.
    """

    path: Path
    source: str
    split: str | None
    width: int
    height: int
    transpose: bool
    boxes: tuple[Box, ...]
    repairs: tuple[str, ...]
    group: str = ""
    part: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The image's own name."""
        return self.source.rpartition("/")[2]

    @property
    def content(self) -> Path | bytes:
        """What to decode: its file, or its bytes where it lies inside a bigger one."""
        return self.path if self.part is None else read_part(self.path, *self.part)

    def read(self) -> bytes:
        """All bytes of the image."""
        content = self.content
        return content if isinstance(content, bytes) else content.read_bytes()


@dataclass(frozen=True)
class Rejected:
    """A file that is left out: its path below the raw folder, a reason code, what to do, and how many objects go with it."""

    file: str
    reason: str
    advice: str
    objects: int = 0


def reject(file: str, reason: str, objects: int = 0, detail: str = "") -> Rejected:
    """A file that is left out, with the advice that belongs to the reason; a detail comes before it."""
    return Rejected(file, reason, f"{detail}: {ADVICE[reason]}" if detail else ADVICE[reason], objects)


@dataclass(frozen=True, slots=True)
class Labelling:
    """What a format says of one image, before the image is asked.

    Attributes:
        path, source, split: as of `RawImage`.
        boxes: as written, in pixels, or as shares of the image's sides where `relative`.
        size: (width, height) as written; (0, 0) where the format says none.
        relative: whether coordinates are shares of the sides.
        repairs: what was mended or lost already, a code for each occurrence.
        checks_size: whether a size that is absent is worth a remark.
        part: as of `RawImage`.
    """

    path: str
    source: str
    split: str | None
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] = (0, 0)
    relative: bool = False
    repairs: tuple[str, ...] = ()
    checks_size: bool = False
    part: tuple[int, int] | None = None

    @property
    def objects(self) -> int:
        """How many objects the annotation holds, those lost with them."""
        return len(self.boxes) + sum(code in LOSSES for code in self.repairs)


def settle(labelling: Labelling, header: tuple[tuple[int, int], int, list[str]] | None = None) -> RawImage | Rejected:
    """Bring what a format says and what the image is together.

    The image decides its size, whatever is written. Its EXIF orientation is applied only when the annotation was made on
    the turned image: more boxes fit the turned size (within a pixel), or as many do and the written size is the turned
    one. Where that leaves it open (a half turn, a mirror image, a square) the stored pixels are kept. The decision is
    recorded as `exif_applied` or `exif_ignored`. Shares of the sides can't contradict: they are of what a viewer shows.
    Whether the image decodes to its end is left to whoever decodes it.

    Args:
        labelling: from a format.
        header: as of `read_header`, where it is known already.

    Returns:
        The image with its boxes and repairs, or why it can't be used.
    """
    path = Path(labelling.path)
    found = read_header(path) if header is None else header
    if isinstance(found, str):
        return reject(labelling.source, found, labelling.objects)
    size, orientation, repairs = found
    boxes = list(labelling.boxes)
    transpose = orientation > 1 if labelling.relative else is_turned(size, orientation, labelling.size, boxes)
    if orientation > 1:
        repairs = [*repairs, "exif_applied" if transpose else "exif_ignored"]
    width, height = size[::-1] if transpose and orientation >= 5 else size
    if labelling.size != (width, height) and (labelling.checks_size or labelling.size != (0, 0)):
        repairs = [*repairs, "size_wrong"]
    dropped = list(labelling.repairs)
    kept = []
    for box in boxes:
        if labelling.relative:
            # Half a side, added to the middle, may end a billionth of a pixel outside: no box that needs mending.
            x1, x2 = round(box.x1 * width, 4), round(box.x2 * width, 4)
            y1, y2 = round(box.y1 * height, 4), round(box.y2 * height, 4)
            box = Box(x1, y1, x2, y2, box.label, box.difficult, box.truncated, box.occluded)
        inside, reasons = repair_box(box, width, height)
        dropped += reasons
        if inside is not None:
            kept.append(inside)
    if not kept and (set(dropped) & LOSSES.keys()) - _BACKGROUND:
        return reject(labelling.source, "no_usable_box", labelling.objects)
    repairs = [*repairs, *dropped]
    place = (path, labelling.source, labelling.split, width, height, transpose)
    return RawImage(*place, tuple(kept), tuple(repairs), part=labelling.part)


def count_objects(images: Iterable[RawImage], rejected: Iterable[Rejected]) -> dict[str, Any]:
    """The books of what the annotations hold: objects found are those read, those lost and those of rejected files.

    Returns:
        {"found", "read": {label: objects}, "lost": {code of LOSSES: objects}, "rejected"}.
    """
    read, lost = Counter[str](), Counter[str]()
    for image in images:
        read.update(box.label for box in image.boxes)
        lost.update(code for code in image.repairs if code in LOSSES)
    left_out = sum(item.objects for item in rejected)
    found = read.total() + lost.total() + left_out
    return {
        "found": found,
        "read": dict(sorted(read.items())),
        "lost": dict(sorted(lost.items())),
        "rejected": left_out,
    }


def count_kept(images: Iterable[RawImage], splits: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Split -> label -> objects of the images that take part.

    Args:
        images: after all that was left out.
        splits: source -> split of each; none where photographs are parted by area, and then none is counted here.
    """
    kept: dict[str, Counter[str]] = {}
    for image in images:
        if image.source in splits:
            kept.setdefault(splits[image.source], Counter()).update(box.label for box in image.boxes)
    return {split: dict(sorted(labels.items())) for split, labels in sorted(kept.items())}


def read_header(source: Path | bytes) -> tuple[tuple[int, int], int, list[str]] | str:
    """Stored size, EXIF orientation (1 where there is none) and repairs of an image, or a reason code.

    Args:
        source: a file, or the bytes of one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a big image and a damaged EXIF block are no reason to stop
            with open_picture(source) as image:
                # Pillow turns a TIFF by itself; asking a PNG without EXIF in its header would decode all of it.
                known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
                try:
                    orientation = image.getexif().get(_ORIENTATION, 1) if known else 1
                except (OSError, ValueError, SyntaxError, struct.error):
                    orientation = 1
                repairs = [] if isinstance(source, bytes) or _is_named_rightly(source, image) else ["extension_wrong"]
                if is_deep(image):
                    repairs.append("depth_reduced")
                elif is_cut_down(image):
                    repairs.append("colour_depth_reduced")
                # Not asked of a JPEG: what a telephone puts behind the photograph is no second picture of it.
                if image.format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF") and getattr(image, "is_animated", False):
                    repairs.append("first_frame_taken")
                return image.size, orientation if orientation in range(1, 9) else 1, repairs
    except Unopenable as error:
        return error.reason
    except Image.DecompressionBombError:
        return "image_too_large"
    except (OSError, ValueError, SyntaxError, struct.error):
        return _why_unreadable(source)


def _is_named_rightly(path: Path, image: Image.Image) -> bool:
    """Whether an image is of the format that its extension says."""
    suffix = path.suffix.lower()
    suffixes = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".bmp": "BMP"}
    expected = suffixes.get(suffix) or Image.registered_extensions().get(suffix, suffix[1:].upper())
    return ("JPEG" if image.format == "MPO" else image.format) == ("JPEG" if expected == "MPO" else expected)


def _why_unreadable(source: Path | bytes) -> str:
    """What a file is that is no image."""
    try:
        start = source[:512] if isinstance(source, bytes) else read_part(source, 0, 512)
    except OSError:
        return "image_unreadable"
    if start.startswith(b"version https://git-lfs"):
        return "image_is_pointer"
    stripped = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if stripped[:1] in (b"<", b"{") or (len(stripped) > 16 and stripped.isascii() and b"\0" not in stripped):
        return "image_is_text"
    return "image_unreadable"


def is_turned(size: tuple[int, int], orientation: int, xml_size: tuple[int, int], boxes: list[Box]) -> bool:
    """Whether the annotation was made on the image as its EXIF orientation displays it; see `settle`."""
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
    return Box(*inside, box.label, box.difficult, box.truncated, box.occluded), reasons
