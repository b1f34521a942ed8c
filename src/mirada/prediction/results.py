"""The files that tell what was found: `predictions.json`, labels, the ranking, and what could not be looked at."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mirada.prediction import writing
from mirada.prediction.findings import Finding
from mirada.prediction.sources import name_outputs


@dataclass(frozen=True)
class Failure:
    """What could not be looked at: its name, why, and what to do."""

    file: str
    reason: str
    advice: str


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its place when it is whole, and not otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def write_predictions(folder: Path, findings: Sequence[Finding], labels: Sequence[str], about: str) -> Path:
    """Write `predictions.json`, a COCO data set, and say where it is."""
    path = folder / "predictions.json"
    with whole_file(path) as file:
        json.dump(writing.coco(findings, labels, about), file, ensure_ascii=False)
        file.write("\n")
    return path


def write_failures(folder: Path, failures: Sequence[Failure]) -> Path:
    """Write `failed.csv`, or remove that of an earlier run where nothing failed; say where it is."""
    path = folder / "failed.csv"
    if not failures:
        path.unlink(missing_ok=True)
        return path
    with whole_file(path) as file:
        rows = [("file", "reason", "advice"), *((failure.file, failure.reason, failure.advice) for failure in failures)]
        csv.writer(file).writerows(rows)
    return path


def write_ranking(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write `ranked.csv`, the least certain photograph first, and say where it is."""
    path = folder / "ranked.csv"
    ranked = sorted(findings, key=lambda finding: (-(finding.uncertainty or 0.0), finding.file))
    with whole_file(path) as file:
        rows = csv.writer(file)
        rows.writerow(("rank", "file", "uncertainty", "objects"))
        for rank, finding in enumerate(ranked, start=1):
            rows.writerow((rank, finding.file, f"{finding.uncertainty or 0.0:.4f}", len(finding.labels)))
    return path


def write_labels(
    folder: Path, formats: Sequence[str], findings: Sequence[Finding], labels: Sequence[str], model: str
) -> None:
    """Write labels, a folder a format, whose files lie as the photographs do: copied over them they are beside them.

    Args:
        folder: receives `voc/`, `yolo/`, `csv/`, `jsonl/`, `label_studio/`.
        formats: which of them.
        findings: of all photographs.
        labels: class names of the model.
        model: what looked, for people.
    """
    stems = list(name_outputs(finding.file for finding in findings))
    for finding, stem in zip(findings, stems, strict=True):
        if "voc" in formats:
            with whole_file(folder / "voc" / f"{stem}.xml") as file:
                file.write(writing.voc_xml(finding))
        if "yolo" in formats:
            with whole_file(folder / "yolo" / f"{stem}.txt") as file:
                file.write(writing.yolo_rows(finding, labels))
    if "yolo" in formats:
        with whole_file(folder / "yolo" / "data.yaml") as file:
            file.write(writing.yolo_yaml(labels))
    if "csv" in formats:
        with whole_file(folder / "csv" / "annotations.csv") as file:
            rows = csv.writer(file)
            rows.writerow(writing.COLUMNS)
            rows.writerows(row for finding in findings for row in writing.csv_rows(finding))
    if "jsonl" in formats:
        with whole_file(folder / "jsonl" / "annotations.jsonl") as file:
            file.writelines(map(writing.json_line, findings))
    if "label_studio" in formats:
        _write_label_studio(folder / "label_studio", findings, labels, model)


def _write_label_studio(folder: Path, findings: Sequence[Finding], labels: Sequence[str], model: str) -> None:
    with whole_file(folder / "tasks.json") as file:
        json.dump([writing.label_studio_task(finding, model) for finding in findings], file, ensure_ascii=False)
    boxes = not findings or findings[0].boxes is not None
    with whole_file(folder / "view.xml") as file:
        file.write(writing.label_studio_view(labels, boxes))


def write_class_folders(folder: Path, findings: Sequence[Finding], paths: Mapping[str, Path]) -> None:
    """Copy each photograph of a classification into `folder/<class>/`.

    They are copies, not links, so that an edit or a tool's protection does not reach the originals.

    Args:
        folder: receives a folder a class.
        findings: of all photographs.
        paths: file -> where the photograph lies.
    """
    for finding in findings:
        target = folder / finding.labels[0] / finding.file.replace("/", "_")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[finding.file], target)
