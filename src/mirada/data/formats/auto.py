"""Which format a raw folder is in: `data=auto`.

Names, and the first and last bytes of files that may hold labels; no image is opened, and no big JSON is parsed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mirada.config import DataConfig
from mirada.data.folders.layout import class_folders, is_image, visible_files
from mirada.data.folders.texts import decode
from mirada.data.formats.csv_boxes import has_box_columns
from mirada.data.formats.rarer.dota import holds_dota_rows
from mirada.data.formats.rarer.keras import is_keras_list
from mirada.data.formats.tfrecord import holds_objects, names_records
from mirada.data.formats.yolo import count_rows, holds_rows, names_classes
from mirada.errors import MiradaError

_PEEK = 1 << 16
# Of two formats that label as many images, the one that says more of them is taken.
_ORDER = (
    *("coco", "voc", "cvat", "label_studio", "labelme", "tfrecord", "dota", "yolo", "keras", "createml", "via", "csv"),
    "jsonl",
)
_SHARE = 0.2  # of the images that labels must name, where folders could be classes as well


def settle(data: DataConfig, raw_dir: Path) -> tuple[DataConfig, list[str]]:
    """The settings with the format that a raw folder is in and the task, where they leave these open, and why.

    Raises:
        MiradaError: no format is there.
    """
    if data.format != "auto":
        return data, []
    found, notes = recognise(raw_dir, data)
    task = data.task
    if task == "auto":
        task = "classification" if found == "folder" else "detection"
    return replace(data, format=found, task=task), notes


def recognise(raw_dir: Path, data: DataConfig) -> tuple[str, list[str]]:
    """The format of a raw folder, and why.

    Of several the one whose labels name most images is taken; the others are told, never mixed in.

    Args:
        raw_dir: the raw folder.
        data: its `split.names`.

    Raises:
        MiradaError: no format is there.
    """
    files = list(visible_files(raw_dir))
    images = [(parts, path) for parts, path in files if is_image(path.name)]
    stems = {path.stem for _, path in images}
    counts = Counter[str]()
    examples: dict[str, str] = {}
    for parts, path in files:
        name, named = _recognise_file(path, stems)
        if name:
            counts[name] += named
            examples.setdefault(name, "/".join((*parts, path.name)))
    ranked = sorted(
        (name for name in counts if counts[name]),
        key=lambda name: (-min(counts[name], len(images) or counts[name]), _ORDER.index(name)),
    )
    classes = _classes(images, data)
    if len(classes) > 1 and (not ranked or counts[ranked[0]] < _SHARE * len(images)):
        shown = ", ".join(sorted(classes)[:4])
        return "folder", [
            f"{len(images)} images in folders of {len(classes)} classes ({shown}): data=folder",
            *_others(ranked, examples),
        ]
    if not ranked:
        raise MiradaError(
            f"{raw_dir} holds {len(images)} images and no labels that are known (VOC, COCO, YOLO, CVAT, Label Studio, "
            "labelme, TFRecord, CreateML, VIA, DOTA, a CSV of boxes, JSON lines, a folder for each class): name the format "
            "by data=… or add the labels."
        )
    best = ranked[0]
    return best, [f"labels such as {examples[best]}: data={best}", *_others(ranked[1:], examples)]


def _others(names: list[str], examples: dict[str, str]) -> list[str]:
    return [f"also there and not used: {examples[name]} (data.format={name})" for name in names]


def _classes(images: list[tuple[tuple[str, ...], Path]], data: DataConfig) -> set[str]:
    try:
        places = class_folders({parts for parts, _ in images}, data.split.names)
    except MiradaError:  # told when the format is that
        return set()
    return {label for _, label in places.values() if label}


def _recognise_file(path: Path, stems: set[str]) -> tuple[str, int]:
    """The format of one file, '' for none, and how many images it may name."""
    suffix = path.suffix.lower()
    if names_records(path.name):
        return ("tfrecord", max(1, path.stat().st_size >> 18)) if holds_objects(path) else ("", 0)
    if suffix == ".xml":
        return _recognise_xml(path)
    if suffix == ".json" and path.name != "SOURCE.json":
        return _recognise_json(path)
    if suffix == ".txt" and not names_classes(path) and (text := _recognise_text(path, stems)):
        return text
    if suffix == ".txt" and not names_classes(path) and path.stem in stems and holds_rows(path):
        return ("yolo", 1) if count_rows(str(path)) or path.stat().st_size == 0 else ("", 0)
    if suffix == ".jsonl":
        found = _ends(path)[0].splitlines()
        return ("jsonl", len(found)) if found and all(key in found[0] for key in (b'"file"', b'"objects"')) else ("", 0)
    if suffix in (".csv", ".tsv"):
        head = decode(_ends(path)[0])[0]
        lines = max(1, len(head.splitlines()))
        if "region_shape_attributes" in head[:1000]:
            return "via", lines
        return ("csv", lines) if has_box_columns(head) else ("", 0)
    return "", 0


def _recognise_text(path: Path, stems: set[str]) -> tuple[str, int] | None:
    """Texts that say more than the rows of YOLO: those of DOTA, and lists of images with boxes."""
    head = decode(_ends(path)[0])[0]
    if path.stem in stems and holds_dota_rows(head):
        return "dota", 1
    lines = head.splitlines()
    return ("keras", len(lines)) if is_keras_list("\n".join(lines[:20])) else None


def _recognise_xml(path: Path) -> tuple[str, int]:
    head = decode(_ends(path)[0])[0]
    root = re.search(r"<([A-Za-z_][\w.-]*)", re.sub(r"<\?.*?\?>|<!--.*?-->", "", head, flags=re.S))
    if root is None or root[1] not in ("annotation", "annotations"):
        return "", 0
    return ("voc", 1) if root[1] == "annotation" else ("cvat", max(1, path.stat().st_size >> 9))


def _recognise_json(path: Path) -> tuple[str, int]:
    head, tail = (part.decode(errors="replace") for part in _ends(path))
    text = head + tail
    many = max(1, path.stat().st_size >> 9)  # a line of it takes a few hundred bytes
    if '"shapes"' in text and '"imagePath"' in text:
        return "labelme", 1
    if re.match(r"\s*(\ufeff)?\s*\[", head) and re.search(
        r'labels"\s*:\s*\[|"original_width"|"completions"|"result"', text
    ):
        return "label_studio", many
    if re.match(r"\s*(\ufeff)?\s*\[", head) and re.search(r'"annotations"\s*:', head) and '"coordinates"' in head:
        return "createml", many
    if '"shape_attributes"' in text and '"regions"' in text and '"filename"' in text:
        return "via", many
    if re.match(r"\s*(\ufeff)?\s*\{", head) and re.search(r'"(images|annotations|categories)"\s*:\s*\[', text):
        return ("coco", many) if re.search(r'"(bbox|segmentation|file_name)"', text) else ("", 0)
    return "", 0


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; nothing twice."""
    with path.open("rb") as file:
        head = file.read(_PEEK)
        size = path.stat().st_size
        if size <= len(head):
            return head, b""
        file.seek(max(len(head), size - _PEEK))
        return head, file.read(_PEEK)
