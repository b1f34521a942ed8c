"""CVAT's own XML, version 1.1: of images, and of video with tracks.

The format: https://docs.cvat.ai/docs/manual/advanced/xml_format/. A box of a track that is `outside` has left the frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_ellipse, enclose_rotated, enclose_runs
from mirada.data.folders.markup import BrokenXml, element_text, parse_xml
from mirada.data.folders.texts import clean_label, is_true, read_hidden
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, corners_of, number_text
from mirada.data.records import Box

_DIFFICULT = "difficult"
_MAX_XML_BYTES = 1 << 29
_SHAPES = ("box", "polygon", "ellipse", "mask", "cuboid", "polyline", "points", "tag", "skeleton")


def gather_cvat(gathering: Gathering, rename: Mapping[str, str], rotated: str = "enclose") -> None:
    """Add the shapes of every image, or of every frame whose image the raw folder holds; one may have none.

    Args:
        gathering: the raw folder's images.
        rename: label in the file -> label to use.
        rotated: of `data.rotated`.
    """
    videos: list[tuple[str, Element, set[int]]] = []
    for source, path in gathering.files_of(".xml"):
        try:
            root, mended = parse_xml(path, _MAX_XML_BYTES)
        except BrokenXml as error:
            gathering.rejected.append(reject(source, error.reason, detail=error.detail))
            continue
        if root.tag != "annotations":
            gathering.notes.append(f"{source} is no XML of CVAT and was left alone")
            continue
        gathering.notes += [f"{source}: {code}" for code in mended]
        for image in root.findall("image"):
            _add_image(gathering, source, image, rename, rotated)
        frames = _add_tracks(gathering, source, root, rename, rotated)
        if frames or _of_task(root, "mode") == "interpolation":
            videos.append((source, root, frames))
    for source, root, frames in videos:  # at the end, so that every file has spoken for its images
        _add_background(gathering, source, root, frames)


def _of_task(root: Element, tag: str) -> str:
    """What the head of a file says, of the task or of the one job that was exported."""
    return next((text for part in ("task", "job") if (text := root.findtext(f"meta/{part}/{tag}"))), "")


def _add_background(gathering: Gathering, source: str, root: Element, frames: set[int]) -> None:
    """Add the frames of a video on which no track shows anything."""
    first, last, count = (_of_task(root, tag) for tag in ("start_frame", "stop_frame", "size"))
    start = int(first) if first.isdecimal() else 0
    stop = int(last) if last.isdecimal() else start + int(count) - 1 if count.isdecimal() else None
    size = _text_size(root)
    for number, images in sorted(_numbered(gathering).items()):
        inside = number >= start and (stop is None or number <= stop)
        if inside and number not in frames and len(images) == 1 and not gathering.is_known(images[0]):
            gathering.add(source, images[0], Labelling("", "", None, (), size), row=f"frame {number}")


def _add_image(gathering: Gathering, source: str, image: Element, rename: Mapping[str, str], rotated: str) -> None:
    boxes: list[Box] = []
    repairs: list[str] = []
    for shape in image:
        if shape.tag in _SHAPES:
            _add_shape(shape, shape.get("label"), rename, boxes, repairs, rotated)
    said = Labelling("", "", None, tuple(boxes), _size(image), repairs=tuple(repairs))
    subset = image.get("subset") or ""
    split = {"train": "train", "val": "val", "validation": "val", "test": "test"}.get(subset.lower())
    gathering.add(source, image.get("name") or "", said, split=split, row=f"image {image.get('id')}")


def _add_tracks(gathering: Gathering, source: str, root: Element, rename: Mapping[str, str], rotated: str) -> set[int]:
    """Frame by frame: what its tracks show there. Returns the frames."""
    frames: dict[int, tuple[list[Box], list[str]]] = {}
    gaps = 0
    for track in root.findall("track"):
        gaps += _has_gaps(track)
        for shape in track:
            frame = shape.get("frame") or ""
            if shape.tag not in _SHAPES:
                continue
            if not frame.isdecimal():
                gathering.rejected.append(reject(f"{source}: track {track.get('id')}", "labels_unreadable", 1))
                continue
            boxes, repairs = frames.setdefault(int(frame), ([], []))
            if shape.get("outside") == "1":
                repairs.append("outside_frame")
            else:
                _add_shape(shape, track.get("label"), rename, boxes, repairs, rotated)
    if gaps:
        advice = "their frames between are not told, export them with CVAT itself"
        gathering.notes.append(f"{source}: {gaps} tracks hold key frames alone: {advice}")
    numbered = _numbered(gathering) if frames else {}
    size = _text_size(root)
    for number, (boxes, repairs) in sorted(frames.items()):
        said = Labelling("", "", None, tuple(boxes), size, repairs=tuple(repairs))
        images = numbered.get(number, [])
        if len(images) == 1:
            gathering.add(source, images[0], said, row=f"frame {number}")
        else:
            reason = "image_ambiguous" if images else "labels_without_image"
            detail = " or ".join(images[:3])
            gathering.rejected.append(reject(f"{source}: frame {number}", reason, said.objects, detail))
    return set(frames)


def _has_gaps(track: Element) -> bool:
    """Whether a track that is seen in one frame and in a later one tells nothing of those between."""
    told = sorted(
        (int(frame), shape.get("outside") == "1") for shape in track if (frame := shape.get("frame") or "").isdecimal()
    )
    return any(not gone and after > at + 1 for (at, gone), (after, _) in zip(told, told[1:], strict=False))


def _numbered(gathering: Gathering) -> dict[int, list[str]]:
    """Number at the end of an image's name -> the images, as `frame_000012.png` has it."""
    numbered: dict[int, list[str]] = {}
    for image in gathering.paths:
        found = re.search(r"(\d+)$", Path(image).stem)
        if found:
            numbered.setdefault(int(found[1]), []).append(image)
    return numbered


def _size(element: Element) -> tuple[int, int]:
    width, height = element.get("width") or "", element.get("height") or ""
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else (0, 0)


def _text_size(root: Element) -> tuple[int, int]:
    size = root.find("meta//original_size")  # of the task, the job, or all of it
    width, height = ("", "") if size is None else (size.findtext("width") or "", size.findtext("height") or "")
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else (0, 0)


def _add_shape(
    shape: Element,
    label: str | None,
    rename: Mapping[str, str],
    boxes: list[Box],
    repairs: list[str],
    rotated: str,
) -> None:
    """Take the box of one shape, or count why not."""
    label = clean_label(label or "")
    if shape.tag in ("polyline", "points", "tag", "skeleton"):
        repairs.append("shape_without_area")
        return
    corners, code = next(_corners(shape, rotated))
    if not label or corners is None:
        repairs.append("box_unreadable" if label else "name_missing")
        return
    repairs += [code] if code else []
    said: dict[str, str | None] = {str(entry.get("name")): entry.text for entry in shape.findall("attribute")}
    hidden = read_hidden(said | {"occluded": shape.get("occluded")})
    add_box(boxes, repairs, Box(*corners, rename.get(label, label), is_true(said.get(_DIFFICULT)), *hidden))


def _corners(shape: Element, rotated: str) -> Iterator[tuple[Corners | None, str]]:
    try:
        angle = math.radians(float(shape.get("rotation") or 0))
        if shape.tag == "box":
            x1, y1, x2, y2 = (float(shape.get(key) or "") for key in ("xtl", "ytl", "xbr", "ybr"))
            if not all(map(math.isfinite, (x1, y1, x2, y2))):
                yield None, ""
            elif angle:
                corners = enclose_rotated((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, angle, rotated)
                yield corners, ROTATED[rotated]
            yield (x1, y1, x2, y2), ""
        elif shape.tag == "ellipse":
            x, y, rx, ry = (float(shape.get(key) or "") for key in ("cx", "cy", "rx", "ry"))
            yield enclose_ellipse(x, y, rx, ry, angle), "polygon_enclosed"
        elif shape.tag == "mask":
            left, top, width, height = (int(shape.get(key) or "") for key in ("left", "top", "width", "height"))
            runs = [int(run) for run in (shape.get("rle") or "").split(",")]
            inside = enclose_runs(runs, height, width, by_rows=True)
            yield (
                (left + inside[0], top + inside[1], left + inside[2], top + inside[3]) if inside else None,
                "mask_enclosed",
            )
        elif shape.tag == "cuboid":
            points = [(shape.get(key), shape.get(key.replace("x", "y"))) for key in shape.attrib if key.startswith("x")]
            yield enclose([(float(x or ""), float(y or "")) for x, y in points]), "polygon_enclosed"
        else:
            pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair]
            yield enclose([(float(x), float(y)) for x, y in pairs]), "polygon_enclosed"
    except ValueError:
        yield None, ""


def write_cvat(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`annotations.xml` of `CVAT for images 1.1`: an image an element, also where it shows nothing.

    The flag and the score are attributes, which the head declares where any object has one: a task that the file is uploaded
    to keeps them where its labels have attributes of these names.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    attributes = {_DIFFICULT: labels.difficult > 0, "score": labels.model is not None}
    _add_head(root, labels, [name for name, used in attributes.items() if used])
    for number, image in enumerate(labels.images):
        about = {"id": str(number), "name": image.path} | ({"subset": image.split} if image.split else {})
        entry = SubElement(root, "image", about, width=str(image.width), height=str(image.height))
        for box, score in image.objects:
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(number_text, corners_of(box)), strict=True))
            source = "manual" if score is None else "auto"
            shape = SubElement(entry, "box", {"label": box.label, "source": source, "occluded": "0"}, **corners)
            values = {_DIFFICULT: str(box.difficult).lower(), "score": number_text(score or 0.0)}
            for name, text in values.items():
                if attributes[name]:
                    SubElement(shape, "attribute", name=name).text = text
    yield "annotations.xml", element_text(root)


def _add_head(root: Element, labels: LabelSet, attributes: Sequence[str]) -> None:
    """Declare the labels, each with its attributes."""
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = labels.model or "objects"
    SubElement(task, "size").text = str(len(labels.images))
    SubElement(task, "mode").text = "annotation"
    declared = SubElement(task, "labels")
    for label in labels.classes:
        entry = SubElement(declared, "label")
        SubElement(entry, "name").text = label
        of_label = SubElement(entry, "attributes")
        for name in attributes:
            about = ("checkbox", "false") if name == _DIFFICULT else ("text", "")
            attribute = SubElement(of_label, "attribute")
            texts = {
                "name": name,
                "mutable": "False",
                "input_type": about[0],
                "default_value": about[1],
                "values": about[1],
            }
            for tag, text in texts.items():
                SubElement(attribute, tag).text = text


WRITER = Writer(lambda image: image.path, write_cvat)
