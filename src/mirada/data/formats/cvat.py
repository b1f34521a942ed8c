"""CVAT's own XML, version 1.1: of images, and of video with tracks.

The format: https://docs.cvat.ai/docs/manual/advanced/xml_format/. A box of a track that is `outside` has left the frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from mirada.data.annotations import Labelling, Rejected, reject
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_ellipse, enclose_rotated, enclose_runs
from mirada.data.folders.markup import BrokenXml, parse_xml
from mirada.data.folders.texts import clean_label
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box

_MAX_XML_BYTES = 1 << 29
_SHAPES = ("box", "polygon", "ellipse", "mask", "cuboid", "polyline", "points", "tag", "skeleton")


def list_cvat(
    raw_dir: Path,
    rename: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
    rotated: str = "enclose",
) -> tuple[list[Labelling], list[Rejected]]:
    """Gather the shapes of every image, or of every frame whose image the raw folder holds.

    Args:
        raw_dir: the raw folder.
        rename: label in the file -> label to use.
        names: of `data.split.names`.
        notes: receives what was taken for what.
        rotated: of `data.rotated`.

    Returns:
        What is said of each image, sorted by source, and what can't be used, sorted by file.
    """
    gathering = Gathering(raw_dir, names, notes)
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
        _add_tracks(gathering, source, root, rename, rotated)
    return gathering.finish()


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


def _add_tracks(gathering: Gathering, source: str, root: Element, rename: Mapping[str, str], rotated: str) -> None:
    """Frame by frame: what its tracks show there."""
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
    if not frames:
        return
    if gaps:
        advice = "their frames between are not told, export them with CVAT itself"
        gathering.notes.append(f"{source}: {gaps} tracks hold key frames alone: {advice}")
    numbered = _numbered(gathering)
    size = root.find("meta//original_size")  # of the task, the job, or all of it
    for number, (boxes, repairs) in sorted(frames.items()):
        said = Labelling("", "", None, tuple(boxes), _text_size(size), repairs=tuple(repairs))
        images = numbered.get(number, [])
        if len(images) == 1:
            gathering.add(source, images[0], said, row=f"frame {number}")
        else:
            reason = "image_ambiguous" if images else "labels_without_image"
            detail = " or ".join(images[:3])
            gathering.rejected.append(reject(f"{source}: frame {number}", reason, said.objects, detail))


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


def _text_size(element: Element | None) -> tuple[int, int]:
    width, height = ("", "") if element is None else (element.findtext("width") or "", element.findtext("height") or "")
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
    add_box(boxes, repairs, Box(*corners, rename.get(label, label)))


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
