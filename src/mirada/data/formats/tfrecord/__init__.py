"""TFRecord files of the Object Detection API: records that hold an image, its boxes and their classes.

The features: https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/using_your_own_dataset.md.
Listing reads the headers of records alone; images are read in workers, from their place in the file, without TensorFlow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.data.annotations import Labelling, RawImage, Rejected, read_header, reject, settle
from mirada.data.folders.geometry import Corners
from mirada.data.folders.layout import Parts, folder_splits, is_image, split_word, visible_files
from mirada.data.folders.texts import clean_label, decode, read_hidden, read_text
from mirada.data.formats.gathering import add_box
from mirada.data.formats.labels import list_strangers
from mirada.data.formats.tfrecord.framing import find_records, read_record
from mirada.data.records import HIDDEN, Box, parse_features, sha256_of

_NAME = re.compile(
    r"(?P<stem>.*?)(?:\.(?:tfrecords?|tfrec|records?))?(?:-(?P<at>\d{5})-of-(?P<of>\d{5}))?(?:\.gz)?", re.I
)
_BOX = tuple(f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax"))
_TEXT, _NUMBER = "image/object/class/text", "image/object/class/label"
_FLAGS = ("image/object/difficult", "image/object/is_crowd", "image/object/group_of")
_ITEM = re.compile(r"item\s*:?\s*\{(.*?)\}", re.S)
_ENTRY = re.compile(r"""(id|name|display_name)\s*:\s*(?:(\d+)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


@dataclass(frozen=True, slots=True)
class TfRecord:
    """A record; `source` names its place below the raw folder, `names` the classes of a label map by their number."""

    path: str
    offset: int
    length: int
    source: str
    split: str | None
    names: tuple[tuple[int, str], ...]


def names_records(name: str) -> bool:
    """Whether a file's name is that of a TFRecord file: `x.tfrecord`, `x.record-00000-of-00010`, `x.tfrecord.gz`."""
    found = _NAME.fullmatch(name)
    return found is not None and found["stem"].casefold() not in (name.casefold(), name.casefold().removesuffix(".gz"))


def holds_objects(path: Path) -> bool:
    """Whether the first record of a file is one of the Object Detection API."""
    try:
        place = next(find_records(path), None)
        return place is not None and "image/encoded" in parse_features(read_record(path, *place))
    except (ValueError, OSError):
        return False


def list_tfrecords(
    raw_dir: Path, names: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> tuple[list[TfRecord], list[Rejected]]:
    """Find every record of every file.

    The split is what the file's name says (`coco_train.record-00000-of-00010`), else its folder. Of two files of the same
    bytes one is taken.

    Args:
        raw_dir: the raw folder.
        names: of `data.split.names`.
        notes: receives what was taken for what.

    Returns:
        The records, sorted by source, and what can't be used, sorted by file.
    """
    names, notes = names or {}, [] if notes is None else notes
    every = list(visible_files(raw_dir))
    rejected = list_strangers(every)
    rejected += [
        reject("/".join((*parts, path.name)), "image_without_labels") for parts, path in every if is_image(path.name)
    ]
    files = [(parts, path) for parts, path in every if names_records(path.name)]
    maps = {path: (parts, read_label_map(path)) for parts, path in every if path.suffix.lower() == ".pbtxt"}
    places = folder_splits({parts for parts, _ in files}, names)
    rejected += _missing_shards(files)
    records: list[TfRecord] = []
    for parts, path, copy_of in _once(files):
        source = "/".join((*parts, path.name))
        if copy_of:
            rejected.append(reject(source, "labels_twice", _count(path), f"{copy_of} was taken"))
            continue
        split = _split_of(path, names) or places[parts]
        classes = _nearest(path, parts, maps)
        before = len(records)
        try:
            for number, (offset, length) in enumerate(find_records(path)):
                records.append(TfRecord(str(path), offset, length, f"{source}/{number:06d}", split, classes))
        except (ValueError, OSError) as error:
            rejected.append(reject(source, "record_damaged", detail=str(error)))
        said = f", the {split} images" if split else ""
        notes.append(f"{source}: TFRecord, {len(records) - before} images{said}")
    return sorted(records, key=lambda record: record.source), sorted(
        rejected, key=lambda item: (item.file, item.reason)
    )


def _once(files: Sequence[tuple[Parts, Path]]) -> list[tuple[Parts, Path, str]]:
    """The files, each with the path of the earlier one whose bytes it has, '' for none."""
    sizes: dict[int, int] = {}
    for _, path in files:
        sizes[path.stat().st_size] = sizes.get(path.stat().st_size, 0) + 1
    first: dict[str, str] = {}
    result = []
    for parts, path in files:
        source = "/".join((*parts, path.name))
        alike = sizes[path.stat().st_size] > 1
        taken = first.setdefault(sha256_of(path), source) if alike else source
        result.append((parts, path, "" if taken == source else taken))
    return result


def _count(path: Path) -> int:
    """How many objects a file holds."""
    try:
        return sum(_objects(parse_features(read_record(path, *place))) for place in find_records(path))
    except (ValueError, OSError):
        return 0


def _missing_shards(files: Iterable[tuple[Parts, Path]]) -> list[Rejected]:
    """The numbers that the names of a file's companions tell of."""
    sets: dict[tuple[Parts, str, int], set[int]] = {}
    for parts, path in files:
        found = _NAME.fullmatch(path.name)
        if found and found["of"]:
            name = path.name[: found.start("at")] + "{:05d}" + path.name[found.end("at") :]
            sets.setdefault((parts, name, int(found["of"])), set()).add(int(found["at"]))
    return [
        reject("/".join((*parts, name.format(number))), "shard_missing")
        for (parts, name, count), there in sets.items()
        for number in range(min(count, 100_000))
        if number not in there
    ]


def _split_of(path: Path, names: Mapping[str, str]) -> str | None:
    """The split that a file's name says: all of it, or one word of it."""
    found = _NAME.fullmatch(path.name)
    stem = found["stem"] if found else path.name
    if stem in names or split_word(stem, names):
        return split_word(stem, names)
    words = {split for word in re.split(r"[^A-Za-z]+", stem) if (split := split_word(word, names))}
    return words.pop() if len(words) == 1 else None


def read_label_map(path: Path) -> tuple[tuple[int, str], ...]:
    """Number and name of each class in a `label_map.pbtxt`; a name for display is used where there is no other."""
    text = re.sub(r"^\s*#.*$", "", read_text(path)[0], flags=re.M)
    classes = []
    for item in _ITEM.findall(text):
        said = {key: number or double or single for key, number, double, single in _ENTRY.findall(item)}
        name = clean_label(re.sub(r"\\(.)", r"\1", said.get("name") or said.get("display_name") or ""))
        if said.get("id", "").isdecimal() and name:
            classes.append((int(said["id"]), name))
    return tuple(classes)


def _nearest(
    path: Path, parts: Parts, maps: Mapping[Path, tuple[Parts, tuple[tuple[int, str], ...]]]
) -> tuple[tuple[int, str], ...]:
    """The label map beside a file of records, else in the nearest folder above, else the only one; () where unclear."""
    for at in range(len(parts), -1, -1):
        beside = {file: classes for file, (folder, classes) in maps.items() if folder == parts[:at] and classes}
        stem = re.split(r"[.-]", path.name)[0].casefold()
        own = {file: classes for file, classes in beside.items() if file.name.casefold().startswith(stem)} or beside
        if own:
            return next(iter(own.values())) if len(set(own.values())) == 1 else ()
    every = {classes for _, classes in maps.values() if classes}
    return every.pop() if len(every) == 1 else ()


def read_tfrecord(item: TfRecord, rename: Mapping[str, str]) -> RawImage | Rejected:
    """Read a record and its image's header.

    Args:
        item: from `list_tfrecords`.
        rename: name of a class -> label to use.
    """
    path = Path(item.path)
    try:
        record = read_record(path, item.offset, item.length)
    except (ValueError, OSError) as error:
        return reject(item.source, "record_damaged", detail=str(error))
    try:
        features = parse_features(record)
    except ValueError:
        return reject(item.source, "record_foreign")
    if "image/encoded" not in features:
        return reject(item.source, "record_foreign", _objects(features))
    image = b"".join(part for part in features["image/encoded"][:1] if isinstance(part, bytes))
    source = f"{item.source}-{_name_of(features, image)}"
    if not image:
        return reject(source, "record_without_image", _objects(features))
    boxes: list[Box] = []
    repairs: list[str] = []
    _read_objects(features, dict(item.names), rename, boxes, repairs)
    part = (item.offset + record.find(image), len(image))
    size = _first_number(features, "image/width"), _first_number(features, "image/height")
    said = Labelling(
        item.path, source, item.split, tuple(boxes), size, relative=True, repairs=tuple(repairs), part=part
    )
    header = read_header(image)
    return reject(source, header, said.objects) if isinstance(header, str) else settle(said, header)


def _name_of(features: Mapping[str, list[Any]], image: bytes) -> str:
    """The name that a record gives its image, with the suffix of what it is."""
    for key in ("image/filename", "image/source_id"):
        for value in features.get(key, ())[:1]:
            text = clean_label(decode(value)[0]) if isinstance(value, bytes) else ""
            name = re.split(r"[/\\]", text)[-1]
            if name:
                return name if is_image(name) else name + (".png" if image.startswith(b"\x89PNG") else ".jpg")
    return "image.png" if image.startswith(b"\x89PNG") else "image.jpg"


def _first_number(features: Mapping[str, list[Any]], key: str) -> int:
    value = (features.get(key) or [0])[0]
    return value if isinstance(value, int) else 0


def _objects(features: Mapping[str, list[Any]]) -> int:
    """How many objects a record holds: as many as its longest list."""
    return max(len(features.get(key, ())) for key in (*_BOX, _TEXT, _NUMBER))


def _read_objects(
    features: Mapping[str, list[Any]],
    classes: Mapping[int, str],
    rename: Mapping[str, str],
    boxes: list[Box],
    repairs: list[str],
) -> None:
    """Take the boxes of a record, or count why not."""
    texts, numbers = features.get(_TEXT, []), features.get(_NUMBER, [])
    for at in range(_objects(features)):
        corners = _corners([features.get(key, [])[at : at + 1] for key in _BOX])
        label = clean_label(decode(texts[at])[0]) if at < len(texts) and isinstance(texts[at], bytes) else ""
        label = label or (classes.get(numbers[at], "") if at < len(numbers) else "")
        if corners is None or not label:
            repairs.append(
                "box_unreadable" if corners is None else "class_unknown" if at < len(numbers) else "name_missing"
            )
            continue
        difficult = any(features.get(key, [])[at : at + 1] == [1] for key in _FLAGS)
        hidden = {name: next(iter(features.get(f"image/object/{name}", [])[at : at + 1]), None) for name in HIDDEN}
        add_box(boxes, repairs, Box(*corners, rename.get(label, label), difficult, *read_hidden(hidden)))


def _corners(cells: Sequence[list[Any]]) -> Corners | None:
    """The corners of a box as shares of the sides; None where one is missing or no share."""
    values = [cell[0] for cell in cells if cell]
    if len(values) < 4 or not all(
        isinstance(value, float) and math.isfinite(value) and abs(value) <= 2 for value in values
    ):
        return None  # pixels, or no numbers
    x1, y1, x2, y2 = values
    return x1, y1, x2, y2
