"""Write the report: tables, plots, pictures and the page, whole or not at all."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirada.evaluation.page import Report, draw_plots, render_page
from mirada.evaluation.pareto import points_of, tradeoff_table, variant_to_show
from mirada.evaluation.pictures import side_by_side
from mirada.evaluation.records.published import compare_published
from mirada.inference.variants import REFERENCE

# The order in which results appear: who finds metrics.json finds all the others.
OUTPUTS = (
    "plots", "images", "variants.csv", "published.csv", "index.html", "weaknesses.json", "summary.json", "metrics.json",
)  # fmt: skip
_COMPARED = (REFERENCE, "int8", "best")


def write_report(output_dir: Path, report: Report) -> None:
    """Write all files aside, then put them in place; `metrics.json` goes first and comes last."""
    part = output_dir / ".part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "plots").mkdir(parents=True)
    (part / "images").mkdir()
    try:
        _write_tables(part, report)
        plots = {side: draw_plots(report, dark=side == "dark") for side in ("light", "dark")}
        (part / "plots" / f"{report.task.curves(report.results).name}.png").write_bytes(plots["light"]["curves"])
        for name in plots["light"].keys() - {"curves"}:
            (part / "plots" / f"{name}.png").write_bytes(plots["light"][name])
        for group, pictures in report.pictures.items():
            for number, picture in enumerate(pictures, start=1):
                side_by_side(picture.panels).save(part / "images" / f"{group}-{number}.jpg", quality=88)
        for number, picture in enumerate(report.weaknesses.saliency, start=1):
            side_by_side(picture.panels).save(part / "images" / f"saliency-{number}.jpg", quality=88)
        for number, picture in enumerate(report.runtimes.pictures if report.runtimes else [], start=1):
            side_by_side(picture.panels).save(part / "images" / f"runtimes-{number}.jpg", quality=88)
        weaknesses = json.dumps(report.weaknesses.figures(), indent=2, ensure_ascii=False)
        (part / "weaknesses.json").write_text(weaknesses + "\n", encoding="utf-8")
        (part / "index.html").write_text(render_page(report, plots), encoding="utf-8")
        (part / "summary.json").write_text(json.dumps(_summary(report), indent=2) + "\n")
        (part / "metrics.json").write_text(json.dumps(report.figures, indent=2) + "\n")
        for name in reversed(OUTPUTS):
            old = output_dir / name
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        for name in OUTPUTS:
            if (part / name).exists():
                (part / name).rename(output_dir / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _summary(report: Report) -> dict[str, dict[str, float]]:
    """What DVC puts side by side of its experiments: of all the figures those that people compare first."""
    keys = (report.task.main_metric, "drop", "size_bytes", "latency_ms_p50")
    return {
        name: {key: row[key] for key in keys if key in row and (key != "drop" or name != REFERENCE)}
        for name, row in report.figures.items()
        if name in _COMPARED
    }


def _write_tables(folder: Path, report: Report) -> None:
    """`variants.csv`, `published.csv` where there is something to compare with, and the data of the DVC plots."""
    names, task = list(report.figures), report.task
    columns = list(dict.fromkeys(key for name in names for key in report.figures[name]))  # not all have a board's
    rows = ([name, *(report.figures[name].get(key, "") for key in columns)] for name in names)
    _write_csv(folder / "variants.csv", ["variant", *columns], rows)
    if report.published:
        keys, compared = compare_published(report.published, report.figures, report.training, task.main_metric)
        head = ["what", *keys, "source"]
        _write_csv(folder / "published.csv", head, ([row.get(key, "") for key in head] for row in compared))
    _write_csv(
        folder / "plots" / "tradeoff.csv",
        *tradeoff_table(points_of(report.figures, task.main_metric), task.main_metric),
    )
    curves = task.curves(report.results)
    lines = zip(curves.x, np.transpose(list(curves.lines.values())), strict=True)
    _write_csv(
        folder / "plots" / f"{curves.name}.csv",
        [curves.x_label, *names],
        ([f"{x:.2f}", *(f"{y:.6f}" for y in row)] for x, row in lines),
    )
    if curves.classes:
        _write_csv(folder / "plots" / f"{curves.name}_classes.csv", curves.classes.head, curves.classes.rows)
    shown = variant_to_show(report.figures, task.main_metric) or REFERENCE
    labels = task.confusion_labels(report.labels)
    cells = (  # DVC's confusion template counts rows
        [labels[actual], labels[predicted]]
        for (actual, predicted), count in np.ndenumerate(report.results[shown].confusion)
        for _ in range(count)
    )
    _write_csv(folder / "plots" / "confusion.csv", ["actual", "predicted"], cells)


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
