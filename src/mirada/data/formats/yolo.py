"""YOLO: a text of rows for each image, and the names of the classes beside.

The format: https://docs.ultralytics.com/datasets/detect/. A row is a class and the box as shares of the image's sides; rows
of an oriented box or of a segment are taken as the box around them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mirada.data.annotations import Labelling, RawImage, Rejected, read_header, reject, settle
from mirada.data.folders.geometry import ROTATED, Corners, enclose, enclose_quad, in_shares
from mirada.data.folders.layout import Parts, folder_splits, is_image, visible_files
from mirada.data.folders.lists import follow_lists
from mirada.data.folders.pairing import pair_files
from mirada.data.folders.texts import clean_label, read_text
from mirada.data.formats.gathering import add_box
from mirada.data.formats.labels import list_strangers
from mirada.data.formats.writing import LabelSet, Writer, beside
from mirada.data.records import Box
from mirada.errors import MiradaError

_NAME_FILES = ("classes.txt", "labels.txt", "_darknet.labels", "predefined_classes.txt", "names.txt", "class.txt")
_MAX_YAML_BYTES = 1 << 24
_SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class YoloPair:
    """An image and the text of its rows, None for a background image; `names` are the classes in their order."""

    path: str
    labels: str | None
    source: str
    split: str | None
    names: tuple[str, ...]
    keypoints: bool = False


@dataclass(frozen=True)
class _Settings:
    """What a data.yaml says: classes, whether rows hold keypoints, and which paths are which split."""

    names: tuple[str, ...]
    keypoints: bool
    splits: tuple[tuple[str, str], ...]


def list_yolo(
    raw_dir: Path, classes: Sequence[str], names: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> tuple[list[YoloPair], list[Rejected]]:
    """Pair images with texts of rows, beside them or in twin folders, and find the names of the classes.

    An image without a text is background, as the tools have it, and counted as `label_file_missing`.

    Args:
        raw_dir: the raw folder.
        classes: of `data.classes`; they name the numbers where no file does.
        names: of `data.split.names`.
        notes: receives what was taken for what.

    Returns:
        The pairs, sorted by source, and what can't be used, sorted by file.

    Raises:
        MiradaError: nothing names the classes, or two files name them differently.
    """
    names, notes = names or {}, [] if notes is None else notes
    every = list(visible_files(raw_dir))
    settings = _settings(every, classes, notes)
    texts = [(parts, path) for parts, path in every if path.suffix.lower() == ".txt" and not names_classes(path)]
    rows = [item for item in texts if holds_rows(item[1])]
    paired = pair_files([*(item for item in every if is_image(item[1].name)), *rows], ".txt", names, count_rows)
    rejected = paired.rejected + list_strangers(every)
    rejected += [reject(source, "labels_without_image", count_rows(path)) for path, source in paired.labels]
    found = {image[1]: (image[0], label[0]) for image, label in paired.pairs}
    empty: dict[str, tuple[str, str | None]] = {source: (path, None) for path, source in paired.images}
    splits = _splits([*found, *empty], settings, names)
    lists = follow_lists([item for item in texts if item not in rows], splits, [], names)
    notes += lists.notes
    rejected += lists.rejected
    pairs = [
        YoloPair(path, label, source, lists.splits.get(source, splits[source]), settings.names, settings.keypoints)
        for source, (path, label) in (found | empty).items()
        if source not in lists.left_out
    ]
    return sorted(pairs, key=lambda pair: pair.source), sorted(rejected, key=lambda item: (item.file, item.reason))


def names_classes(path: Path) -> bool:
    """Whether a text is, by its name, a list of classes."""
    return path.name.lower() in _NAME_FILES


def holds_rows(path: Path) -> bool:
    """Whether a text's first line is a row of numbers, or it has none: no list of images, no readme."""
    with path.open("rb") as file:
        for line in file.read(1 << 12).splitlines():
            if line.strip(b"\xef\xbb\xbf \t"):
                return re.match(rb"\s*(?:\xef\xbb\xbf)?[-+.\d]", line) is not None and len(line.split()) > 1
    return True


def count_rows(path: str) -> int:
    """How many rows a text holds."""
    return sum(bool(line.strip()) for line in read_text(Path(path))[0].splitlines())


def _settings(every: Iterable[tuple[Parts, Path]], classes: Sequence[str], notes: list[str]) -> _Settings:
    """The names of the classes, from data.yaml, else from a list of names, else from data.classes."""
    found: list[tuple[str, _Settings]] = []
    for parts, path in every:
        source = "/".join((*parts, path.name))
        if path.suffix.lower() in (".yaml", ".yml") and (said := _read_yaml(path)):
            found.append((source, said))
    for parts, path in every:
        if not found and (names_classes(path) or path.suffix.lower() == ".names"):
            lines = [clean_label(line) for line in read_text(path)[0].splitlines()]
            while lines and not lines[-1]:
                lines.pop()
            found.append(("/".join((*parts, path.name)), _Settings(tuple(lines), False, ())))
    if not found:
        if not classes:
            raise MiradaError(
                "Nothing names the classes of the YOLO rows: put a data.yaml with names, or a classes.txt, into the folder, "
                "or give data.classes in the order of their numbers."
            )
        return _Settings(tuple(classes), False, ())
    if len({said.names for _, said in found}) > 1:
        raise MiradaError(
            f"{found[0][0]} and {next(s for s, said in found if said.names != found[0][1].names)} name the classes "
            "differently: leave one of them."
        )
    notes.append(f"{found[0][0]} names {len(found[0][1].names)} classes")
    return found[0][1]


def _read_yaml(path: Path) -> _Settings | None:
    """What a data.yaml says; all of it as text, so that a class called `no` or `1.0` keeps its name."""
    if path.stat().st_size > _MAX_YAML_BYTES:
        return None
    text, _ = read_text(path)
    if any(isinstance(token, yaml.AliasToken) for token in _tokens(text)):
        return None  # aliases of aliases would grow without end, and no data.yaml needs one
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # a subset of the safe loader: text, lists, mappings
    except (yaml.YAMLError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    names = _names(content.get("names"))
    if names is None and str(content.get("nc", "")).isdecimal():
        names = [str(number) for number in range(min(int(content["nc"]), 10_000))]
    if names is None:
        return None
    splits = []
    for key, split in _SPLIT_KEYS.items():
        places = content.get(key)
        splits += [(place, split) for place in (places if isinstance(places, list) else [places]) if place]
    return _Settings(tuple(names), "kpt_shape" in content, tuple((str(place), split) for place, split in splits))


def _tokens(text: str) -> list[Any]:
    try:
        return list(yaml.scan(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError:
        return []


def _names(value: Any) -> list[str] | None:
    """Names as a list, as a mapping from numbers, or as text with commas."""
    if isinstance(value, str) and value.strip():
        return [clean_label(name.strip(" '\"")) for name in value.strip("[] ").split(",")]
    if isinstance(value, list):
        return [clean_label(str(name)) for name in value]
    if isinstance(value, dict) and value and all(str(key).strip().isdecimal() for key in value):
        numbered = {int(key): clean_label(str(name)) for key, name in value.items()}
        return [numbered.get(number, "") for number in range(min(max(numbered) + 1, 100_000))]
    return None


def _splits(sources: Sequence[str], settings: _Settings, names: Mapping[str, str]) -> dict[str, str | None]:
    """The split of each image: by the folders that data.yaml names, else by what its own folders say."""
    folders = folder_splits({tuple(source.split("/")[:-1]) for source in sources}, names)
    result = {source: folders[tuple(source.split("/")[:-1])] for source in sources}
    said: dict[Parts, set[str]] = {}
    for place, split in settings.splits:
        parts = tuple(part for part in place.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        tails = (parts[at:] for at in range(len(parts)))  # the longest tail of the path that is a folder here
        for folder in next(filter(None, ([f for f in folders if _holds(f, tail)] for tail in tails)), []):
            said.setdefault(folder, set()).add(split)
    for source in sources:
        of_folder = said.get(tuple(source.split("/")[:-1]), set())
        if len(of_folder) == 1:  # a demonstration names one folder for train and val: it says nothing
            result[source] = next(iter(of_folder))
    return result


def _holds(folder: Parts, tail: Parts) -> bool:
    return any(folder[at : at + len(tail)] == tail for at in range(len(folder) - len(tail) + 1))


def read_yolo(pair: YoloPair, rename: Mapping[str, str], rotated: str = "enclose") -> RawImage | Rejected:
    """Read an image's rows and its header.

    Args:
        pair: from `list_yolo`.
        rename: name of a class -> label to use.
        rotated: of `data.rotated`.
    """
    if pair.labels is None:
        return settle(Labelling(pair.path, pair.source, pair.split, repairs=("label_file_missing",), relative=True))
    text, assumed = read_text(Path(pair.labels))
    header = read_header(Path(pair.path))
    size = (1, 1) if isinstance(header, str) else header[0][::-1] if header[1] >= 5 else header[0]
    boxes: list[Box] = []
    repairs = [f"decoded_as_{assumed}"] if assumed else []
    for line in text.splitlines():
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        corners, code = _corners(cells, pair.keypoints, rotated, size)
        label = _label(cells[0], pair.names)
        if corners is None or not label:
            repairs.append("class_unknown" if corners else code)
            continue
        repairs += [code] if code else []
        add_box(boxes, repairs, Box(*corners, rename.get(label, label)))
    said = Labelling(pair.path, pair.source, pair.split, tuple(boxes), relative=True, repairs=tuple(repairs))
    return reject(pair.source, header, said.objects) if isinstance(header, str) else settle(said, header)


def _label(cell: str, names: Sequence[str]) -> str:
    """The class of a number, '' for one without a name."""
    try:
        number = float(cell)
    except ValueError:
        return ""
    return names[int(number)] if number.is_integer() and 0 <= number < len(names) else ""


def _corners(cells: Sequence[str], keypoints: bool, rotated: str, size: tuple[int, int]) -> tuple[Corners | None, str]:
    """The corners of a row as shares of the sides, and a code where that is worth a remark."""
    try:
        values = [float(cell) for cell in cells[1:]]
    except ValueError:
        return None, "box_unreadable"
    if not all(map(math.isfinite, values)):
        return None, "box_unreadable"
    if len(values) in (4, 5) or (len(values) > 5 and (keypoints or len(values) % 2)):  # with a score, or keypoints
        x, y, width, height = values[:4]
        if max(map(abs, values[:4])) > 2:
            return None, "box_unreadable"  # pixels, or columns in another order: shares are below one
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), ""
    if len(values) < 6 or len(values) % 2:
        return None, "box_unreadable"
    points = list(zip(values[::2], values[1::2], strict=False))
    if len(points) == 4:
        # Shares of two different sides don't turn: pixels do.
        corners = enclose_quad([(x * size[0], y * size[1]) for x, y in points], rotated)
        return in_shares(corners, size), ROTATED[rotated]
    return enclose(points), "polygon_enclosed"


def write_yolo(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """Rows in `labels/`, and `data.yaml`.

    What a model found lies as the photographs do, not in `labels/`, and its `data.yaml` names the classes alone: which
    photographs are for training, people decide.
    """
    numbers = {label: number for number, label in enumerate(labels.classes)}
    folder = "labels/" if labels.model is None else ""
    for image, path in beside(labels, ".txt"):
        rows = []
        for box, score in image.objects:
            values = (
                (box.x1 + box.x2) / 2 / image.width,
                (box.y1 + box.y2) / 2 / image.height,
                (box.x2 - box.x1) / image.width,
                (box.y2 - box.y1) / image.height,
            )
            cells = [str(numbers[box.label]), *(f"{value:.8f}" for value in values)]
            rows.append(" ".join([*cells, f"{score:.6f}"] if labels.row_scores and score is not None else cells))
        yield folder + path, "".join(f"{row}\n" for row in rows)
    names: dict[str, Any] = {"nc": len(labels.classes), "names": dict(enumerate(labels.classes))}
    if labels.model is None:
        used = {image.split for image in labels.images}
        splits = {split: f"images/{split}" for split in ("train", "val", "test") if split in used}
        head = ""
        content: dict[str, Any] = {"path": "."} | (splits or {"train": "images", "val": "images"}) | names
    else:
        head, content = "# For Ultralytics add train: and val:, folders of photographs.\n", names
    yield "data.yaml", head + yaml.safe_dump(content, allow_unicode=True, sort_keys=False)


WRITER = Writer(lambda image: f"images/{image.path}", write_yolo, keeps_difficult=False, relative=True)
