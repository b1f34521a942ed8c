"""Compare: any set of MLflow runs in, a table, a CSV, plots and one page out."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mirada import tracking
from mirada.comparison.groups import Group, RunRecord, group_runs, read_record, separation
from mirada.comparison.page import csv_of, plots_of, render_comparison, table_of
from mirada.config import CompareConfig, TrackingConfig
from mirada.errors import MiradaError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SWEEP = "sweep"  # tag of a run that is the parent of a sweep's jobs


def run(config: CompareConfig) -> Path:
    """Compare runs and write what came of it to `config.output_dir`.

    Returns:
        The page, `index.html`.

    Raises:
        MiradaError: there is no such store, experiment or run, or a variant or metric that no run has.
    """
    client, uri = _connect(config)
    parent = None if config.parent is None else _find(client, config, config.parent)
    records = [_record(found) for found in _select(client, config, parent)]
    groups = group_runs(records, config.metric, config.variants)
    output_dir = Path(config.output_dir)
    about = [("Runs from", uri), ("Experiment", config.experiment), ("Chosen by", _choice(config))]
    write(output_dir, groups, about)
    show(groups)
    if parent is not None and config.record:
        for path in (output_dir / name for name in ("index.html", "compare.csv")):
            client.log_artifact(parent.info.run_id, str(path), "compare")
        client.log_artifacts(parent.info.run_id, str(output_dir / "plots"), "compare/plots")
    print(f"page: {output_dir / 'index.html'}")
    return output_dir / "index.html"


def _connect(config: CompareConfig) -> tuple[MlflowClient, str]:
    uri = tracking.check(TrackingConfig(uri=config.uri, experiment=config.experiment))
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise MiradaError(f"{uri} is not there: train a model first, or name another store with uri=.")
    from mlflow import MlflowClient

    return MlflowClient(uri), uri


def _select(client: MlflowClient, config: CompareConfig, parent: Any) -> list[Any]:
    """The runs chosen, oldest first; the parents of sweeps are none."""
    if config.runs:
        found = [_find(client, config, run_id) for run_id in config.runs]
        for run_, asked in zip(found, config.runs, strict=True):
            if SWEEP in run_.data.tags:
                raise MiradaError(f"runs: {asked} is a sweep, no training: compare its jobs with parent={asked}.")
        return list({run_.info.run_id: run_ for run_ in found}.values())
    words = [config.filter] if config.filter else []
    if parent is not None:
        words.append(f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    found = [run_ for run_ in _search(client, config, " and ".join(words)) if SWEEP not in run_.data.tags]
    if not found:
        raise MiradaError(f"No run of experiment {config.experiment!r} is {_choice(config)}: see `make ui`.")
    return found


def _search(client: MlflowClient, config: CompareConfig, words: str) -> list[Any]:
    from mlflow.exceptions import MlflowException

    try:
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            names = ", ".join(found.name for found in client.search_experiments())
            raise MiradaError(f"experiment={config.experiment} is not in the store: choose one of {names}.")
        found: list[Any] = []
        token = None
        while token != "":
            page = client.search_runs([experiment.experiment_id], words, order_by=["start_time ASC"], page_token=token)
            found += page
            token = page.token or ""
        return found
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise MiradaError(f"MLflow refuses to search for {words or 'all runs'!r}: {reason}") from error


def _find(client: MlflowClient, config: CompareConfig, run_id: str) -> Any:
    """The run whose id is or begins so."""
    from mlflow.exceptions import MlflowException

    if re.fullmatch(r"[0-9a-f]{32}", run_id):
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            raise MiradaError(f"There is no run {run_id} in the store: see `make ui` for those that are.") from error
    found = [run_ for run_ in _search(client, config, "") if run_.info.run_id.startswith(run_id)]
    if len(found) != 1:
        raise MiradaError(
            f"{len(found)} runs of experiment {config.experiment} have an id that begins with {run_id!r}."
        )
    return found[0]


def _record(run_: Any) -> RunRecord:
    info, data = run_.info, run_.data
    return read_record(info.run_id, info.run_name or "", info.status, data.params, data.metrics, data.tags)


def _choice(config: CompareConfig) -> str:
    if config.runs:
        return f"runs={','.join(config.runs)}"
    words = [f"parent={config.parent}"] if config.parent else []
    words += [f"filter={config.filter}"] if config.filter else []
    return " and ".join(words) or "all of its runs"


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
        table = _table(group)
        # Cut figures would be worth nothing: in a narrow terminal the drop loses its interval, then lines wrap.
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum > console.width:
            table = _table(group, intervals=False)
        needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        Console(width=max(console.width, needed)).print(table)
        for run_ in group.runs:
            if run_.reason:
                console.print(f"{run_.id[:8]}: {run_.reason}", markup=False, highlight=False)
        for note in group.notes:
            console.print(f"note: {note}", markup=False, highlight=False)


def _table(group: Group, *, intervals: bool = True) -> Table:
    head, rows = table_of(group, intervals=intervals)
    table = Table(title=group.title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in head:
        left = name in ("run", "name", "variant", "Pareto")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    last = ""
    for row, cells in zip(group.rows, rows, strict=True):
        texts = ["", *_again(head, cells, group)] if cells[0] == last else cells
        last = cells[0]
        style = "bold" if row.on_front else "dim" if row.run.reason else ""
        table.add_row(*(text.replace("[", r"\[") for text in texts), style=style)
    return table


def _again(head: Sequence[str], cells: Sequence[str], group: Group) -> list[str]:
    """A run's further lines without what its first one said."""
    said = {"name", "train min", *(head[1 : 1 + len(group.columns)] if "name" not in head else ())}
    return ["" if name in said else cell for name, cell in zip(head[1:], cells[1:], strict=True)]
