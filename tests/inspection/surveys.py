"""Surveys made by hand, for checks that need no file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mirada.config import DataConfig, InspectConfig, SplitConfig, TileConfig
from mirada.data.annotations import RawImage
from mirada.data.records import Box
from mirada.inspection.looking import THUMBNAIL, Seen
from mirada.inspection.survey import Survey


def box(x1: float, y1: float, x2: float, y2: float, label: str = "cat", *, difficult: bool = False) -> Box:
    return Box(x1, y1, x2, y2, label, difficult)


def image(source: str, *boxes: Box, size: tuple[int, int] = (640, 640), repairs: tuple[str, ...] = ()) -> RawImage:
    return RawImage(Path(source), source, None, *size, False, boxes, repairs)


def seen(digest: str = "", thumbnail: np.ndarray | None = None, **values: Any) -> Seen:
    """A photograph of middling brightness."""
    pixels = np.full((THUMBNAIL, THUMBNAIL), 100, np.uint8) if thumbnail is None else thumbnail
    usual = {
        "size_bytes": 10_000, "format": "JPEG", "mode": "RGB", "frames": 1, "mean": (100.0, 100.0, 100.0),
        "contrast": 40.0, "low": 20.0, "high": 220.0, "colour": 30.0, "sharpness": 5.0,
    }  # fmt: skip
    return Seen(digest=digest, thumbnail=pixels.tobytes(), **{**usual, **values})


def survey(
    *images: RawImage,
    splits: dict[str, str] | None = None,
    looks: dict[str, Seen] | None = None,
    tile: int = 0,
    task: str = "detection",
    split_kind: str = "auto",
    **config: Any,
) -> Survey:
    """A survey of these images, each alone in its look unless one is given."""
    data = DataConfig(task=task, split=SplitConfig(kind=split_kind), tile=TileConfig(size=tile))
    made = Survey(InspectConfig(data=data, output_dir="out", **config), Path("raw"), images=list(images))
    made.seen = {one.source: seen(digest=one.source) for one in images} | (looks or {})
    made.splits = splits or {}
    made.classes = sorted({box.label for one in images for box in one.boxes})
    made.boxes = {split: Counter() for split in ("train", "val", "test")}
    for one in images:
        split = made.splits.get(one.source, "train")
        made.units[split] += 1
        made.boxes[split].update(box.label for box in one.boxes)
    return made
