"""What came of a search: sentences, the files in its folder, and the line of a table over several boards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mirada.boards.carried import Carried, measure
from mirada.boards.judging import WORDS, Verdict
from mirada.boards.limits import Limits
from mirada.boards.memory_plot import describe_memory, plot_memory
from mirada.boards.table import read_boards, smallest_board
from mirada.config import DeviceConfig
from mirada.files import write_whole
from mirada.fitting.book import Entry
from mirada.fitting.judging import Bench
from mirada.fitting.report import Final, cost_axis, csv_of, plot_candidates, table_of
from mirada.tables import Table, ms_text

_TFLM = "esp32s3"  # any board of TensorFlow Lite Micro: its arena is the same on all
ROWS = "boards.json"  # of a sweep over boards, in its folder


@dataclass(frozen=True)
class Row:
    """A board's line of the table: numbers as text, a dash for none."""

    board: str
    candidate: str
    accuracy: str
    drop: str
    arena: str
    flash: str
    ms: str
    next_better: str


def write_candidates(
    folder: Path,
    entries: Sequence[Entry],
    limits: Limits,
    board: DeviceConfig,
    chosen: str,
    metric: str,
    final: Final | None = None,
) -> list[Path]:
    """`fit.csv` with all candidates and `pareto.png`, and the table of the best on the terminal; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    axis = cost_axis(limits, board.vela is not None)
    write_whole(folder / "fit.csv", csv_of(entries, chosen))
    write_whole(folder / "pareto.png", plot_candidates(entries, limits, chosen, metric, axis=axis, final=final))
    table_of(entries, chosen, metric).show(f"candidates for {board.title}")
    return [folder / "fit.csv", folder / "pareto.png"]


def write_memory(folder: Path, carried: Carried, limits: Limits, tflm: bool) -> tuple[Path, list[str]]:
    """`memory.png` of the file that was exported, and the same in words.

    Args:
        folder: of the search. carried: what the file takes. limits: of the board. tflm: whether the arena is TFLM's.
    """
    arena = carried.arena_bytes if tflm else None
    picture = plot_memory(carried.memory, limit_bytes=limits.arena_bytes, arena_bytes=arena)
    write_whole(folder / "memory.png", picture)
    return folder / "memory.png", describe_memory(carried.network, carried.memory, arena, carried.fixed_bytes)


def say_chosen(
    chosen: Entry,
    figures: Mapping[str, Mapping[str, float]],
    carried: Carried,
    verdict: Verdict,
    board: DeviceConfig,
    metric: tuple[str, str],
) -> list[str]:
    """What the chosen one is, and whether it is what was judged before any training.

    Args:
        metric: key and name of the main figure.
    """
    key, name = metric
    best, full = figures["best"], figures["float32"]
    lines = [
        f"{board.title} carries {chosen.candidate.title}: {name} {best[key]:.3f} in int8 on test, "
        f"{full[key]:.3f} in float32",
        verdict.sentence(board.title),
    ]
    before = chosen.taken.arena_bytes if chosen.taken else None
    if before is not None and carried.arena_bytes is not None:
        same = (
            "to the byte as judged before training" if before == carried.arena_bytes else f"judged as {before:,} before"
        )
        lines.append(f"its arena: {carried.arena_bytes:,} bytes, {same}")
    return lines


def say_next(entry: Entry | None, limits: Limits) -> str:
    """The next larger candidate, and what it would need."""
    if entry is None or entry.taken is None:
        return "all that are one step larger fit, too: more minutes may find better, or a wider space"
    return f"the next larger one is {entry.candidate.title}; it would need {_needs(entry)}, and has {_has(limits)}"


def _needs(entry: Entry) -> str:
    assert entry.taken is not None
    parts = [
        f"{ms_text(value) if name == 'milliseconds' else f'{value:,.0f}'} {WORDS[name]}"
        for name, value in entry.taken.figures().items()
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _has(limits: Limits) -> str:
    words = {"arena_bytes": "of arena", "flash_bytes": "of flash", "milliseconds": "ms"}
    found = [(getattr(limits, name), word) for name, word in words.items()]
    return ", ".join(f"{value:,g} {word}" if word == "ms" else f"{value:,} {word}" for value, word in found if value)


def say_nothing_fits(nearest: Entry, bench: Bench) -> str:
    """One sentence: the nearest miss, and the smallest board that would carry it."""
    arena, flash = None, 0
    if nearest.taken is not None:
        arena, flash = nearest.taken.arena_bytes, nearest.taken.flash_bytes
    boards = read_boards()
    if bench.board.runtime != "tflm":
        tflm = measure(bench.build(nearest.candidate), boards[_TFLM])
        arena, flash = tflm.arena_bytes, tflm.flash_bytes
    found = smallest_board(arena, flash, boards) if arena is not None else None
    carrier = (
        f"the smallest board that would carry it is {found.title}" if found else "no board of the table carries it"
    )
    return (
        f"Nothing of this space fits {bench.board.title}: nearest is {nearest.candidate.title}, {nearest.why}; {carrier}: "
        "add smaller values to space, or take that board."
    )


def row_of(
    board: DeviceConfig,
    chosen: Entry | None,
    accuracy: float | None,
    drop: float | None,
    carried: Carried | None,
    note: str,
) -> Row:
    """A board's line; without a chosen one the note says why."""

    def text(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    return Row(
        board.name,
        chosen.candidate.title if chosen else "nothing fits",
        text(accuracy, 3),
        text(drop, 3),
        text(carried.arena_bytes if carried else None, 0),
        text(carried.flash_bytes if carried else None, 0),
        ms_text(carried.milliseconds if carried else None),
        note,
    )


def add_row(folder: Path, row: Row, metric: str) -> None:
    """Keep a board's line in the folder of a sweep, and print the table of all that are there."""
    path = folder / ROWS
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    rows = [*(old for old in rows if old["board"] != row.board), asdict(row)]
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(rows, indent=2) + "\n")
    if len(rows) > 1:
        head = ["board", "chosen", f"{metric}, test", "drop", "arena bytes", "flash bytes", "ms"]
        Table(head, [list(one.values())[: len(head)] for one in rows]).show("boards")
        print(*(f"{one['board']}: {one['next_better']}" for one in rows), sep="\n", flush=True)
