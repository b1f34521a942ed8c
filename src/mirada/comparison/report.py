"""What a comparison writes and prints."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mirada.comparison.groups import Group, RunRecord, group_runs, separation
from mirada.comparison.page import csv_of, plots_of, render_comparison, table_of
from mirada.comparison.selection import choice_text, connect, fetch_artifact, find_run, record_of, select_runs
from mirada.comparison.summary import (
    Fetch,
    Summary,
    pooled_csv,
    pooled_table,
    repeats_csv,
    repeats_table,
    summarise,
    summary_figures,
)
from mirada.config import CompareConfig
from mirada.quantization.out_of_fold import OUTCOMES_FILE
from mirada.tables import Table as Cells

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REPEATS = ("repeats.csv", "pooled.csv")


def compare_runs(config: CompareConfig, record_in: str | None = None) -> Path:
    """Compare runs, write what came of it to `config.output_dir`, and print it.

    Args:
        config: which runs, and how.
        record_in: a run that gets it all too; None: with `parent` and `record` that one, else none.

    Returns:
        The page, `index.html`.

    Raises:
        MiradaError: there is no such store, experiment or run, or a variant or metric that no run has.
    """
    client, uri = connect(config)
    parent = None if config.parent is None else find_run(client, config, config.parent)
    records = [record_of(found) for found in select_runs(client, config, parent)]
    about = [("Runs from", uri), ("Experiment", config.experiment), ("Chosen by", choice_text(config))]
    with tempfile.TemporaryDirectory() as folder:

        def fetch(run: RunRecord) -> Path | None:
            (own := Path(folder) / run.id).mkdir(exist_ok=True)
            return fetch_artifact(client, run.id, f"quantize/{OUTCOMES_FILE}", str(own))

        summaries = compare_records(records, config, about, fetch)
    if record_in is None and parent is not None and config.record:
        record_in = parent.info.run_id
    if record_in is not None:
        log_comparison(client, record_in, Path(config.output_dir), summaries)
    return Path(config.output_dir) / "index.html"


def compare_records(
    records: Sequence[RunRecord], config: CompareConfig, about: Sequence[tuple[str, str]], fetch: Fetch
) -> list[Summary]:
    """Compare runs wherever they are known from, write what came of it to `config.output_dir`, and print it.

    Args:
        records: at least one.
        config: `metric`, `variants`, `repeats` and `output_dir` of it.
        about: names and sentences about where the runs come from.
        fetch: where a run's val outcomes lie.

    Raises:
        MiradaError: a variant or metric that no run has.
    """
    groups = group_runs(records, config.metric, config.variants)
    summaries = summarise(groups, config.repeats, fetch)
    output_dir = Path(config.output_dir)
    write(output_dir, groups, about, summaries)
    show(groups, summaries)
    print(f"page: {output_dir / 'index.html'}")
    return summaries


def log_comparison(client: MlflowClient, run_id: str, output_dir: Path, summaries: Sequence[Summary] = ()) -> None:
    """Give a run the page, the tables and the plots of a comparison as artifacts, and the means as figures."""
    for name in ("index.html", "compare.csv", *_REPEATS):
        if (output_dir / name).is_file():
            client.log_artifact(run_id, str(output_dir / name), "compare")
    client.log_artifacts(run_id, str(output_dir / "plots"), "compare/plots")
    for name, value in summary_figures(summaries).items():
        client.log_metric(run_id, name, value)


def write(
    output_dir: Path,
    groups: Sequence[Group],
    about: Sequence[tuple[str, str]],
    summaries: Sequence[Summary] = (),
) -> None:
    """Write `compare.csv`, `plots/*.png` and `index.html`, of repeats `repeats.csv`, of whole folds `pooled.csv`.

    Of several groups each has a folder of plots.
    """
    (output_dir / "plots").mkdir(parents=True, exist_ok=True)
    _write_csv(output_dir / "compare.csv", *csv_of(groups))
    for name, table in zip(_REPEATS, (repeats_csv(summaries), pooled_csv(summaries)), strict=True):
        (output_dir / name).unlink(missing_ok=True)
        if table.rows:
            _write_csv(output_dir / name, table.head, table.rows)
    for number, group in enumerate(groups, start=1):
        folder = output_dir / "plots" / (f"{number}-{group.dataset}-{group.task}" if len(groups) > 1 else "")
        folder.mkdir(exist_ok=True)
        for name, content in plots_of(group).items():
            (folder / f"{name}.png").write_bytes(content)
    (output_dir / "index.html").write_text(render_comparison(groups, about, summaries), encoding="utf-8")


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def show(groups: Sequence[Group], summaries: Sequence[Summary] = ()) -> None:
    """Print each group's table, then what its repeats come to."""
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
    for summary in summaries:
        _print_table(console, repeats_table(summary), "mean ± standard deviation")
        if summary.pooled:
            _print_table(
                console, pooled_table(summary), "all folds together, each image judged by models not trained on it"
            )
        for note in summary.notes:
            console.print(note, markup=False, highlight=False)


def _print_table(console: Console, content: Cells, title: str) -> None:
    """Print a table as wide as it is."""
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in content.head:
        table.add_column(name.replace("[", r"\["), justify="right", no_wrap=True)
    for row in content.rows:
        table.add_row(*(text.replace("[", r"\[") for text in row))
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(width=max(console.width, needed)).print(table)


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
