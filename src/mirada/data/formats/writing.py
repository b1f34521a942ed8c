"""What is written of images, whatever the format: shared by conversion, by predictions and by the service.

A writer makes texts; who asks for them decides where they go. Boxes are in pixels of the image as displayed, x2 and y2
exclusive, as the readers take them. JSON keeps every digit; VOC, CSV and CVAT have a ten-thousandth of a pixel, YOLO and
Label Studio eight digits of a share and of a percent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirada.data.records import Box
from mirada.errors import MiradaError
from mirada.files import write_whole


@dataclass(frozen=True)
class Written:
    """What is on one image.

    Attributes:
        name: the image's path with '/', below the folder of its split.
        width, height: in pixels as displayed.
        boxes: in pixels.
        scores: one a box where a model found them, else none.
        split: 'train', 'val', 'test' or None.
        whole: whether its box stands for a label of all of it.
        about: what else to say of it, by key, where a format has room for that; COCO takes an `id` from here.
    """

    name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    scores: tuple[float, ...] = ()
    split: str | None = None
    whole: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """`train/x.jpg`, or `x.jpg` where there are no splits."""
        return f"{self.split}/{self.name}" if self.split else self.name

    @property
    def file_name(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def objects(self) -> Iterator[tuple[Box, float | None]]:
        """Each box with its score, None where it is no prediction."""
        return zip(self.boxes, self.scores or (None,) * len(self.boxes), strict=True)


@dataclass(frozen=True)
class LabelSet:
    """What is written at once.

    Attributes:
        images: in the order in which they are written.
        classes: their labels, in the order of the numbers that some formats give them.
        model: what found the objects, for people; None: people did.
        about: what it all is, for people.
        row_scores: whether YOLO's rows end with the score, which its own tools take for a prediction alone.
    """

    images: Sequence[Written]
    classes: Sequence[str]
    model: str | None = None
    about: str = ""
    row_scores: bool = False

    @property
    def difficult(self) -> int:
        """How many objects count neither as objects nor as background: VOC's difficult ones, COCO's crowds."""
        return sum(box.difficult for image in self.images for box in image.boxes)


@dataclass(frozen=True)
class Writer:
    """A way to store labels.

    Attributes:
        place: (image) -> where the image file lies below the data set's folder.
        write: (labels) -> path below that folder and text of each file of labels.
        keeps_boxes: whether it says where objects are.
        keeps_difficult: whether it has a place for that flag.
        relative: whether boxes are shares of the sides, and so of the image as displayed, whatever its EXIF entry says.
    """

    place: Callable[[Written], str]
    write: Callable[[LabelSet], Iterator[tuple[str, str]]]
    keeps_boxes: bool = True
    keeps_difficult: bool = True
    relative: bool = False

    def store(self, labels: LabelSet, folder: Path) -> None:
        """Write all files of labels, each whole or not at all."""
        for path, text in self.write(labels):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / path, text)

    def losses(self, labels: LabelSet) -> dict[str, int]:
        """What objects lose -> how many of them do."""
        boxes = 0 if self.keeps_boxes else sum(len(image.boxes) for image in labels.images if not image.whole)
        flags = 0 if self.keeps_difficult else labels.difficult
        return {what: count for what, count in (("box", boxes), ("flag difficult", flags)) if count}


def beside(labels: LabelSet, suffix: str) -> Iterator[tuple[Written, str]]:
    """Each image with the path of a file of its own labels, which lies as the image does."""
    stems = name_outputs(image.path for image in labels.images)
    return ((image, f"{stem}{suffix}") for image, stem in zip(labels.images, stems, strict=True))


def name_outputs(names: Iterable[str]) -> Iterator[str]:
    """For each image the path, without a suffix, of what is written of it.

    Of two that differ by the suffix alone the second keeps it, so that nothing is overwritten.
    """
    taken: set[str] = set()
    for name in names:
        stem = name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name
        while stem.lower() in taken:
            stem = name if stem != name else f"{stem}_"
        taken.add(stem.lower())
        yield stem


def label_of(image: Written) -> str:
    """The one label of an image, for formats that say no more.

    Raises:
        MiradaError: it has none, or several.
    """
    labels = sorted({box.label for box in image.boxes})
    if len(labels) == 1:
        return labels[0]
    shown = f"objects of several classes ({', '.join(labels[:3])})" if labels else "no object"
    raise MiradaError(
        f"{image.path} shows {shown}, and a folder or a table of classes holds one class an image: choose a format with "
        "boxes (to=voc, coco, yolo, cvat, label_studio, labelme, csv or jsonl), or leave the image out."
    )


def number_text(value: float) -> str:
    """A coordinate or a score without needless digits, to a ten-thousandth."""
    return f"{round(value, 4):.4f}".rstrip("0").rstrip(".")


def exact(value: float) -> float:
    """A coordinate with every digit but the noise of arithmetic, a billionth."""
    tidy = round(value, 4)
    return tidy if abs(tidy - value) < 1e-9 else value


def corners_of(box: Box) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2."""
    return box.x1, box.y1, box.x2, box.y2
