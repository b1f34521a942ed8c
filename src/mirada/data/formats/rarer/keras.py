"""The lists of keras-yolo3, as Roboflow writes them too: a line an image, its path and x1,y1,x2,y2,class for each box.

The format: https://github.com/qqwweee/keras-yolo3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from mirada.data.annotations import Labelling
from mirada.data.folders.layout import is_image
from mirada.data.folders.texts import clean_label, read_text
from mirada.data.formats.gathering import Gathering, add_box
from mirada.data.records import Box

_NAMES = ("_classes.txt", "classes.txt", "class.txt", "labels.txt", "names.txt")


def is_keras_list(head: str) -> bool:
    """Whether the first lines of a text name an image each, and one of them a box."""
    lines = [_parts(line) for line in head.splitlines()[:20] if line.strip()]
    return all(is_image(name) for name, _ in lines[:-1] or lines) and any(cells for _, cells in lines)


def gather_keras(gathering: Gathering, rename: Mapping[str, str], classes: Sequence[str]) -> None:
    """Add the boxes of every line; `_classes.txt` beside the list names the numbers, else `data.classes`.

    Args:
        gathering: the raw folder's images.
        rename: label in the file -> label to use.
        classes: of `data.classes`.
    """
    texts = gathering.files_of(".txt")
    named = {source.rpartition("/")[0]: path for source, path in texts if path.name.lower() in _NAMES}
    for source, path in texts:
        text, _ = read_text(path)
        if path.name.lower() in _NAMES or not is_keras_list(text):
            continue
        beside = named.get(source.rpartition("/")[0]) or next(iter(named.values()), None)
        known = [clean_label(line) for line in read_text(beside)[0].splitlines()] if beside else list(classes)
        gathering.notes.append(f"{source}: a list of images and boxes, {len(known)} classes")
        for line in text.splitlines():
            name, cells = _parts(line)
            if name:
                said = _labelling(cells, known, rename)
                gathering.add(source, name, said, split=gathering.split_of_file(source))


def _parts(line: str) -> tuple[str, list[str]]:
    """The image of a line, whose name may hold blanks, and its boxes."""
    words = re.split(r"(\s+)", line.strip())  # with what lies between them
    at = len(words)
    while at > 2 and words[at - 1].count(",") == 4:
        at -= 2
    return "".join(words[:at]).strip(), words[at + 1 :: 2]


def _labelling(cells: Sequence[str], names: Sequence[str], rename: Mapping[str, str]) -> Labelling:
    boxes: list[Box] = []
    repairs: list[str] = []
    for cell in cells:
        try:
            x1, y1, x2, y2, number = (float(value) for value in cell.split(","))
        except ValueError:
            repairs.append("box_unreadable")
            continue
        if not all(map(math.isfinite, (x1, y1, x2, y2, number))):
            repairs.append("box_unreadable")
            continue
        label = names[int(number)] if number.is_integer() and 0 <= number < len(names) else ""
        if label:
            add_box(boxes, repairs, Box(x1, y1, x2, y2, rename.get(label, label)))
        else:
            repairs.append("class_unknown")
    return Labelling("", "", None, tuple(boxes), repairs=tuple(repairs))
