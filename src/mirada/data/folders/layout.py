"""What a folder of raw data is made of: which files are images, which folders and lists are splits, who belongs to whom.

Names only; no image is opened. Every format asks here, so that `Training/`, `valid/` or `Test.txt` mean the same to all of
them, and so that an image is found by whatever an annotation calls it: another case, another Unicode form, a path of
another machine.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from PIL import Image, ImageFile

from mirada.data.pixels.opening import HEIC_SUFFIXES
from mirada.errors import MiradaError

Parts = tuple[str, ...]

# Of two images of one name the first of these is taken; then comes what else Pillow opens.
_USUAL_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
# Pictures that Pillow does not open by itself: listed as left out, so that none of them vanishes without a word.
FOREIGN_SUFFIXES = frozenset(
    (".jxl", ".svg", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".dcm", ".exr")
)
# Folders of VOCdevkit whose images are masks, not photographs.
_MASKS = {"segmentationclass", "segmentationobject"}
# Folders that hold one half of each pair: images here, annotations there.
HALVES = {"jpegimages", "images", "annotations", "xmls"}
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# What stands beside the word in names such as train_images, instances_val2017 or TestSet.
_BESIDE = (
    *("set", "sets", "data", "dataset", "split", "splits", "list", "coco", "instances", "jpegimages"),
    *("image", "images", "img", "imgs", "photo", "photos", "pictures"),
    *("label", "labels", "annotation", "annotations", "xml", "xmls"),
)
_COMPOUND = re.compile(f"({'|'.join(sorted(_SPLIT_WORDS, key=len, reverse=True))})({'|'.join(sorted(_BESIDE))})?")


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of images that this machine's Pillow opens, in lower case, the usual ones first.

    HEIC is among them even where pillow-heif is absent, so that each such file is told of, with what to install.
    """
    Image.init()
    found = {
        suffix
        for suffix, name in Image.registered_extensions().items()
        if (name in Image.OPEN or name == "MPO")  # an MPO is opened as the JPEG that it begins with
        and Image.MIME.get(name, "image/").startswith("image/")
        and not _is_stub(name)
    }
    return (*_USUAL_SUFFIXES, *sorted(found.union(HEIC_SUFFIXES).difference(_USUAL_SUFFIXES)))


def _is_stub(name: str) -> bool:
    """Whether Pillow knows a format but needs somebody else's loader for its pixels."""
    opener = Image.OPEN.get(name, (None,))[0]
    return isinstance(opener, type) and issubclass(opener, ImageFile.StubImageFile)


@cache
def _suffix_ranks() -> dict[str, int]:
    return {suffix: rank for rank, suffix in enumerate(image_suffixes())}


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return os.path.splitext(name)[1].lower() in _suffix_ranks()  # noqa: PTH122  a Path for each name is slow


def preference(name: str) -> tuple[int, str]:
    """Sort key: of images that differ in their extension alone, the first is taken."""
    return _suffix_ranks()[os.path.splitext(name)[1].lower()], name  # noqa: PTH122


def visible_files(raw_dir: Path) -> Iterator[tuple[Parts, Path]]:
    """Every visible file with the folders that lead to it."""
    for folder, names, files in os.walk(raw_dir):
        parts = Path(folder).relative_to(raw_dir).parts
        names[:] = sorted(n for n in names if not n.startswith((".", "__MACOSX")) and n.lower() not in _MASKS)
        for name in sorted(files):
            if not name.startswith("."):
                yield parts, Path(folder) / name


def split_word(name: str, names: Mapping[str, str] = {}) -> str | None:  # noqa: B006  read only
    """The split that a folder's or a list's name says: 'train', 'val' or 'test'; None where it says none.

    Args:
        name: such as `Training`, `val2017`, `test_images` or `TrainSet`.
        names: of `data.split.names`; they overrule, and 'none' says that a name means no split.
    """
    for known, split in names.items():
        if known.casefold() == name.casefold():
            return None if split == "none" else split
    words = [word for word in re.findall(r"[^\W\d_]+", name.casefold()) if word not in _BESIDE]
    found = _COMPOUND.fullmatch(words[0]) if len(words) == 1 else None
    return _SPLIT_WORDS[found[1]] if found else None


def folder_splits(folders: Iterable[Parts], names: Mapping[str, str]) -> dict[Parts, str | None]:
    """The split of each folder: what the innermost name that says one says.

    A name that leads to all folders says nothing where others below it do: the archive `test_data/` with `train/` in it.
    """
    folders = set(folders)
    shared = _shared(folders)
    marks = {folder: [(at, split_word(part, names)) for at, part in enumerate(folder)] for folder in folders}
    marked = {folder: [(at, split) for at, split in found if split] for folder, found in marks.items()}
    deeper = any(at >= shared for found in marked.values() for at, _ in found)
    result: dict[Parts, str | None] = {}
    for folder, found in marked.items():
        counting = [split for at, split in found if at >= shared or not deeper]
        result[folder] = counting[-1] if counting else None
    return result


def _shared(folders: Iterable[Parts]) -> int:
    """How many leading folders are the same for all."""
    ordered = sorted(folders)
    return len(os.path.commonprefix([ordered[0], ordered[-1]])) if ordered else 0


def class_folders(folders: Iterable[Parts], names: Mapping[str, str]) -> dict[Parts, tuple[str | None, str | None]]:
    """The split and the class of the images in each folder.

    Where folders are splits, the class is the next one below, or the one above where every class holds its own splits.
    Elsewhere it is the first folder below those that all images share. A folder called `train` or `valid` beside other
    folders of images, with images and no folders in it, is a class like them.

    Args:
        folders: all that hold images.
        names: of `data.split.names`.

    Returns:
        folder -> (split or None, class or None where none can be told).

    Raises:
        MiradaError: a folder may as well be a split as a class.
    """
    folders = set(folders)
    splits = _split_folders(folders, names)
    shared = _shared(folders)
    result: dict[Parts, tuple[str | None, str | None]] = {}
    for folder in folders:
        marks = [at for at in range(len(folder)) if folder[: at + 1] in splits]
        if not marks:
            label = folder[shared] if not splits and shared < len(folder) else None
            result[folder] = None, label
            continue
        at = marks[-1]
        split, above = splits[folder[: at + 1]]
        result[folder] = split, folder[at - 1] if above else folder[at + 1] if at + 1 < len(folder) else None
    return result


def _split_folders(folders: set[Parts], names: Mapping[str, str]) -> dict[Parts, tuple[str, bool]]:
    """Folders that are splits -> the split, and whether the class is the folder above."""
    children: dict[Parts, set[str]] = {}
    for folder in folders:
        for at in range(len(folder)):
            children.setdefault(folder[:at], set()).add(folder[at])
    told = {name.casefold() for name in names}
    splits: dict[Parts, tuple[str, bool]] = {}
    for parent, found in children.items():
        marked = {name: split for name in found if (split := split_word(name, names))}
        others = found - marked.keys()
        if not marked:
            continue
        nested = any((*parent, name) in children for name in marked)
        sure = all(name.casefold() in told for name in marked)
        if not sure and not nested and others:
            continue  # classes that are called so
        if not sure and nested and len(marked) == 1 and len(others) > 1:
            _refuse_two_readings("/".join((*parent, *marked)), next(iter(marked.items())), others)
        siblings = children.get(parent[:-1], set()) if parent else set()
        above = not nested and len(siblings) > 1 and all((*parent[:-1], name) in children for name in siblings)
        splits |= {(*parent, name): (split, above) for name, split in marked.items()}
    return splits


def _refuse_two_readings(folder: str, mark: tuple[str, str], others: Iterable[str]) -> None:
    name, split = mark
    raise MiradaError(
        f"The folder {folder} may be the {split} split, or a class beside {', '.join(sorted(others)[:3])}: say which, "
        f"by +data.split.names.{name}={split} or +data.split.names.{name}=none."
    )


def normalise(name: str) -> str:
    """A name as names are compared: composed Unicode, without regard to case."""
    return unicodedata.normalize("NFC", name).casefold()


def _reference_parts(reference: str) -> Parts:
    """The parts of a path as some machine wrote it: with either slash, a drive, a host; never one that leads up."""
    text = reference.strip()
    if "://" in text:
        text = re.split(r"[?#]", text)[0]
    text = re.sub(r"^[a-zA-Z]:(?=[\\/])|^[a-z]+://[^/]*", "", text).replace("\\", "/")
    return tuple(part for part in text.split("/") if part not in ("", ".", ".."))


class ImageIndex:
    """The images of a raw folder, to be found by whatever an annotation calls them; nothing outside is ever named."""

    def __init__(self, sources: Iterable[str], names: Mapping[str, str]) -> None:
        """Index images by name and by stem.

        Args:
            sources: paths below the raw folder, with '/'.
            names: of `data.split.names`.
        """
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for source in sources:
            name = normalise(source.rpartition("/")[2])
            self._by_name.setdefault(name, []).append(source)
            self._by_stem.setdefault(os.path.splitext(name)[0], []).append(source)  # noqa: PTH122
        folders = {tuple(source.split("/")[:-1]) for found in self._by_name.values() for source in found}
        self._splits = folder_splits(folders, names)
        self._names = names

    def split_of(self, source: str) -> str | None:
        """The split that an image's folders say."""
        return self._splits[tuple(source.split("/")[:-1])]

    def find(self, reference: str, near: Parts = ()) -> tuple[str, ...]:
        """The images that a path may mean: one where it is clear, none, or the candidates between which it is not.

        Args:
            reference: a path, a name, or a name without extension.
            near: the folders that lead to whoever refers.
        """
        parts = _reference_parts(reference)
        if not parts:
            return ()
        found = self._named(parts[-1])
        said = folder_splits([parts[:-1]], self._names)[parts[:-1]] or folder_splits([near], self._names)[near]
        found = [source for source in found if not said or self.split_of(source) in (None, said)]
        if len(found) > 1:
            found = _best(found, lambda source: _common_tail(source.split("/"), parts))
        if len(found) > 1:
            found = _best(found, lambda source: source.rpartition("/")[2] == parts[-1])
        if len(found) > 1:
            found = _best(found, lambda source: closeness(tuple(source.split("/")[:-1]), near))
        return tuple(found)

    def _named(self, name: str) -> list[str]:
        """Images of that name, else of that stem, else of its stem where it has the suffix of an image.

        A name as a URL writes it, `my%20cat.jpg`, is looked for as it is, and then as it is meant.
        """
        key = normalise(name)
        stem = os.path.splitext(key)[0]  # noqa: PTH122
        found = self._by_name.get(key) or self._by_stem.get(key)
        if not found and is_image(key):
            found = self._by_stem.get(stem)
        if not found and "%" in name and (meant := unquote(name)) != name:
            return self._named(meant)
        return list(found or ())


def closeness(folder: Parts, other: Parts) -> tuple[bool, bool, bool, int]:
    """How likely a folder of images and one of annotations belong together; greater is likelier."""
    key = tuple(split_word(part) or part for part in folder if part.lower() not in HALVES)
    other_key = tuple(split_word(part) or part for part in other if part.lower() not in HALVES)
    twins = len(folder) == len(other) and sum(a != b for a, b in zip(folder, other, strict=True)) == 1
    return folder == other, key == other_key, twins, len(os.path.commonprefix([folder, other]))


def _common_tail(source: Sequence[str], parts: Sequence[str]) -> int:
    """How many parts two paths share at their end, the name apart."""
    count = 0
    for a, b in zip(reversed(source[:-1]), reversed(parts[:-1]), strict=False):
        if normalise(a) != normalise(b):
            break
        count += 1
    return count


def _best(found: list[str], score: object) -> list[str]:
    scores = [score(source) for source in found]  # type: ignore[operator]
    highest = max(scores)
    return [source for source, value in zip(found, scores, strict=True) if value == highest]
