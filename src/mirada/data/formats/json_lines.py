"""JSON lines: an image a line, with its objects; what `json_line` writes, for scripts, and for reading again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mirada.data.annotations import Labelling, reject
from mirada.data.folders.layout import split_word
from mirada.data.folders.texts import clean_label, read_hidden, read_text
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.formats.writing import LabelSet, Writer, Written, corners_of, exact
from mirada.data.records import Box


def gather_json_lines(gathering: Gathering, rename: Mapping[str, str]) -> None:
    """Add the objects of every line; the split is what the line says, or the image's folder."""
    for source, path in gathering.files_of(".jsonl"):
        for number, text in enumerate(read_text(path)[0].split("\n"), start=1):
            line = _line(text)
            if line is None:
                if text.strip():
                    gathering.rejected.append(reject(f"{source}: line {number}", "labels_unreadable"))
                continue
            boxes: list[Box] = []
            repairs: list[str] = []
            width, height = (line.get(side) for side in ("width", "height"))
            size = (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
            for entry in line["objects"]:
                _add(entry if isinstance(entry, dict) else {}, size, rename, boxes, repairs)
            said = Labelling("", "", None, tuple(boxes), size, repairs=tuple(repairs))
            split = split_word(str(line.get("split") or ""), gathering.names)
            gathering.add(source, line["file"], said, split=split)


def _line(text: str) -> dict[str, Any] | None:
    """What a line holds, None where that is no image with objects."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(content, dict) and isinstance(content.get("file"), str)
    return content if fits and isinstance(content.get("objects"), list) else None


def _add(
    entry: Mapping[str, Any], size: tuple[int, int], rename: Mapping[str, str], boxes: list[Box], repairs: list[str]
) -> None:
    """Take the box of one object, or count why not; where it is null, the label is that of the whole image."""
    label = clean_label(str(entry.get("label") or ""))
    box = entry.get("box", ())
    try:
        x1, y1, x2, y2 = map(float, (0, 0, *size) if box is None else box)
    except (TypeError, ValueError, OverflowError):
        x1 = y1 = x2 = y2 = math.nan
    if not label or not all(map(math.isfinite, (x1, y1, x2, y2))):
        repairs.append("box_unreadable" if label else "name_missing")
        return
    difficult = entry.get("difficult") is True
    add_box(boxes, repairs, Box(x1, y1, x2, y2, rename.get(label, label), difficult, *read_hidden(entry)))


def write_json_lines(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`annotations.jsonl`: a line an image, see `json_line`."""
    yield "annotations.jsonl", "".join(map(json_line, labels.images))


def json_line(image: Written) -> str:
    """File, width, height, split, what else is known of the image, and objects.

    An object has label, box [x1, y1, x2, y2] in pixels, None for a label of the whole image, difficult, and a score where a
    model found it.
    """
    objects: list[dict[str, Any]] = []
    for box, score in image.objects:
        entry = {"label": box.label, "box": None if image.whole else [exact(value) for value in corners_of(box)]}
        objects.append(entry | {"difficult": box.difficult} | ({} if score is None else {"score": score}))
    line = {"file": image.path, "width": image.width, "height": image.height}
    line |= {"split": image.split} if image.split else {}
    return json.dumps({**line, **image.about, "objects": objects}, ensure_ascii=False) + "\n"


WRITER = Writer(lambda image: image.path, write_json_lines)
