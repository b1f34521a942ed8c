"""Labels that name their images, brought to the images that the raw folder holds: what COCO, CVAT and the others share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirada.data.annotations import Labelling, Rejected, reject
from mirada.data.folders.layout import ImageIndex, is_image, split_word, visible_files
from mirada.data.folders.texts import read_json
from mirada.data.formats.labels import list_strangers
from mirada.data.records import Box
from mirada.errors import MiradaError


class Gathering:
    """The images of a raw folder and what files of labels say of them, each image once.

    Attributes:
        files: all visible files as (folders, path).
        notes: what was taken for what.
        rejected: what can't be used.
    """

    def __init__(self, raw_dir: Path, names: Mapping[str, str] | None, notes: list[str] | None) -> None:
        """List the folder.

        Args:
            raw_dir: the raw folder.
            names: of `data.split.names`.
            notes: receives what was taken for what.
        """
        self.names = names or {}
        self.notes = [] if notes is None else notes
        self.files = list(visible_files(raw_dir))
        self.rejected: list[Rejected] = list_strangers(self.files)
        self.paths = {"/".join((*parts, path.name)): path for parts, path in self.files if is_image(path.name)}
        self.index = ImageIndex(self.paths, self.names)
        self._images: dict[str, Labelling] = {}
        self._taken_from: dict[str, str] = {}
        self._refused: set[str] = set()
        self._repeated: Counter[tuple[str, str]] = Counter()

    def files_of(self, *suffixes: str) -> list[tuple[str, Path]]:
        """The files with one of these suffixes, as (path below the raw folder, where it lies)."""
        return [
            ("/".join((*parts, path.name)), path)
            for parts, path in self.files
            if path.suffix.lower() in suffixes and path.name != "SOURCE.json"
        ]

    def jsons(self, fits: Callable[[Any], bool], what: str, broken: bool = False) -> Iterator[tuple[str, Any]]:
        """Path and content of each JSON that is of a format; the notes name the others.

        Args:
            fits: (content) -> whether it is.
            what: it holds then.
            broken: a file that is no JSON is one of many, and goes into `rejected`.

        Raises:
            MiradaError: a JSON is too big or broken.
        """
        for source, path in self.files_of(".json"):
            try:
                content = read_json(path)
            except MiradaError as error:
                if not broken:
                    raise
                detail = str(error).partition(": export")[0]
                self.rejected.append(reject(source, "labels_unreadable", detail=detail))
                continue
            if fits(content):
                yield source, content
            else:
                self.notes.append(f"{source} holds no {what} and was left alone")

    def split_of_file(self, source: str) -> str | None:
        """The split that the name of a file of labels says, or its folders."""
        *folders, name = source.split("/")
        stem = Path(name).stem.removesuffix(".coco").removesuffix("_labels")
        return split_word(stem, self.names) or next(
            (split for part in reversed(folders) if (split := split_word(part, self.names))), None
        )

    def add(self, file: str, reference: str, said: Labelling, *, split: str | None = None, row: str = "") -> None:
        """Keep what a file says of an image.

        An image that another file spoke for before keeps what that one said: nothing is counted twice. Where the two
        are for different splits, it belongs to neither.

        Args:
            file: path of the file of labels below the raw folder.
            reference: what it calls the image.
            said: boxes, size and repairs; path, source and split are found here.
            split: what the file says.
            row: names the place in the file, for `rejected.csv`; the reference otherwise.
        """
        places = self.find(file, reference, said.objects, row)
        if not places:
            return
        source = places[0]
        before = self._taken_from.setdefault(source, file)
        split = split or self.index.split_of(source)
        taken = self._images.get(source)
        if taken is None and source not in self._refused:
            self._images[source] = replace(said, path=str(self.paths[source]), source=source, split=split)
        elif taken is not None and before == file:  # the file lists it a second time: what is new is added
            new = tuple(box for box in said.boxes if box not in taken.boxes)
            repairs = (*said.repairs, *("object_repeated",) * (len(said.boxes) - len(new)), "image_listed_twice")
            self._images[source] = replace(taken, boxes=taken.boxes + new, repairs=taken.repairs + repairs)
        elif taken is not None and split and taken.split and split != taken.split:
            del self._images[source]
            self._refused.add(source)
            objects = taken.objects + said.objects
            self.rejected.append(reject(source, "in_several_lists", objects, f"{before} and {file}"))
        else:
            self._repeated[file, before] += said.objects

    def find(self, file: str, reference: str, objects: int, row: str = "") -> tuple[str, ...]:
        """The image that is meant; none, with a line in `rejected`, where there is none or it isn't clear."""
        places = self.index.find(reference, tuple(file.split("/")[:-1])) if reference else ()
        if len(places) == 1:
            return places
        reason = "image_ambiguous" if places else "labels_without_image"
        self.rejected.append(reject(f"{file}: {row or reference}", reason, objects, " or ".join(places[:3])))
        return ()

    def is_known(self, source: str) -> bool:
        """Whether a file has spoken for an image."""
        return source in self._taken_from

    def finish(self) -> tuple[list[Labelling], list[Rejected]]:
        """What is said of each image, sorted by source, and what can't be used, sorted by file."""
        for (file, other), objects in self._repeated.items():
            self.rejected.append(reject(f"{file}: images of {other}", "labels_twice", objects, f"{other} was taken"))
        known: set[str] = {item.file for item in self.rejected}
        self.rejected += [
            reject(source, "image_without_labels")
            for source in self.paths
            if source not in self._images and source not in known
        ]
        images = sorted(self._images.values(), key=lambda image: image.source)
        return images, sorted(self.rejected, key=lambda item: (item.file, item.reason))


Gather = Callable[[Gathering, Mapping[str, str]], None]
"""(gathering, rename: label in the file -> label to use) -> nothing; adds what a format's files say of each image."""


def add_box(boxes: list[Box], repairs: list[str], box: Box) -> None:
    """Take a box, once."""
    if box in boxes:
        repairs.append("object_repeated")
    else:
        boxes.append(box)
