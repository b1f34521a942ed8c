"""What a data set tells of itself: where it comes from, what was left out, and the lines that are printed."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mirada.config import PreprocessConfig
from mirada.data import records
from mirada.data.alike.groups import Group
from mirada.data.annotations import Rejected
from mirada.data.splits.assignment import Assignment
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
        if config.data.table.group_column is None:
            del settings["table"]["group_column"]
    if config.data.depth_range:
        settings["depth_range"] = list(config.data.depth_range)
    split = asdict(config.data.split)
    if not config.data.split.kfold:
        del split["kfold"], split["fold"]
    settings |= {"split": split, "tile": asdict(config.data.tile)}
    return {
        "source": source,
        "repaired": dict(sorted(repaired.items())),
        "rejected": len(rejected),
        "settings": settings,
        **({"depth_range": list(depth_range)} if depth_range else {}),
    }


def describe_split(
    assigned: Assignment, splits: Mapping[str, str], copies: Mapping[str, str], groups: Sequence[Group]
) -> dict[str, Any]:
    """What `dataset.json` says of the split beyond its settings: what was held apart and why, groups, folds.

    Args:
        assigned: who trains and who tests.
        splits: image -> split, of those that take part.
        copies: image that is left out -> the image of another split that has the same bytes.
        groups: of alike images.

    Returns:
        {"held_apart": {image: {"split", "alike_to", "why"}}, "held_apart_counts": {why: images}, "alike": {"groups",
        "images", "ties": {why: ties}}, "folds": {image: fold}}, each only where there is any.
    """
    reasons: dict[str, str] = {}
    for tie in (tie for group in groups for tie in group.ties):
        reasons.setdefault(tie.second, tie.reason)
        reasons.setdefault(tie.first, tie.reason)
    others = {**assigned.apart, **copies}
    apart = {
        image: {
            "split": assigned.splits[image],
            "alike_to": others[image],
            "why": "same_bytes" if image in copies else reasons[image],
        }
        for image in sorted(others)
    }
    ties = Counter(tie.reason for group in groups for tie in group.ties)
    found = {
        "held_apart": apart,
        "held_apart_counts": dict(sorted(Counter(str(one["why"]) for one in apart.values()).items())),
        "alike": groups
        and {
            "groups": len(groups),
            "images": sum(len(group.images) for group in groups),
            "ties": dict(sorted(ties.items())),
        },
        "folds": {image: assigned.folds[image] for image in sorted(assigned.folds) if image in splits},
    }
    return {key: value for key, value in found.items() if value}


def say_split(described: Mapping[str, Any]) -> list[str]:
    """One line on what is alike and what was held apart, none where nothing is."""
    parts = []
    if alike := described.get("alike"):
        ties = ", ".join(f"{number} {why}" for why, number in alike["ties"].items())
        parts.append(f"{alike['images']} images are alike, in {alike['groups']} groups that are not parted ({ties})")
    if apart := described.get("held_apart"):
        sides = Counter(one["split"] for one in apart.values())
        where = " and ".join(f"{number} of {split}" for split, number in sorted(sides.items()))
        why = ", ".join(f"{number} {why}" for why, number in described["held_apart_counts"].items())
        parts.append(f"{where} held apart, being alike to images of another split ({why}): see rejected.csv")
    return ["; ".join(parts)] if parts else []


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


def main_reason(rejected: Collection[Rejected]) -> str:
    """The reason for which most files were left out, in the middle of a sentence."""
    why = Counter((item.reason, item.advice) for item in rejected).most_common(1)
    return f", {len(rejected)} files were rejected, most as {why[0][0][0]} ({why[0][0][1]})" if why else ""
