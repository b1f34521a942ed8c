"""Pascal VOC: XML beside the images, in either usual layout."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mirada.data.annotations import (
    IMAGE_SUFFIXES,
    SPLIT_FOLDERS,
    RawImage,
    Rejected,
    is_turned,
    read_header,
    reject,
    repair_box,
    visible_files,
)
from mirada.data.records import Box

# Folders that hold one half of each pair: images here, XML there.
_HALVES = {"jpegimages", "images", "annotations", "xmls"}
_LISTS = {"train": "train", "trainval": "train", "val": "val", "test": "test"}
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


@dataclass(slots=True)
class _Entry:
    """All that shares a name: images, best extension first, and XML files, as (path, source)."""

    images: tuple[tuple[str, str], ...] = ()
    xmls: tuple[tuple[str, str], ...] = ()


def list_voc(raw_dir: Path) -> tuple[list[VocPair], list[Rejected]]:
    """Pair images with XML files by their names, in one order on every machine.

    An image and its XML share a folder, or lie in twin folders such as `JPEGImages` and `Annotations`. Lists in
    `ImageSets/Main` give the splits where there are any, else folders named train, val (valid, validation) or test.
    Folders around all of it, as archives have them, don't matter. No image and no XML is opened.

    Args:
        raw_dir: the raw folder.

    Returns:
        The pairs, sorted by source, and what has no partner or no place, sorted by file.
    """
    entries: dict[tuple[tuple[str, ...], str], _Entry] = {}
    folders: dict[tuple[str, ...], tuple[str, ...]] = {}
    lists: dict[tuple[str, ...], dict[str, Path]] = {}
    for parts, path in visible_files(raw_dir):
        suffix = path.suffix.lower()
        if suffix == ".txt" and "ImageSets" in parts and path.stem in _LISTS:
            at = parts.index("ImageSets")
            if parts[at + 1 :] in ((), ("Main",)):
                lists.setdefault(parts[:at], {})[path.stem] = path
        elif suffix == ".xml" or suffix in IMAGE_SUFFIXES:
            if parts not in folders:
                folders[parts] = tuple(part for part in parts if part.lower() not in _HALVES)
            entry = entries.setdefault((folders[parts], path.stem), _Entry())
            found = ((str(path), "/".join((*parts, path.name))),)
            if suffix == ".xml":
                entry.xmls += found
            else:
                entry.images += found
    pairs, rejected = _pair(entries)
    placed: list[VocPair] = []
    for folder in sorted(lists):
        pairs, listed, left_out = _place(pairs, entries, folder, lists[folder], raw_dir)
        placed += listed
        rejected += left_out
    return sorted(placed + pairs, key=lambda pair: pair.source), sorted(rejected, key=lambda r: (r.file, r.reason))


def _pair(entries: Mapping[tuple[tuple[str, ...], str], _Entry]) -> tuple[list[VocPair], list[Rejected]]:
    """Entries with an image and an XML become pairs; the first extension of IMAGE_SUFFIXES wins."""
    pairs, rejected = [], []
    for (parts, _), entry in entries.items():
        images = sorted(entry.images, key=_preference) if len(entry.images) > 1 else entry.images
        if not entry.xmls:
            rejected += [reject(source, "image_without_xml") for _, source in images]
            continue
        if not images:
            rejected += [reject(source, "xml_without_image") for _, source in entry.xmls]
            continue
        rejected += [reject(source, "duplicate_name") for _, source in (*images[1:], *entry.xmls[1:])]
        named = [SPLIT_FOLDERS[part.lower()] for part in parts if part.lower() in SPLIT_FOLDERS]
        pairs.append(VocPair(images[0][0], entry.xmls[0][0], images[0][1], named[-1] if named else None))
    return pairs, rejected


def _preference(image: tuple[str, str]) -> tuple[int, str]:
    return IMAGE_SUFFIXES.index(Path(image[0]).suffix.lower()), image[1]


def _place(
    pairs: list[VocPair],
    entries: Mapping[tuple[tuple[str, ...], str], _Entry],
    folder: tuple[str, ...],
    files: Mapping[str, Path],
    raw_dir: Path,
) -> tuple[list[VocPair], list[VocPair], list[Rejected]]:
    """Give the pairs of one VOCdevkit the splits of its lists.

    Returns:
        The pairs of other folders, the pairs placed, and what is in no list, in several, or listed and absent.
    """
    known = {stem for parts, stem in entries if parts == folder}
    splits: dict[str, set[str]] = {}
    rejected = []
    for name, path in sorted(files.items()):
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            if not line.strip():
                continue
            stem = _listed_stem(line.strip(), known)
            if stem in known:
                splits.setdefault(stem, set()).add(name)
            else:
                rejected.append(reject(f"{path.relative_to(raw_dir).as_posix()}: {stem}", "listed_but_missing"))
    others, placed = [], []
    for pair in pairs:
        source = Path(pair.source)
        if tuple(part for part in source.parts[:-1] if part.lower() not in _HALVES) != folder:
            others.append(pair)
            continue
        found = splits.get(source.stem, set())
        exact = {_LISTS[name] for name in found if name != "trainval"}
        if "trainval" in found and not exact & {"train", "val"}:
            exact.add("train")
        if len(exact) == 1:
            placed.append(VocPair(pair.image_path, pair.xml_path, pair.source, exact.pop()))
        else:
            rejected.append(reject(pair.source, "in_several_lists" if exact else "in_no_list"))
    return others, placed, rejected


def _listed_stem(line: str, known: set[str]) -> str:
    """The name in a line of a list: alone, with an extension, or before the -1, 0 or 1 of a list for one class."""
    for stem in (line, re.sub(r"\s+-?[01]$", "", line), Path(line).stem):
        if stem in known:
            return stem
    return line


def read_voc(pair: VocPair, rename: Mapping[str, str]) -> RawImage | Rejected:
    """Read an XML and its image's header.

    The image decides its size, whatever `<size>` says. Its EXIF orientation is applied only when the annotation was
    made on the turned image: more boxes fit the turned size (within a pixel), or as many do and `<size>` is the turned
    one. Where that leaves it open (a half turn, a mirror image, a square) the stored pixels are kept. The decision is
    recorded as `exif_applied` or `exif_ignored`. Whether the image decodes to its end is left to whoever decodes it.

    Args:
        pair: from `list_voc`.
        rename: label in the file -> label to use; others stay as they are.

    Returns:
        The image with its boxes and repairs, or why it can't be used.
    """
    image, xml = pair.image, pair.xml
    if image is None or xml is None:
        return reject(pair.source, "xml_without_image" if image is None else "image_without_xml")
    root = _parse(xml)
    if isinstance(root, str):
        return reject(pair.source, root)
    header = read_header(image)
    if isinstance(header, str):
        return reject(pair.source, header)
    size, orientation, repairs = header
    name = re.split(r"[/\\]", (root.findtext("filename") or "").strip())[-1]
    if name and name != image.name:
        repairs.append("filename_wrong")
    xml_size = _xml_size(root)
    boxes, dropped = _boxes(root, rename)
    transpose = is_turned(size, orientation, xml_size, boxes)
    if orientation > 1:
        repairs.append("exif_applied" if transpose else "exif_ignored")
    width, height = size[::-1] if transpose else size
    if xml_size != (width, height):
        repairs.append("size_wrong")
    kept = []
    for box in boxes:
        inside, reasons = repair_box(box, width, height)
        dropped += reasons
        if inside is not None:
            kept.append(inside)
    if not kept and {"name_missing", "box_unreadable", "box_outside"} & set(dropped):
        return reject(pair.source, "no_usable_box")
    return RawImage(image, pair.source, pair.split, width, height, transpose, tuple(kept), tuple(repairs + dropped))


def _parse(path: Path) -> Element | str:
    """The root of a VOC file, or a reason code."""
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            return "xml_broken"
        content = path.read_bytes()
        if not content.strip():
            return "xml_empty"
        root: Element = fromstring(content)
    except DefusedXmlException:
        return "xml_unsafe"
    except (ParseError, ValueError, LookupError, OSError):
        return "xml_broken"
    return root if root.tag == "annotation" else "xml_not_voc"


def _xml_size(root: Element) -> tuple[int, int]:
    """Width and height in `<size>`; (0, 0) where they can't be read."""
    try:
        return int(float(root.findtext("size/width") or 0)), int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return 0, 0


def _boxes(root: Element, rename: Mapping[str, str]) -> tuple[list[Box], list[str]]:
    """The boxes as written, and a reason code for each object without a name or four numbers."""
    boxes, dropped = [], []
    for element in root.findall("object"):
        label = sys.intern((element.findtext("name") or "").strip())  # one object for all its boxes
        if not label:
            dropped.append("name_missing")
            continue
        try:
            x1, y1, x2, y2 = (
                float(element.findtext(f"bndbox/{tag}") or "") for tag in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            x1 = y1 = x2 = y2 = math.nan
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            dropped.append("box_unreadable")
            continue
        difficult = (element.findtext("difficult") or "").strip().lower() in ("1", "true", "yes")
        boxes.append(Box(x1, y1, x2, y2, rename.get(label, label), difficult))
    return boxes, dropped
