"""How drawn examples become a processed data set, for every module that draws some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mirada.data.records import Dataset, Example, digest_of, frame, save_dataset, serialize, sha256_of

SIDE = 64  # pixels of every drawn image's side


def store_examples(
    folder: Path,
    examples: Mapping[str, Sequence[Example]],
    *,
    name: str,
    task: str,
    classes: list[str],
    channels: int = 3,
    fit: str = "letterbox",
    shards: int = 1,
) -> Dataset:
    """Shards and `dataset.json`, as the stage preprocess leaves them: the images of each split, dealt to `shards` files.

    The images of val and test are photographs as well: drawn as large as the network's input.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, Any] = {}
    for split, given in examples.items():
        written = []
        for part in range(shards):
            path, mine = folder / f"{split}-{part:05d}-of-{shards:05d}.tfrecord", given[part::shards]
            path.write_bytes(b"".join(frame(serialize(example)) for example in mine))
            written.append({"file": path.name, "images": len(mine), "sha256": sha256_of(path)})
        labels = [int(label) for example in given for label in example.labels]
        per_class = {label: labels.count(number) for number, label in enumerate(classes)}
        splits[split] = {"images": len(given), "boxes": len(labels), "per_class": per_class, "shards": written}
    photographs: dict[str, Any] = {}
    for split in {"val", "test"} & set(examples):
        path, given = folder / f"photographs-{split}-00000-of-00001.tfrecord", examples[split]
        path.write_bytes(b"".join(frame(serialize(example)) for example in given))
        shard = {"file": path.name, "images": len(given), "sha256": sha256_of(path)}
        photographs[split] = {"images": len(given), "shards": [shard]}
    digest = digest_of(shard["sha256"] for content in splits.values() for shard in content["shards"])
    dataset = Dataset(folder, name, task, classes, SIDE, channels, fit, splits, digest, {}, photographs=photographs)
    save_dataset(dataset)
    return dataset
