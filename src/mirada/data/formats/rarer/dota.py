"""DOTA: a text for each image, a row an object: four corners in pixels, the class, and whether it is difficult.

The format: https://captain-whu.github.io/DOTA/dataset.html. A rotated box becomes an upright one, as `data.rotated` says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mirada.data.annotations import Labelling
from mirada.data.folders.geometry import ROTATED, enclose_quad
from mirada.data.folders.texts import clean_label, read_text
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box

_ROW = re.compile(r"\s*(?:[-+\d.eE]+[\s,]+){8}[^\s\d.,+-]\S*(?:[\s,]+\d)?\s*")
_HEADER = re.compile(r"\s*(?:imagesource|gsd)\s*:.*", re.I)


def holds_dota_rows(head: str) -> bool:
    """Whether the first line of a text that is no header is a row of DOTA."""
    rows = (line for line in head.splitlines() if line.strip() and not _HEADER.fullmatch(line))
    return _ROW.fullmatch(next(rows, "")) is not None


def gather_dota(gathering: Gathering, rename: Mapping[str, str], rotated: str = "enclose") -> None:
    """Add the rows of every text; an empty one with the name of an image says that the image shows no object.

    Args:
        gathering: the raw folder's images.
        rename: label in the file -> label to use.
        rotated: of `data.rotated`.
    """
    for source, path in gathering.files_of(".txt"):
        text, assumed = read_text(path)
        rows = [line for line in text.splitlines() if line.strip() and not _HEADER.fullmatch(line)]
        near = tuple(source.split("/")[:-1])
        if holds_dota_rows(text) or (not rows and gathering.index.find(path.stem, near)):
            boxes: list[Box] = []
            repairs = [f"decoded_as_{assumed}"] if assumed else []
            for row in rows:
                _add(row.replace(",", " ").split(), rename, boxes, repairs, rotated)
            gathering.add(
                source, path.stem, Labelling("", "", None, tuple(boxes), repairs=tuple(repairs)), row="all of it"
            )
        else:
            gathering.notes.append(f"{source} holds no rows of DOTA and was left alone")


def _add(cells: list[str], rename: Mapping[str, str], boxes: list[Box], repairs: list[str], rotated: str) -> None:
    """Take the box of a row, or count why not."""
    try:
        values = [float(cell) for cell in cells[:8]]
    except ValueError:
        values = []
    label = clean_label(cells[8]) if len(cells) > 8 else ""
    if len(values) < 8 or not all(map(math.isfinite, values)) or not label:
        repairs.append("box_unreadable" if len(values) < 8 or label else "name_missing")
        return
    corners = enclose_quad(list(zip(values[::2], values[1::2], strict=True)), rotated)
    if corners is None:
        repairs.append("box_unreadable")
        return
    repairs.append(ROTATED[rotated])
    difficult = len(cells) > 9 and cells[9] not in ("0", "0.0")
    add_box(boxes, repairs, Box(*corners, rename.get(label, label), difficult))
