"""What is written of an image, whatever the format: shared by conversion and by predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirada.data.records import Box


@dataclass(frozen=True)
class Written:
    """What is on one image.

    Attributes:
        name: the image's file name, unique in its split, also without its extension.
        width, height: in pixels as displayed.
        boxes: in pixels.
        scores: one a box where a model found them, else none.
        split: 'train', 'val', 'test' or None.
    """

    name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    scores: tuple[float, ...] = ()
    split: str | None = None

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return Path(self.name).stem

    def score(self, at: int) -> float | None:
        """The score of a box, None where it is no prediction."""
        return self.scores[at] if self.scores else None


@dataclass(frozen=True)
class Writer:
    """A way to store labels.

    Attributes:
        place: (image) -> where the image file lies below the data set's folder.
        write: (images, classes, folder) -> nothing; writes the labels of all images.
    """

    place: Callable[[Written], str]
    write: Callable[[Sequence[Written], Sequence[str], Path], None]


def in_split(image: Written) -> str:
    """`train/x.jpg`, or `x.jpg` where there are no splits."""
    return f"{image.split}/{image.name}" if image.split else image.name


def number_text(value: float) -> str:
    """A coordinate without needless digits, to a ten-thousandth."""
    return f"{round(value, 4):.4f}".rstrip("0").rstrip(".")


def write_file(path: Path, text: str) -> None:
    """Write a text, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
