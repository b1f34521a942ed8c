"""What a data set tells of itself: where it comes from, what was left out, and the lines that are printed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mirada.config import PreprocessConfig
from mirada.data import records
from mirada.data.annotations import Rejected
from mirada.errors import MiradaError

SHOWN_NOTES = 12
SOURCE_KEYS = ("name", "kind", "package", "version", "licence", "digest")


def write_rejected(rejected: set[Rejected], path: Path) -> None:
    """Write `rejected.csv`: file, reason, advice."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "reason", "advice"))
        writer.writerows(sorted((item.file, item.reason, item.advice) for item in rejected))


def describe_origin(
    config: PreprocessConfig,
    raw_dir: Path,
    repaired: Counter[str],
    rejected: set[Rejected],
    depth_range: tuple[float, float] | None,
) -> dict[str, Any]:
    """Where the data set comes from and how it was made; no times, no paths, nothing that doesn't change a byte."""
    source: dict[str, Any] = {}
    if (raw_dir / "SOURCE.json").is_file():
        try:
            content = json.loads((raw_dir / "SOURCE.json").read_text(encoding="utf-8"))
            source = {key: content[key] for key in SOURCE_KEYS if key in content}
        except (ValueError, TypeError) as error:
            raise MiradaError(f"{raw_dir / 'SOURCE.json'} is corrupt ({error}): run fetch with force=true.") from error
    keys = ("input_size", "fit", "channels", "enhance", "encoding", "quality", "shard_images")
    settings = {key: getattr(config, key) for key in keys}
    settings |= {key: getattr(config.data, key) for key in ("format", "several", "rename", "classes")}
    if config.data.format == "table":
        settings["table"] = asdict(config.data.table)
    if config.data.depth_range:
        settings["depth_range"] = list(config.data.depth_range)
    settings |= {"split": asdict(config.data.split), "tile": asdict(config.data.tile)}
    return {
        "source": source,
        "repaired": dict(sorted(repaired.items())),
        "rejected": len(rejected),
        "settings": settings,
        **({"depth_range": list(depth_range)} if depth_range else {}),
    }


def say(notes: list[str]) -> list[str]:
    """What was taken for what, so many lines as fit a screen beside the rest."""
    more = len(notes) - SHOWN_NOTES
    return [*notes[:SHOWN_NOTES], f"and {more} more of the kind"] if more > 0 else notes


def summarise(config: PreprocessConfig, dataset: records.Dataset, timing: dict[str, Any]) -> str:
    """One line that says what there is."""
    parts = ", ".join(f"{split} {counts['images']}" for split, counts in dataset.splits.items())
    boxes = f"{sum(split['boxes'] for split in dataset.splits.values())} boxes"
    if dataset.task == "classification":
        per_class = Counter[str]()
        for split in dataset.splits.values():
            per_class.update(split["per_class"])
        boxes = ", ".join(f"{per_class[label]} {label}" for label in dataset.classes)
    rejected = f"{dataset.about['rejected']} files rejected"
    if dataset.about["rejected"]:
        rejected += f" (see {config.output_dir.rstrip('/')}/rejected.csv)"
    repairs = sum(dataset.about["repaired"].values())
    return (
        f"{config.data.name}: images {parts}; {boxes}, {repairs} repairs, {rejected}; "
        f"{timing['images_per_s']} images/s with workers={timing['workers']}"
    )
