"""What a processed image is, and how images and their boxes are kept on disk.

A shard is a TFRecord file of `tf.train.Example` messages, so `tf.data` reads it natively; this module writes and reads
it with protobuf and crc32c alone, so preprocessing workers, evaluation and the service need no TensorFlow.

File framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from mirada.errors import MiradaError

SPLITS = ("train", "val", "test")
HIDDEN = ("truncated", "occluded")
"""What annotations say of an object besides: that it reaches out of the image, and that something hides a part of it."""


@dataclass(frozen=True, slots=True)
class Box:
    """One object in a raw image: corners in pixels of the image as displayed, x2 and y2 exclusive, and its label.

    Two boxes that differ in `truncated` or `occluded` alone are the same object told twice. These two are None where the
    annotation does not say.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    difficult: bool = False
    truncated: bool | None = field(default=None, compare=False)
    occluded: bool | None = field(default=None, compare=False)

    def __reduce__(self) -> tuple[type[Box], tuple[Any, ...]]:
        """For pickle: four times as fast as what a frozen dataclass with slots does by itself."""
        return Box, (self.x1, self.y1, self.x2, self.y2, self.label, self.difficult, self.truncated, self.occluded)


@dataclass
class Example:
    """One network input with its truth.

    Attributes:
        image_id: unique in the data set; the source's relative path, and the corner of a tile or the corners of a crop.
        image: encoded JPEG or PNG bytes, RGB or grey, exactly the network's input size.
        boxes_xyxy: (N, 4) float32, corners in pixels of `image`.
        labels: (N,) int64, index into the data set's classes.
        ignore: (N,) bool, boxes that count neither as objects nor as background.
        source: path of the raw image below the raw folder.
        placement: (scale_x, scale_y, pad_x, pad_y, offset_x, offset_y): a source point (x, y) lies at
            ((x - offset_x) * scale_x + pad_x, (y - offset_y) * scale_y + pad_y) of `image`.
        hidden: name of `HIDDEN` -> (N,) int8, 1 where the annotation says so, 0 where it says no, -1 where it says nothing;
            a name that the data set says nothing of is absent.
    """

    image_id: str
    image: bytes
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    ignore: np.ndarray
    source: str
    placement: tuple[float, float, float, float, float, float] = field(default=(1.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    hidden: dict[str, np.ndarray] = field(default_factory=dict)


@cache
def _example_class() -> Any:
    """The `tf.train.Example` message, declared here so that TensorFlow is not needed to write one."""
    proto = descriptor_pb2.FileDescriptorProto(name="mirada/example.proto", package="mirada", syntax="proto3")
    label, kind = descriptor_pb2.FieldDescriptorProto, descriptor_pb2.FieldDescriptorProto
    for name, element in (
        ("BytesList", kind.TYPE_BYTES),
        ("FloatList", kind.TYPE_FLOAT),
        ("Int64List", kind.TYPE_INT64),
    ):
        message = proto.message_type.add(name=name)
        message.field.add(name="value", number=1, type=element, label=label.LABEL_REPEATED)
    feature = proto.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, element_type) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), start=1
    ):
        feature.field.add(
            name=name,
            number=number,
            type=kind.TYPE_MESSAGE,
            type_name=f".mirada.{element_type}",
            oneof_index=0,
            label=label.LABEL_OPTIONAL,
        )
    features = proto.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kind.TYPE_STRING, label=label.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kind.TYPE_MESSAGE, type_name=".mirada.Feature", label=label.LABEL_OPTIONAL
    )
    features.field.add(
        name="feature",
        number=1,
        type=kind.TYPE_MESSAGE,
        type_name=".mirada.Features.FeatureEntry",
        label=label.LABEL_REPEATED,
    )
    example = proto.message_type.add(name="Example")
    example.field.add(
        name="features", number=1, type=kind.TYPE_MESSAGE, type_name=".mirada.Features", label=label.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mirada.Example"))


def serialize(example: Example) -> bytes:
    """The example as the bytes of a `tf.train.Example`; equal examples give equal bytes."""
    message = _example_class()()
    feature = message.features.feature
    feature["image_id"].bytes_list.value.append(example.image_id.encode())
    feature["image"].bytes_list.value.append(example.image)
    feature["source"].bytes_list.value.append(example.source.encode())
    feature["boxes_xyxy"].float_list.value.extend(np.asarray(example.boxes_xyxy, np.float32).ravel().tolist())
    feature["labels"].int64_list.value.extend(np.asarray(example.labels, np.int64).tolist())
    feature["ignore"].int64_list.value.extend(np.asarray(example.ignore, np.int64).tolist())
    feature["placement"].float_list.value.extend(example.placement)
    for name, said in example.hidden.items():
        feature[name].int64_list.value.extend(np.asarray(said, np.int64).tolist())
    return message.SerializeToString(deterministic=True)


def parse_example(data: bytes) -> Example:
    """Read back what `serialize` wrote."""
    feature = _example_class().FromString(data).features.feature
    return Example(
        image_id=feature["image_id"].bytes_list.value[0].decode(),
        image=feature["image"].bytes_list.value[0],
        boxes_xyxy=np.array(feature["boxes_xyxy"].float_list.value, np.float32).reshape(-1, 4),
        labels=np.array(feature["labels"].int64_list.value, np.int64),
        ignore=np.array(feature["ignore"].int64_list.value, bool),
        source=feature["source"].bytes_list.value[0].decode(),
        placement=tuple(feature["placement"].float_list.value),
        hidden={name: np.array(feature[name].int64_list.value, np.int8) for name in HIDDEN if name in feature},
    )


def parse_features(data: bytes) -> dict[str, list[Any]]:
    """The features of a `tf.train.Example` that anybody wrote: name -> its bytes, floats or integers.

    Raises:
        ValueError: it is none.
    """
    try:
        features = _example_class().FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return {
        name: list(getattr(item, kind).value) for name, item in features.items() if (kind := item.WhichOneof("kind"))
    }


def masked_crc(data: bytes) -> int:
    """The checksum that TFRecord keeps of bytes."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """One record as TFRecord stores it: length, its crc, the record, its crc."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, struct.pack("<I", masked_crc(length)), record, struct.pack("<I", masked_crc(record))))


def read_shard(path: Path) -> Iterator[Example]:
    """Yield the examples of one shard, checking every checksum.

    Raises:
        MiradaError: the shard is absent, cut short or damaged; the message names it and the record.
    """
    advice = "run the preprocess stage again (`dvc repro preprocess`)."
    if not path.is_file():
        raise MiradaError(f"{path} is missing: {advice}")
    with path.open("rb") as file:
        number = 0
        while header := file.read(12):
            damaged = MiradaError(f"{path} is corrupt at record {number}: {advice}")
            if len(header) < 12 or struct.unpack("<I", header[8:])[0] != masked_crc(header[:8]):
                raise damaged
            (length,) = struct.unpack("<Q", header[:8])
            body = file.read(length + 4)
            if len(body) < length + 4 or struct.unpack("<I", body[length:])[0] != masked_crc(body[:length]):
                raise damaged
            yield parse_example(body[:length])
            number += 1


@dataclass
class Dataset:
    """A processed data set: `dataset.json` and the folder it lies in.

    Attributes:
        folder: where the shards lie.
        name, task, classes: what is in it.
        input_size, channels, fit: what its images are: side in pixels, 3 (RGB) or 1 (grey), 'letterbox' or 'stretch'.
        splits: split -> {"images", "boxes", "per_class": {label: boxes}, "shards": [{"file", "images", "sha256"}]}.
        digest: sha256 over all shards' digests; it changes when any byte of the data does.
        about: the rest of dataset.json (source, repaired and rejected counts, settings).
        enhance: what was done to the pixels, 'none' or 'equalize'.
        photographs: 'val' and 'test' -> number of images and shards of `whole_photographs`.
    """

    folder: Path
    name: str
    task: str
    classes: list[str]
    input_size: int
    channels: int
    fit: str
    splits: dict[str, dict[str, Any]]
    digest: str
    about: dict[str, Any]
    enhance: str = "none"
    photographs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def shards(self, split: str) -> list[Path]:
        """The shard files of one split, in order."""
        return [self.folder / shard["file"] for shard in self.splits[split]["shards"]]

    @property
    def tile(self) -> tuple[int, float]:
        """Side in pixels of the tiles that photographs were cut into, 0 without, and the share by which they overlap."""
        tile = self.about.get("settings", {}).get("tile", {})
        size = int(tile.get("size", 0))
        return size, float(tile["overlap"]) if size else 0.0

    @property
    def depth_range(self) -> list[float] | None:
        """The values of a image of more than 8 bits that became 0 and 255; None where there was none."""
        return self.about.get("depth_range")

    def object_sizes(self, split: str = "train") -> list[float]:
        """Sides of a split's objects, square root of the area in pixels of the input: 5, 50 and 95 % are smaller.

        Empty without an object that counts.
        """
        boxes = [example.boxes_xyxy[~example.ignore] for example in self.examples(split)]
        sides = np.concatenate([box[:, 2:] - box[:, :2] for box in boxes]) if boxes else np.zeros((0, 2))
        if not len(sides):
            return []
        return [round(float(size), 1) for size in np.percentile(np.sqrt(sides.prod(axis=1)), (5, 50, 95))]

    def whole_photographs(self, split: str) -> Iterator[Example]:
        """The photographs of val or test in order, each with its truth in its own pixels.

        Raises:
            MiradaError: the data set was made without them.
        """
        if split not in self.photographs:
            raise MiradaError(f"{self.folder} holds no photographs of {split}: run the preprocess stage again.")
        for shard in self.photographs[split]["shards"]:
            yield from read_shard(self.folder / shard["file"])

    def examples(self, split: str) -> Iterator[Example]:
        """Every example of one split, in order."""
        for path in self.shards(split):
            yield from read_shard(path)


DATASET_KEYS = (
    "name",
    "task",
    "classes",
    "input_size",
    "channels",
    "fit",
    "enhance",
    "splits",
    "digest",
    "about",
    "photographs",
)


def save_dataset(dataset: Dataset) -> None:
    """Write `dataset.json`; it holds no times and no machine's paths, so equal data give equal bytes."""
    content = {key: getattr(dataset, key) for key in DATASET_KEYS}
    (dataset.folder / "dataset.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def load_dataset(folder: str | Path, *, verify: bool = False) -> Dataset:
    """Read `dataset.json` and check that its shards are there.

    Args:
        folder: the output folder of the preprocess stage.
        verify: also compare each shard's sha256, which reads every byte.

    Raises:
        MiradaError: the stage has not run, or a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / "dataset.json"
    if not path.is_file():
        raise MiradaError(f"{path} is missing: run the preprocess stage first (`dvc repro preprocess`).")
    try:
        content = {"enhance": "none", "photographs": {}} | json.loads(path.read_text())
        dataset = Dataset(folder=folder, **{key: content[key] for key in DATASET_KEYS})
    except (ValueError, KeyError, TypeError) as error:
        raise MiradaError(
            f"{path} is corrupt ({error!r}): run the preprocess stage again (`dvc repro preprocess`)."
        ) from error
    for content in (*dataset.splits.values(), *dataset.photographs.values()):
        for shard in content["shards"]:
            file = folder / shard["file"]
            if not file.is_file():
                raise MiradaError(f"{file} is missing: run the preprocess stage again (`dvc repro preprocess`).")
            if verify and sha256_of(file) != shard["sha256"]:
                raise MiradaError(f"{file} is corrupt: run the preprocess stage again (`dvc repro preprocess`).")
    return dataset


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(parts: Iterable[str]) -> str:
    """One hex sha256 over several digests, in their order, each drawn as it is needed."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        digest.update(f"\n{part}".encode() if number else part.encode())
    return digest.hexdigest()
