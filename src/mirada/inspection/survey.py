"""All that the findings are drawn from, collected in one pass over the images, through the readers of preprocess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from mirada.config import TASKS, InspectConfig
from mirada.data.alike.groups import Group, alike
from mirada.data.annotations import RawImage, Rejected, count_objects
from mirada.data.formats import FORMATS
from mirada.data.formats.auto import settle
from mirada.data.inputs import Unit, count_boxes, plan
from mirada.data.objects import choose_classes, single_out_all
from mirada.data.records import Box
from mirada.data.splits.assignment import assign_images
from mirada.data.splits.checks import check_classes, check_sizes, leaks, list_left_out
from mirada.errors import MiradaError
from mirada.inspection.looking import Seen, look

Map = Callable[[Callable[..., Any], list[Any], Callable[[Any], str]], Iterable[Any]]
"""(function, items, name of an item) -> the results in the items' order, from workers."""


@dataclass
class Survey:
    """What is known of the raw data.

    Attributes:
        config: its data's format and task settled.
        images: readable ones with the boxes of the wanted classes, each fit for its task, sorted by source.
        seen: source -> what the image shows.
        rejected: files that are left out, those that the task has no use for among them.
        repairs: code -> how often something was mended or lost.
        notes: what was taken for what.
        classes: to be learnt.
        splits: source -> split; empty where photographs are split by area.
        leaked: source -> its copy in another split, for which preprocess leaves it out.
        units: network inputs of each split, in numbers.
        boxes: split -> label -> boxes that count in the network's inputs.
        books: of `count_objects`.
        refusals: sentences with which preprocess would refuse these data.
    """

    config: InspectConfig
    raw_dir: Path
    images: list[RawImage] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    rejected: set[Rejected] = field(default_factory=set)
    repairs: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: dict[str, str] = field(default_factory=dict)
    leaked: dict[str, str] = field(default_factory=dict)
    units: Counter[str] = field(default_factory=Counter)
    boxes: dict[str, Counter[str]] = field(default_factory=dict)
    books: dict[str, Any] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    @property
    def shows_boxes(self) -> bool:
        """Whether objects have boxes that were drawn by someone; the label of a whole image has none."""
        return TASKS[self.config.data.task] != "label"

    @cached_property
    def by_source(self) -> dict[str, RawImage]:
        """The images by their source."""
        return {image.source: image for image in self.images}

    @cached_property
    def alike(self) -> list[Group]:
        """Images that show the same thing, by their pixels and by their names."""
        hashes = {source: seen.hashes for source, seen in self.seen.items() if seen.hashes is not None}
        return alike(hashes, threads=self.config.workers)

    def split_of(self, source: str) -> str:
        """An image's split, '' where it has none of its own."""
        return self.splits.get(source, "")

    def zoom(self, image: RawImage) -> tuple[float, float]:
        """How many of the network's pixels one of the image's is, across and down."""
        return zoom_of(image.width, image.height, self.config.input_size, self.config.fit, self.config.data.tile.size)


def zoom_of(width: int, height: int, input_size: int, fit: str, tile_size: int) -> tuple[float, float]:
    """How many of the network's pixels one of an image's is, across and down, as preprocess scales it."""
    if tile_size:
        return input_size / tile_size, input_size / tile_size
    if fit == "stretch":
        return input_size / width, input_size / height
    scale = min(input_size / width, input_size / height)
    return scale, scale


def collect(config: InspectConfig, raw_dir: Path, work: Map) -> Survey:
    """Look at every image once.

    What preprocess would refuse is no error here: it is among the survey's `refusals`.

    Args:
        config: its `data`, `input_size` and `fit`.
        raw_dir: the folder.
        work: applies a function in workers.

    Raises:
        MiradaError: no format is there, or the folder can't be listed.
    """
    data, notes = settle(config.data, raw_dir)
    config = replace(config, data=data)
    survey = Survey(config, raw_dir, notes=notes)
    reader = FORMATS[config.data.format]
    items, left_out = reader.list(raw_dir, config.data, notes)
    survey.rejected.update(left_out)
    images: list[RawImage] = []
    for found, seen in work(partial(look, data=config.data), items, attrgetter("source")):
        if isinstance(found, Rejected):
            survey.rejected.add(found)
        else:
            images.append(found)
            survey.seen[found.source] = seen
    if not images:
        what, _, remedy = reader.expected.partition(": ")
        survey.refusals.append(f"{raw_dir} holds no usable {what}: {remedy}.")
        return survey
    survey.images = images
    survey.books = count_objects(images, survey.rejected)
    survey.repairs = Counter(code for image in images for code in image.repairs)
    try:
        _prepare(survey)
    except MiradaError as error:
        survey.refusals.append(str(error))
    return survey


def _prepare(survey: Survey) -> None:
    """What preprocess does before it cuts images: classes, one object where the task wants that, splits."""
    data = survey.config.data
    survey.images, survey.classes, changed = choose_classes(survey.images, data, str(survey.raw_dir), survey.notes)
    survey.repairs += changed
    digests = {source: seen.digest for source, seen in survey.seen.items()}
    survey.images, rejected = single_out_all(survey.images, digests, data)
    survey.rejected.update(rejected)
    if data.split.kind != "area":
        _share_out(survey, digests)
    used = [image for image in survey.images if data.split.kind == "area" or image.source in survey.splits]
    units: list[Unit] = plan([image for image in used if image.source not in survey.leaked], survey.splits, data)
    survey.units = Counter(unit.split for unit in units)
    survey.boxes = count_boxes(units, data.tile.min_visible)
    check_sizes(survey.units, data.split)
    check_classes(survey.classes, survey.boxes)


def _share_out(survey: Survey, digests: dict[str, str]) -> None:
    """The split of each image, and copies in two of them."""
    config = survey.config.data.split
    assigned = assign_images(survey.images, config, survey.alike if config.group == "auto" else [])
    survey.leaked = leaks(digests, assigned.splits)
    survey.rejected.update(list_left_out(assigned, {}))  # of copies a check of its own tells
    survey.splits = {
        source: split for source, split in assigned.splits.items() if split and source not in assigned.apart
    }


def area(box: Box) -> float:
    """In square pixels."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)
