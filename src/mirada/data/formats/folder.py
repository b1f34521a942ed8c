"""A folder of images for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mirada.data.annotations import Rejected
from mirada.data.folders.layout import class_folders, is_image, visible_files
from mirada.data.folders.texts import clean_label
from mirada.data.formats.labels import LabelledImage, list_strangers, reject
from mirada.data.formats.writing import LabelSet, Writer, Written, label_of
from mirada.errors import MiradaError


def list_class_folders(
    raw_dir: Path,
    rename: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
) -> tuple[list[LabelledImage], list[Rejected]]:
    """Label each image by the folder of its class.

    Which folder is a class and which a split is told by `layout.class_folders`. Deeper folders, and folders around it all,
    don't matter. No image is opened.

    Args:
        raw_dir: the raw folder.
        rename: name of a folder -> label to use; others are labels as they are.
        names: of `data.split.names`.
        notes: receives what was taken for what.

    Returns:
        The images, sorted by source, and those that lie in no class's folder.

    Raises:
        MiradaError: a folder may as well be a split as a class.
    """
    files = list(visible_files(raw_dir))
    found = [(parts, path) for parts, path in files if is_image(path.name)]
    places = class_folders({parts for parts, _ in found}, names or {})
    labelled, rejected = [], list_strangers(files)
    for parts, path in found:
        source = "/".join((*parts, path.name))
        split, label = places[parts]
        if label is None:
            rejected.append(reject(source, "no_class_folder"))
            continue
        label = rename.get(label) or clean_label(label)
        labelled.append(LabelledImage(path, source, split, rename.get(label, label)))
    if notes is not None:
        notes += _describe(labelled)
    return sorted(labelled, key=lambda image: image.source), sorted(rejected, key=lambda item: item.file)


def _describe(labelled: list[LabelledImage]) -> list[str]:
    """What was taken for a class and what for a split, in a line each."""
    labels = sorted({image.label for image in labelled})
    splits = sorted({image.split for image in labelled if image.split})
    shown = ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
    notes = [f"folders that are classes: {shown}"] if labels else []
    return [*notes, f"folders that are splits: {', '.join(splits)}"] if splits else notes


def _place(image: Written) -> str:
    """`train/<class>/x.jpg`; an image keeps the names of its folders in its own.

    Raises:
        MiradaError: it shows no class or several, or its class can't be the name of a folder.
    """
    label = label_of(image)
    if "/" in label or "\\" in label or label.startswith("."):
        raise MiradaError(
            f"The class {label!r} can't be the name of a folder: give it another by "
            f"'+data.rename={{\"{label}\": …}}', or choose another format."
        )
    folder = f"{image.split}/{label}" if image.split else label
    return f"{folder}/{image.name.replace('/', '_')}"


def _write_nothing(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """Where an image lies says all."""
    yield from ()


WRITER = Writer(_place, _write_nothing, keeps_boxes=False, keeps_difficult=False)
