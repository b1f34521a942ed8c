"""What came of a sweep: a table in the terminal, `sweep.csv`, `sweep.png` and the page `index.html` in its folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mirada.pages import data_url, render
from mirada.sweeps.plot import plot_sweep
from mirada.sweeps.table import (
    VIEWS,
    JobRecord,
    View,
    csv_of,
    label_of,
    notes_of,
    swept_columns,
    table_of,
)

TEMPLATE = Path(__file__).with_name("sweep.html.j2")
_BAR = 14  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def report(jobs: Sequence[JobRecord], stage: str, folder: Path) -> list[Path]:
    """Print the table of a sweep and write its files.

    Args:
        jobs: at least one, in their order.
        stage: 'train' or 'preprocess'.
        folder: of the sweep.

    Returns:
        The files.
    """
    view = VIEWS[stage]
    head, rows = csv_of(jobs, view)
    files = [folder / "sweep.csv"]
    with files[0].open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    if any(not job.failed for job in jobs):
        files.append(folder / "sweep.png")
        files[1].write_bytes(plot_sweep(jobs, view))
    page = folder / "index.html"
    page.write_text(_render(jobs, stage, view), encoding="utf-8")
    _show(jobs, view, f"{stage}: {len(jobs)} jobs")
    print(f"{files[0]}, page: {page}", flush=True)
    return [*files, page]


def bar(value: float, highest: float) -> str:
    """A bar of eighths of characters, `_BAR` of them for the highest value.

    >>> bar(3, 4)
    '██████████▌'
    """
    whole, rest = divmod(round(8 * _BAR * value / highest) if highest > 0 else 0, 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def _show(jobs: Sequence[JobRecord], view: View, title: str) -> None:
    """Print the table: bars beside the speed and the time, why a job failed below it."""
    head, rows = table_of(jobs, view)
    bars = {view.speed.heading: view.speed.key, view.time.heading: view.time.key}
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in head:
        table.add_column(name, justify="right", no_wrap=True)
        if name in bars:
            table.add_column("", justify="left", no_wrap=True, style="cyan")
    for job, cells in zip(jobs, rows, strict=True):
        texts = []
        for name, cell in zip(head, cells, strict=True):
            texts.append(cell.replace("[", r"\["))
            if key := bars.get(name):
                highest = max((other.figures.get(key, 0.0) for other in jobs), default=0.0)
                texts.append(bar(job.figures.get(key, 0.0), highest))
        table.add_row(*texts, style="dim" if job.failed else "")
    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(width=max(console.width, needed)).print(table)
    for line in notes_of(jobs, view):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _render(jobs: Sequence[JobRecord], stage: str, view: View) -> str:
    plots = None
    if any(not job.failed for job in jobs):
        plots = {"light": data_url(plot_sweep(jobs, view)), "dark": data_url(plot_sweep(jobs, view, dark=True))}
    head, rows = table_of(jobs, view)
    return render(
        TEMPLATE,
        stage=stage,
        head=head,
        rows=[(cells, job.failed) for cells, job in zip(rows, jobs, strict=True)],
        plots=plots,
        notes=notes_of(jobs, view),
        folders=[(job.number, label_of(job, swept_columns(jobs)), job.output_dir) for job in jobs],
    )
