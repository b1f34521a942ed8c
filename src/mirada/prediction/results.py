"""The files that tell what was found: `predictions.json`, labels, the ranking, and what could not be looked at."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirada.data.formats import WRITERS
from mirada.data.formats.coco import coco_json
from mirada.data.formats.writing import LabelSet
from mirada.files import write_whole
from mirada.prediction.findings import Finding


@dataclass(frozen=True)
class Failure:
    """What could not be looked at: its name, why, and what to do."""

    file: str
    reason: str
    advice: str


def write_predictions(folder: Path, labels: LabelSet) -> Path:
    """Write `predictions.json`, a COCO data set, and say where it is."""
    path = folder / "predictions.json"
    write_whole(path, coco_json(labels))
    return path


def write_failures(folder: Path, failures: Sequence[Failure]) -> Path:
    """Write `failed.csv`, or remove that of an earlier run where nothing failed; say where it is."""
    path = folder / "failed.csv"
    if not failures:
        path.unlink(missing_ok=True)
        return path
    rows = ((failure.file, failure.reason, failure.advice) for failure in failures)
    _write_table(path, ("file", "reason", "advice"), rows)
    return path


def write_ranking(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write `ranked.csv`, the least certain photograph first, and say where it is."""
    path = folder / "ranked.csv"
    ranked = sorted(findings, key=lambda finding: (-(finding.uncertainty or 0.0), finding.file))
    rows = (
        (rank, finding.file, f"{finding.uncertainty or 0.0:.4f}", len(finding.labels))
        for rank, finding in enumerate(ranked, start=1)
    )
    _write_table(path, ("rank", "file", "uncertainty", "objects"), rows)
    return path


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([header, *rows])
    write_whole(path, buffer.getvalue())


def write_labels(folder: Path, formats: Sequence[str], labels: LabelSet) -> None:
    """Write labels, a folder a format, whose files lie as the photographs do: copied over them they are beside them.

    Args:
        folder: receives `voc/`, `yolo/` and so on.
        formats: which of them.
        labels: what was found in all photographs.
    """
    for name in formats:
        WRITERS[name].store(labels, folder / name)


def copy_photographs(folder: Path, labels: LabelSet, paths: Mapping[str, Path]) -> None:
    """Copy each photograph of a classification into `folder/<class>/`.

    They are copies, not links, so that an edit or a tool's protection does not reach the originals.

    Args:
        folder: receives a folder a class.
        labels: what was found in all photographs.
        paths: file -> where the photograph lies.

    Raises:
        MiradaError: a class can't be the name of a folder.
    """
    for image in labels.images:
        target = folder / WRITERS["folder"].place(image)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[image.name], target)
