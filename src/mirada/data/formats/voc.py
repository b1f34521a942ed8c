"""Pascal VOC: an XML for each image.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html. Coordinates are kept as they are
written. The original VOC counts pixels from 1 and includes the last one, most tools since count from 0; a file does not
say which, and the difference is one pixel at the left and top.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from mirada.data.annotations import Labelling, RawImage, Rejected, read_header, reject, settle
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_rotated
from mirada.data.folders.layout import Parts, folder_splits, visible_files
from mirada.data.folders.lists import follow_lists
from mirada.data.folders.markup import BrokenXml, count_tags, element_text, parse_xml
from mirada.data.folders.pairing import pair_files
from mirada.data.folders.texts import clean_label, is_true, read_hidden
from mirada.data.formats.labels import list_strangers
from mirada.data.formats.writing import LabelSet, Writer, Written, beside, corners_of, number_text
from mirada.data.records import HIDDEN, Box

_MAX_XML_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VocPair:
    """An image and its XML; `source` is the image's path below the raw folder.

    Of a hundred thousand of them, paths as text take a quarter of the memory.
    """

    image_path: str | Path | None
    xml_path: str | Path | None
    source: str
    split: str | None

    @property
    def image(self) -> Path | None:
        """Where the image lies."""
        return None if self.image_path is None else Path(self.image_path)

    @property
    def xml(self) -> Path | None:
        """Where the XML lies."""
        return None if self.xml_path is None else Path(self.xml_path)


def list_voc(
    raw_dir: Path, names: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> tuple[list[VocPair], list[Rejected]]:
    """Pair images with XML files by their names, in one order on every machine.

    How they are paired is told by `pairing.pair_files`, which lists count by `lists.follow_lists`. Where no list speaks for
    an image, its folders do. Folders around all of it, as archives have them, don't matter. No image is opened.

    Args:
        raw_dir: the raw folder.
        names: of `data.split.names`.
        notes: receives what was taken for what.

    Returns:
        The pairs, sorted by source, and what has no partner or no place, sorted by file.
    """
    names = names or {}
    files: list[tuple[Parts, Path]] = []
    texts: list[tuple[Parts, Path]] = []
    for parts, path in visible_files(raw_dir):
        (texts if path.suffix.lower() == ".txt" else files).append((parts, path))
    paired = pair_files(files, ".xml", names, _count)
    rejected = paired.rejected + list_strangers(files)
    rejected += [reject(source, "image_without_xml") for _, source in paired.images]
    rejected += [reject(source, "xml_without_image", _count(path)) for path, source in paired.labels]
    folders = folder_splits({tuple(image[1].split("/")[:-1]) for image, _ in paired.pairs}, names)
    pairs = [
        VocPair(image[0], xml[0], image[1], folders[tuple(image[1].split("/")[:-1])]) for image, xml in paired.pairs
    ]
    partial = [source for _, source in (*paired.images, *paired.labels)]
    lists = follow_lists(texts, [pair.source for pair in pairs], partial, names) if texts else None
    if lists:
        xmls = {pair.source: pair.xml_path for pair in pairs if pair.source in lists.left_out}
        rejected += [
            replace(item, objects=_count(str(xmls[item.file]))) if item.file in xmls else item
            for item in lists.rejected
        ]
        pairs = [
            replace(pair, split=lists.splits.get(pair.source, pair.split))
            for pair in pairs
            if pair.source not in lists.left_out
        ]
        if notes is not None:
            notes += lists.notes
    return sorted(pairs, key=lambda pair: pair.source), sorted(rejected, key=lambda item: (item.file, item.reason))


def _count(path: str) -> int:
    return count_tags(path, "object")


def read_voc(pair: VocPair, rename: Mapping[str, str], rotated: str = "enclose") -> RawImage | Rejected:
    """Read an XML and its image's header; see `annotations.settle`.

    Args:
        pair: from `list_voc`.
        rename: label in the file -> label to use; others stay as they are.
        rotated: of `data.rotated`.

    Returns:
        The image with its boxes and repairs, or why it can't be used.
    """
    image, xml = pair.image, pair.xml
    if image is None or xml is None:
        return reject(pair.source, "xml_without_image" if image is None else "image_without_xml")
    try:
        root, mended = parse_xml(xml, _MAX_XML_BYTES)
    except BrokenXml as error:
        return reject(pair.source, error.reason, count_tags(xml, "object"), error.detail)
    if root.tag != "annotation":
        return reject(pair.source, "xml_not_voc", count_tags(xml, "object"))
    header = read_header(image)
    if not isinstance(header, str):
        name = re.split(r"[/\\]", (root.findtext("filename") or "").strip())[-1]
        wrong = ["filename_wrong"] if name and name not in (image.name, image.stem) else []
        header = header[0], header[1], [*header[2], *mended, *wrong]
    boxes, dropped = _boxes(root, rename, rotated)
    labelling = Labelling(
        str(image), pair.source, pair.split, tuple(boxes), _xml_size(root), repairs=tuple(dropped), checks_size=True
    )
    if isinstance(header, str):
        return reject(pair.source, header, labelling.objects)
    return settle(labelling, header)


def _xml_size(root: Element) -> tuple[int, int]:
    """Width and height in `<size>`; (0, 0) where they can't be read."""
    try:
        return int(float(root.findtext("size/width") or 0)), int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return 0, 0


def _boxes(root: Element, rename: Mapping[str, str], rotated: str) -> tuple[list[Box], list[str]]:
    """The boxes as written, and a code for each object that was mended or lacks a name or four numbers."""
    boxes, codes = [], []
    for element in root.findall("object"):
        label = sys.intern(clean_label(element.findtext("name") or ""))  # one object for all its boxes
        difficult = is_true(element.findtext("difficult"))
        hidden = read_hidden({name: element.findtext(name) for name in HIDDEN})
        shapes = list(_shapes(element, rotated)) or [(None, "box_unreadable")]
        codes += ["object_of_several_boxes"] * (len(shapes) - 1)
        for corners, code in shapes:
            if not label:
                codes.append("name_missing")
                continue
            codes += [code] if code else []
            if corners:
                boxes.append(Box(*corners, rename.get(label, label), difficult, *hidden))
    return boxes, codes


def _shapes(element: Element, rotated: str) -> Iterator[tuple[Corners | None, str]]:
    """The box of each shape of an object, None for one without numbers; and a code where that is worth a remark."""
    for box in element.findall("bndbox"):
        values = _numbers(box, ("xmin", "ymin", "xmax", "ymax"))
        if values:
            yield (values[0], values[1], values[2], values[3]), ""
        elif _numbers(box, ("cx", "cy", "w", "h", "angle")):
            yield from _rotated(box, rotated)
        else:
            yield None, "box_unreadable"
    for box in element.findall("robndbox"):
        yield from _rotated(box, rotated)
    if element.find("bndbox") is None and element.find("robndbox") is None:
        for polygon in element.findall("polygon"):
            corners = enclose(_points(polygon))
            yield corners, "polygon_enclosed" if corners else "box_unreadable"


def _rotated(box: Element, rotated: str) -> Iterator[tuple[Corners | None, str]]:
    """A box of roLabelImg: centre, sides, and an angle in radians."""
    values = _numbers(box, ("cx", "cy", "w", "h", "angle"))
    if not values:
        yield None, "box_unreadable"
        return
    cx, cy, width, height, angle = values
    yield enclose_rotated(cx, cy, width, height, angle, rotated), ROTATED[rotated]


def _numbers(element: Element, tags: tuple[str, ...]) -> list[float]:
    """The numbers in these tags, or none of them where one is missing or no number."""
    try:
        values = [float(element.findtext(tag) or "") for tag in tags]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []


def _points(polygon: Element) -> list[tuple[float, float]]:
    """The corners of a polygon, as `<x1>`, `<y1>`, `<x2>` … or as `<pt><x/><y/></pt>`."""
    points = [(point.findtext("x"), point.findtext("y")) for point in polygon.findall("pt")]
    number = 1
    while polygon.find(f"x{number}") is not None:
        points.append((polygon.findtext(f"x{number}"), polygon.findtext(f"y{number}")))
        number += 1
    try:
        return [(float(x or ""), float(y or "")) for x, y in points]
    except ValueError:
        return []


def write_voc(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """An XML for each image, which lies as the image does."""
    for image, path in beside(labels, ".xml"):
        yield path, voc_xml(image)


def voc_xml(image: Written) -> str:
    """The XML of one image; a score is in an element of its own, which readers pass over."""
    root = Element("annotation")
    SubElement(root, "filename").text = image.file_name
    size = SubElement(root, "size")
    for tag, side in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(size, tag).text = str(side)
    for box, score in image.objects:
        entry = SubElement(root, "object")
        SubElement(entry, "name").text = box.label
        SubElement(entry, "difficult").text = str(int(box.difficult))
        if score is not None:
            SubElement(entry, "score").text = number_text(score)
        corners = SubElement(entry, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners_of(box), strict=True):
            SubElement(corners, tag).text = number_text(value)
    return element_text(root)


WRITER = Writer(lambda image: image.path, write_voc)
