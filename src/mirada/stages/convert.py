"""`convert`: raw data in one format to another, through the readers that preprocess uses."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from PIL import ImageOps

from mirada.config import ConvertConfig
from mirada.data.annotations import RawImage, Rejected, count_objects
from mirada.data.formats import FORMATS, WRITERS
from mirada.data.formats.auto import settle
from mirada.data.formats.writing import LabelSet, Writer, Written, corners_of
from mirada.data.objects import choose_classes
from mirada.data.pixels.opening import open_picture
from mirada.data.stored_data import raw_folder
from mirada.data.summary import say, write_rejected
from mirada.errors import MiradaError

_ORIENTATION = 0x0112
_QUARTER_TURNS = 5  # from this value of it on; those before leave width and height as they are


def run(config: ConvertConfig) -> None:
    """Read every usable image of the raw folder, and write it with its labels in another format.

    The folder is made as a whole or not at all; `rejected.csv` in it tells what was left out.

    Raises:
        MiradaError: there is nothing to read, or the output folder is not empty.
    """
    output_dir = Path(config.output_dir)
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise MiradaError(f"{output_dir} is not empty: give a new output_dir.")
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.") as place:
        source = str(config.data.path or config.raw_dir)
        raw_dir = raw_folder(source, Path(place) / "raw", follow_links=config.data.follow_links)
        if output_dir.absolute().is_relative_to(raw_dir.absolute()):
            raise MiradaError(f"{output_dir} lies in {raw_dir}, which is read: give an output_dir elsewhere.")
        new = Path(place) / "new"
        new.mkdir()
        notes = _convert(config, raw_dir, new)
        if output_dir.exists():
            output_dir.rmdir()
        new.rename(output_dir)
    print(*notes, sep="\n")


def _convert(config: ConvertConfig, raw_dir: Path, folder: Path) -> list[str]:
    """Fill a folder; returns what to print."""
    data, notes = settle(config.data, raw_dir)
    items, left_out = FORMATS[data.format].list(raw_dir, data, notes)
    results = [FORMATS[data.format].read(item, data) for item in items]
    rejected = {*left_out, *(item for item in results if isinstance(item, Rejected))}
    images = [item for item in results if isinstance(item, RawImage)]
    if not images:
        what, _, remedy = FORMATS[data.format].expected.partition(": ")
        raise MiradaError(f"{raw_dir} holds no usable {what}: {remedy}.")
    books = count_objects(images, rejected)
    images, classes, changed = choose_classes(images, data, str(raw_dir), notes)
    writer = WRITERS[config.to]
    labels = LabelSet(_describe(images), classes)
    pairs = zip(images, labels.images, strict=True)
    upright = sum(_copy(image, folder / writer.place(written), writer) for image, written in pairs)
    writer.store(labels, folder)
    write_rejected(rejected, folder / "rejected.csv")
    repairs = sum((Counter(image.repairs) for image in images), changed)
    kept, lost = sum(len(image.boxes) for image in images), writer.losses(labels)
    return [
        *say(notes),
        f"{data.format} to {config.to}: {len(images)} images, {kept} of {books['found']} objects in {config.output_dir}; "
        f"{repairs.total()} repairs and losses"
        + (f" ({', '.join(f'{n} {code}' for code, n in sorted(repairs.items()))})" if repairs else "")
        + f", {len(rejected)} lines in rejected.csv",
        *([f"{upright} images saved upright, which their EXIF entry turned"] if upright else []),
        *(f"{count} objects lose the {what}, which {config.to} can't hold" for what, count in lost.items()),
    ]


def _describe(images: list[RawImage]) -> list[Written]:
    """The images as they are written; where one box spans each of them, that is the label of the whole."""
    whole = all([corners_of(box) for box in image.boxes] == [(0, 0, image.width, image.height)] for image in images)
    return [
        Written(name, image.width, image.height, image.boxes, split=image.split, whole=whole)
        for image, name in zip(images, _names(images), strict=True)
    ]


def _names(images: list[RawImage]) -> list[str]:
    """A file name for each image: its own, or its path where another of the split has the same."""
    names = [Path(image.name) for image in images]
    stems = Counter((image.split, name.stem.casefold()) for image, name in zip(images, names, strict=True))
    return [
        name.name
        if stems[image.split, name.stem.casefold()] == 1
        else image.source.replace("/", "__").removesuffix(name.suffix) + f"_{name.suffix[1:]}{name.suffix}"
        for image, name in zip(images, names, strict=True)
    ]


def _copy(image: RawImage, target: Path, writer: Writer) -> bool:
    """Copy an image, and say whether its pixels were saved anew.

    One whose EXIF orientation contradicts its boxes loses that orientation. One that it turns so that width and height stay
    as they are is saved upright where boxes are in pixels: their readers could not tell which way they are meant.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ignored = "exif_ignored" in image.repairs
    unclear = image.transpose and writer.keeps_boxes and not writer.relative
    if ignored or unclear:
        with open_picture(image.content) as picture:
            if ignored:
                exif = picture.getexif()
                exif[_ORIENTATION] = 1
                keep = {"quality": "keep"} if picture.format == "JPEG" else {}
                picture.save(target, picture.format, exif=exif, **keep)
                return False
            if picture.getexif().get(_ORIENTATION, 1) < _QUARTER_TURNS or image.width == image.height:
                upright = ImageOps.exif_transpose(picture)
                upright.save(target, picture.format, exif=upright.getexif(), quality=95)
                return True
    target.write_bytes(image.read())
    return False
