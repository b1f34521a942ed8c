"""Small raw folders for tests of formats."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from mirada.config import DataConfig
from mirada.data.annotations import RawImage, Rejected
from mirada.data.formats import FORMATS
from mirada.data.inputs import read_image


def draw(folder: Path, *names: str, size: tuple[int, int] = (100, 80)) -> Path:
    """Images of a size in pixels, each of other bytes."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, tuple(zlib.crc32(name.encode()).to_bytes(4, "big")[:3])).save(path)
    return folder


def write(folder: Path, name: str, content: Any, encoding: str = "utf-8") -> Path:
    """A text, or a JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode(encoding))
    return folder


class Reading:
    """All that comes of a raw folder."""

    def __init__(self, folder: Path, name: str, **data: Any) -> None:
        config = DataConfig(format=name, **data)
        self.notes: list[str] = []
        items, self.rejected = FORMATS[name].list(folder, config, self.notes)
        self.images: dict[str, RawImage] = {}
        for item in items:
            found = read_image(item, config)[0]
            if isinstance(found, Rejected):
                self.rejected.append(found)
            else:
                self.images[found.source] = found

    def boxes(self, source: str) -> list[tuple[float, float, float, float, str]]:
        """Corners, rounded to a hundredth of a pixel, and label."""
        return [
            (round(box.x1, 2), round(box.y1, 2), round(box.x2, 2), round(box.y2, 2), box.label)
            for box in self.images[source].boxes
        ]

    def hidden(self, source: str) -> list[tuple[bool | None, bool | None]]:
        """Of each object whether it is truncated, and occluded."""
        return [(box.truncated, box.occluded) for box in self.images[source].boxes]

    def repairs(self, source: str) -> list[str]:
        """In alphabetical order."""
        return sorted(self.images[source].repairs)

    @property
    def reasons(self) -> list[tuple[str, str, int]]:
        """File, reason and objects of what was left out."""
        assert all(item.advice for item in self.rejected)
        return sorted((item.file, item.reason, item.objects) for item in self.rejected)

    @property
    def splits(self) -> dict[str, str | None]:
        """Image -> split."""
        return {source: image.split for source, image in self.images.items()}
