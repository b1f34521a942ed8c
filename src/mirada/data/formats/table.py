"""A table of labels, one image a row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mirada.config import TableConfig
from mirada.data.annotations import Rejected
from mirada.data.folders.layout import ImageIndex, folder_splits, is_image, visible_files
from mirada.data.folders.texts import clean_label, read_text, split_rows
from mirada.data.formats.labels import LabelledImage, list_strangers, reject
from mirada.data.formats.writing import LabelSet, Writer, label_of
from mirada.errors import MiradaError


def list_table(
    raw_dir: Path,
    table: TableConfig,
    classes: Sequence[str],
    rename: Mapping[str, str],
    names: Mapping[str, str] | None = None,
) -> tuple[list[LabelledImage], list[Rejected]]:
    """Label each image by its row of a text table.

    An image's path is taken below the table's folder; a missing extension, another case, and the path of another machine
    are found. Splits come from folders named train, val or test where there are any.

    Args:
        raw_dir: the raw folder.
        table: where the table is and what its columns hold.
        classes: with `table.threshold`, the class of the numbers below it and the class of the others.
        rename: label in the table -> label to use.
        names: of `data.split.names`.

    Returns:
        The images, sorted by source, and the rows and images that can't be used, sorted by file.

    Raises:
        MiradaError: there is no such table.
    """
    path = raw_dir / str(table.file)
    if not path.is_file():
        raise MiradaError(f"{path} is missing: correct data.table.file, its path below the raw folder.")
    every = list(visible_files(raw_dir))
    files = {"/".join((*parts, file.name)): file for parts, file in every if is_image(file.name)}
    index = ImageIndex(files, names or {})
    stems = {str(PurePosixPath(source).with_suffix("")): source for source in sorted(files, reverse=True)}
    folder = path.parent.relative_to(raw_dir)
    labels: dict[str, list[str]] = {}
    rejected = list_strangers(every)
    for number, cells in _rows(path, table):
        row = f"{path.relative_to(raw_dir).as_posix()}: row {number}"
        label = _label(cells, table, classes)
        if isinstance(label, Rejected):
            rejected.append(Rejected(row, label.reason, label.advice))
            continue
        name = (folder / cells[table.image_column].strip().replace("\\", "/")).as_posix()
        found: tuple[str, ...] = (name,) if name in files else (stems[name],) if name in stems else ()
        if not found and ".." not in name.split("/"):
            found = index.find(cells[table.image_column], folder.parts)
        source = found[0] if len(found) == 1 else None
        if source is None:
            rejected.append(reject(f"{row}: {cells[table.image_column].strip()}", "row_without_image"))
            continue
        label = clean_label(rename.get(label, label))
        labels.setdefault(source, []).append(rename.get(label, label))
    labelled = []
    splits = folder_splits({PurePosixPath(source).parts[:-1] for source in files}, names or {})
    for source, file in files.items():
        given = labels.get(source, [])
        if len(set(given)) != 1:
            rejected.append(reject(source, "rows_disagree" if given else "image_without_row"))
            continue
        split = splits[PurePosixPath(source).parts[:-1]]
        repairs = ("row_repeated",) * (len(given) - 1)
        labelled.append(LabelledImage(file, source, split, given[0], repairs))
    return sorted(labelled, key=lambda image: image.source), sorted(rejected, key=lambda item: (item.file, item.reason))


def _rows(path: Path, table: TableConfig) -> Iterator[tuple[int, list[str]]]:
    """The number, from 1, and the cells of each row that isn't empty, without the header."""
    text, _ = read_text(path)
    delimiter = {"\\t": "\t", "tab": "\t"}.get(str(table.delimiter), table.delimiter)
    rows = split_rows(text, delimiter) if delimiter else (line.split() for line in text.splitlines())
    for number, cells in enumerate(rows, start=1):
        if any(cell.strip() for cell in cells) and not (table.header and number == 1):
            yield number, cells


def _label(cells: Sequence[str], table: TableConfig, classes: Sequence[str]) -> str | Rejected:
    """The label that a row gives, or why it gives none."""
    if len(cells) <= max(table.image_column, table.label_column):
        return reject("", "row_too_short")
    label = cells[table.label_column].strip()
    if not label:
        return reject("", "label_missing")
    if table.threshold is None:
        return label
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return classes[number >= table.threshold] if math.isfinite(number) else reject("", "label_no_number")


def write_table(labels: LabelSet) -> Iterator[tuple[str, str]]:
    """`labels.csv`: an image and its class on each row, below a header.

    Raises:
        MiradaError: an image shows no class, or several.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(["image", "class"])
    rows.writerows([image.path, label_of(image)] for image in labels.images)
    yield "labels.csv", buffer.getvalue()


WRITER = Writer(lambda image: image.path, write_table, keeps_boxes=False, keeps_difficult=False)
