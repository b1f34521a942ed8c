"""What a comparison writes and prints."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mirada.comparison.groups import Group, group_runs, separation
from mirada.comparison.page import csv_of, plots_of, render_comparison, table_of
from mirada.comparison.selection import choice_text, connect, find_run, record_of, select_runs
from mirada.config import CompareConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient


def compare_runs(config: CompareConfig) -> Path:
    """Compare runs, write what came of it to `config.output_dir`, and print it.

    Returns:
        The page, `index.html`.

    Raises:
        MiradaError: there is no such store, experiment or run, or a variant or metric that no run has.
    """
    client, uri = connect(config)
    parent = None if config.parent is None else find_run(client, config, config.parent)
    records = [record_of(found) for found in select_runs(client, config, parent)]
    groups = group_runs(records, config.metric, config.variants)
    output_dir = Path(config.output_dir)
    about = [("Runs from", uri), ("Experiment", config.experiment), ("Chosen by", choice_text(config))]
    write(output_dir, groups, about)
    show(groups)
    if parent is not None and config.record:
        log_comparison(client, parent.info.run_id, output_dir)
    print(f"page: {output_dir / 'index.html'}")
    return output_dir / "index.html"


def log_comparison(client: MlflowClient, run_id: str, output_dir: Path) -> None:
    """Give a run the page, the table and the plots of a comparison as artifacts."""
    for name in ("index.html", "compare.csv"):
        client.log_artifact(run_id, str(output_dir / name), "compare")
    client.log_artifacts(run_id, str(output_dir / "plots"), "compare/plots")


def write(output_dir: Path, groups: Sequence[Group], about: Sequence[tuple[str, str]]) -> None:
    """Write `compare.csv`, `plots/*.png` and `index.html`; of several groups each has a folder of plots."""
    (output_dir / "plots").mkdir(parents=True, exist_ok=True)
    head, rows = csv_of(groups)
    with (output_dir / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    for number, group in enumerate(groups, start=1):
        folder = output_dir / "plots" / (f"{number}-{group.dataset}-{group.task}" if len(groups) > 1 else "")
        folder.mkdir(exist_ok=True)
        for name, content in plots_of(group).items():
            (folder / f"{name}.png").write_bytes(content)
    (output_dir / "index.html").write_text(render_comparison(groups, about), encoding="utf-8")


def show(groups: Sequence[Group]) -> None:
    """Print each group's table."""
    console = Console()
    if sentence := separation(groups):
        console.print(sentence, markup=False, highlight=False)
    for group in groups:
        table = group_table(group)
        # Cut figures would be worth nothing: in a narrow terminal the drop loses its interval, then lines wrap.
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum > console.width:
            table = group_table(group, intervals=False)
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        Console(width=max(console.width, needed)).print(table)
        for run_ in group.runs:
            if run_.reason:
                console.print(f"{run_.id[:8]}: {run_.reason}", markup=False, highlight=False)
        for note in group.notes:
            console.print(f"note: {note}", markup=False, highlight=False)


def group_table(group: Group, *, intervals: bool = True) -> Table:
    """A group's runs as a table for the terminal; without `intervals` the drop alone."""
    head, rows = table_of(group, intervals=intervals)
    table = Table(title=group.title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in head:
        left = name in ("run", "name", "variant", "Pareto")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    last = ""
    for row, cells in zip(group.rows, rows, strict=True):
        texts = ["", *repeated_cells(head, cells, group)] if cells[0] == last else cells
        last = cells[0]
        style = "bold" if row.on_front else "dim" if row.run.reason else ""
        table.add_row(*(text.replace("[", r"\[") for text in texts), style=style)
    return table


def repeated_cells(head: Sequence[str], cells: Sequence[str], group: Group) -> list[str]:
    """A run's further lines without what its first one said."""
    said = {"name", "train min", *(head[1 : 1 + len(group.columns)] if "name" not in head else ())}
    return ["" if name in said else cell for name, cell in zip(head[1:], cells[1:], strict=True)]
