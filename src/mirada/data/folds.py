"""Which fold of a data set is val, and what all its folds have in common."""

from __future__ import annotations

import json

from mirada.data.records import Dataset, digest_of


def fold_settings(dataset: Dataset) -> dict[str, int]:
    """`kfold` and `fold` of `data.split`; empty where val is no fold."""
    split = dataset.about.get("settings", {}).get("split", {})
    return {key: int(split[key]) for key in ("kfold", "fold")} if split.get("kfold") else {}


def common_digest(dataset: Dataset) -> str:
    """Digest of what a data set holds, the same for all its folds; without folds it is the data set's own.

    The folds share their test images, and train and val together.
    """
    if not fold_settings(dataset):
        return dataset.digest
    settings = dict(dataset.about["settings"])
    settings["split"] = {key: value for key, value in settings["split"].items() if key != "fold"}
    folds = dataset.about.get("split", {}).get("folds", {})
    tests = [shard["sha256"] for shard in dataset.splits.get("test", {}).get("shards", [])]
    return digest_of([json.dumps([settings, folds, dataset.classes], sort_keys=True, default=str), *tests])
