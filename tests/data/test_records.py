import struct
from pathlib import Path

import numpy as np
import pytest

from mirada.data import records
from mirada.errors import MiradaError


def example(number: int = 0) -> records.Example:
    return records.Example(
        image_id=f"a b({number}).jpg",
        image=b"\x00\xff" * number,
        boxes_xyxy=np.arange(4 * number, dtype=np.float32).reshape(-1, 4),
        labels=np.arange(number, dtype=np.int64),
        ignore=np.arange(number) % 2 == 1,
        source="ü.jpg",
        placement=(0.5, 0.5, 1.0, 2.0, 3.0, 4.0),
    )


def write(path: Path, count: int = 3) -> Path:
    path.write_bytes(b"".join(records.frame(records.serialize(example(number))) for number in range(count)))
    return path


@pytest.mark.parametrize("number", [0, 1, 3])
def test_an_example_comes_back_as_it_was(number: int) -> None:
    there = example(number)
    back = records.parse_example(records.serialize(there))
    assert (back.image_id, back.image, back.source, back.placement) == (
        there.image_id,
        there.image,
        there.source,
        there.placement,
    )
    for key in ("boxes_xyxy", "labels", "ignore"):
        assert getattr(back, key).tolist() == getattr(there, key).tolist()
    assert back.boxes_xyxy.shape == (number, 4)


def test_what_is_said_of_hidden_objects_comes_back_and_silence_takes_no_byte() -> None:
    there = example(3)
    assert b"truncated" not in records.serialize(there) and records.parse_example(records.serialize(there)).hidden == {}
    there.hidden = {"truncated": np.array([-1, 0, 1], np.int8)}
    back = records.parse_example(records.serialize(there)).hidden
    assert {name: said.tolist() for name, said in back.items()} == {"truncated": [-1, 0, 1]}


def test_framing_is_tfrecords() -> None:
    """crc32c of eight zero bytes is 0x8c28b28a, of nothing 0; masked as the format's page says."""

    def mask(crc: int) -> int:
        return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF

    assert records.frame(b"") == struct.pack("<QII", 0, mask(0x8C28B28A), mask(0))


def test_a_shard_is_read_in_order(tmp_path: Path) -> None:
    found = list(records.read_shard(write(tmp_path / "a.tfrecord")))
    assert [len(item.labels) for item in found] == [0, 1, 2]


@pytest.mark.parametrize("where", [3, 40, -1])
def test_a_flipped_bit_is_found_and_the_shard_named(tmp_path: Path, where: int) -> None:
    path = write(tmp_path / "a.tfrecord")
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    record = 2 if where < 0 else 0
    with pytest.raises(MiradaError, match=rf"a\.tfrecord is corrupt at record {record}: run the preprocess stage"):
        list(records.read_shard(path))


def test_a_shard_cut_short_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MiradaError, match="corrupt at record 2"):
        list(records.read_shard(path))


def test_an_absent_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match=r"a\.tfrecord is missing: run the preprocess stage again"):
        list(records.read_shard(tmp_path / "a.tfrecord"))


def dataset(folder: Path) -> records.Dataset:
    shard = write(folder / "train-00000-of-00001.tfrecord")
    shards = [{"file": shard.name, "images": 3, "sha256": records.sha256_of(shard)}]
    return records.Dataset(
        folder=folder,
        name="x",
        task="detection",
        classes=["ü", "b"],
        input_size=32,
        channels=3,
        fit="letterbox",
        splits={"train": {"images": 3, "boxes": 3, "per_class": {"ü": 2, "b": 1}, "shards": shards}},
        digest=records.digest_of(["a"]),
        about={},
    )


def test_a_data_set_comes_back_as_it_was(tmp_path: Path) -> None:
    records.save_dataset(dataset(tmp_path))
    back = records.load_dataset(tmp_path, verify=True)
    assert back == dataset(tmp_path)
    assert [item.image_id for item in back.examples("train")] == ["a b(0).jpg", "a b(1).jpg", "a b(2).jpg"]


def test_damage_to_a_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(MiradaError, match=r"dataset\.json is missing: run the preprocess stage first"):
        records.load_dataset(tmp_path)
    records.save_dataset(dataset(tmp_path))
    shard = tmp_path / "train-00000-of-00001.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    records.load_dataset(tmp_path)
    with pytest.raises(MiradaError, match=r"train-00000-of-00001\.tfrecord is corrupt"):
        records.load_dataset(tmp_path, verify=True)
    shard.unlink()
    with pytest.raises(MiradaError, match=r"train-00000-of-00001\.tfrecord is missing"):
        records.load_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(MiradaError, match=r"dataset\.json is corrupt"):
        records.load_dataset(tmp_path)
