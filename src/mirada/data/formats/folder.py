"""A folder of images for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mirada.data.annotations import IMAGE_SUFFIXES, SPLIT_FOLDERS, Rejected, visible_files
from mirada.data.formats.labels import LabelledImage, reject, split_marks


def list_class_folders(raw_dir: Path, rename: Mapping[str, str]) -> tuple[list[LabelledImage], list[Rejected]]:
    """Label each image by the folder of its class.

    Where any folder is named train, val (valid, validation) or test, the class is the next one below. Else it is the
    first folder below those that all images share. Deeper folders, and folders around it all, don't matter. No image
    is opened.

    Args:
        raw_dir: the raw folder.
        rename: name of a folder -> label to use; others are labels as they are.

    Returns:
        The images, sorted by source, and those that lie in no class's folder.
    """
    found = [(parts, path) for parts, path in visible_files(raw_dir) if path.suffix.lower() in IMAGE_SUFFIXES]
    marked = any(split_marks(parts) for parts, _ in found)
    shared = _shared([parts for parts, _ in found])
    labelled, rejected = [], []
    for parts, path in found:
        source = "/".join((*parts, path.name))
        marks = split_marks(parts)
        below = marks[-1] + 1 if marks else shared
        if marked and not marks or below >= len(parts):
            rejected.append(reject(source, "no_class_folder"))
            continue
        split = SPLIT_FOLDERS[parts[marks[-1]].lower()] if marks else None
        label = parts[below]
        labelled.append(LabelledImage(path, source, split, rename.get(label, label)))
    return sorted(labelled, key=lambda image: image.source), sorted(rejected, key=lambda item: item.file)


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all images share."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
