"""JSON lines: one object an image, to be read by scripts; written only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirada.data.formats.writing import Writer, Written, in_split, write_file


def write_json_lines(images: Sequence[Written], classes: Sequence[str], folder: Path) -> None:
    """Write `labels.jsonl`: file, width, height, split, and objects with label, box [x1, y1, x2, y2] and score."""
    lines = []
    for image in images:
        objects: list[dict[str, Any]] = []
        for at, box in enumerate(image.boxes):
            corners = [round(value, 4) for value in (box.x1, box.y1, box.x2, box.y2)]
            score = {"score": image.scores[at]} if image.scores else {}
            objects.append({"label": box.label, "box": corners, "difficult": box.difficult} | score)
        entry = {"file": in_split(image), "width": image.width, "height": image.height, "split": image.split}
        lines.append(json.dumps(entry | {"objects": objects}, ensure_ascii=False))
    write_file(folder / "labels.jsonl", "".join(f"{line}\n" for line in lines))


WRITER = Writer(in_split, write_json_lines)
