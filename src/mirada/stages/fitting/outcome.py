"""What came of a search: sentences, the files in its folder, and the line of a table over several boards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from mirada.boards.carried import Carried, Takes, measure
from mirada.boards.judging import FITS, TOO_MUCH, WORDS, Verdict, hold
from mirada.boards.limits import Limits, known_limits
from mirada.boards.memory_plot import describe_memory, plot_memory
from mirada.boards.table import read_boards, smallest_board
from mirada.cli import explain
from mirada.config import DeviceConfig
from mirada.errors import MiradaError
from mirada.files import write_whole
from mirada.fitting.book import Entry
from mirada.fitting.judging import Bench
from mirada.fitting.report import Final, cost_axis, csv_of, plot_candidates, table_of
from mirada.fitting.search import Larger, NothingFits
from mirada.stages.fitting.workshop import Finished
from mirada.tables import Table, ms_text

_TFLM = "esp32s3"  # any board of TensorFlow Lite Micro: its arena is the same on all
ROWS = "boards.json"  # of a sweep, over boards or anything else, in its folder


@dataclass(frozen=True)
class Row:
    """A job's line of the table: numbers as text, a dash for none; `overrides` as they were typed tell it from others."""

    board: str
    candidate: str
    accuracy: str
    drop: str
    arena: str
    flash: str
    ms: str
    next_better: str
    overrides: str = ""


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
    done: Finished,
    carried: Carried,
    verdict: Verdict,
    board: DeviceConfig,
    metric: tuple[str, str],
) -> list[str]:
    """What the chosen one is, whether it keeps within budget and limits, and whether that was known before training.

    Args:
        chosen: its entry. done: what came of its stages. carried, verdict: of the file that was exported.
        board: the target. metric: key and name of the main figure.
    """
    key, name = metric
    best, full = done.figures["best"], done.figures["float32"]
    lines = [
        f"{board.title} carries {chosen.candidate.title}: {name} {best[key]:.3f} in int8 on test, "
        f"{full[key]:.3f} in float32",
        done.ladder["sentence"],
        verdict.sentence(board.title),
    ]
    before = chosen.taken.arena_bytes if chosen.taken else None
    if before is not None and carried.arena_bytes is not None:
        same = (
            "to the byte as judged before training" if before == carried.arena_bytes else f"judged as {before:,} before"
        )
        lines.append(f"its arena: {carried.arena_bytes:,} bytes, {same}")
    if chosen.taken is not None:
        lines.append(f"its flash: {carried.flash_bytes:,} bytes, judged as {chosen.taken.flash_bytes:,} before")
    return lines


def budget_of(ladder: Mapping[str, Any]) -> dict[str, Any]:
    """What became of the budget of accuracy on val, for `fit.json`: answer, sentence, and the drop with its interval."""
    best = next(rung for rung in ladder["rungs"] if rung["rung"] == ladder["best"])
    shown = {key: best[key] for key in ("rung", "drop", "drop_low", "drop_high")}
    return {key: ladder[key] for key in ("max_drop", "answer", "sentence")} | shown


def require_limits(verdict: Verdict, board: DeviceConfig, bundle: Path) -> None:
    """Refuse, once all is written, a bundle whose model is beyond the limits.

    Raises:
        MiradaError: it is.
    """
    if verdict.answer == TOO_MUCH:
        raise MiradaError(
            f"{bundle / 'model.tflite'} was exported, and {verdict.sentence(board.title)} Search again with "
            "smaller values in space, or with a higher limit."
        )


def say_next(larger: Larger, limits: Limits) -> str:
    """The next larger candidate, and what it would need; or that there is none, and why."""
    entry = larger.nearest
    if entry is None or entry.taken is None:
        return _say_no_limit(larger)
    return f"the next larger one is {entry.candidate.title}; it would need {_needs(entry)}, and has {_has(limits)}"


def _say_no_limit(larger: Larger) -> str:
    """Of larger ones none is known not to fit."""
    if not larger.fitting + larger.untold + larger.broken:
        return "the space holds none that is one step larger: a wider space may find better"
    if not larger.untold + larger.broken:
        return "all that are one step larger fit, too: more minutes may find better, or a wider space"
    parts = [f"{larger.fitting} fit"] if larger.fitting else []
    parts += [f"of {larger.broken} the training broke off"] if larger.broken else []
    parts += [f"of {larger.untold} can't be told whether they fit"] if larger.untold else []
    return f"of those one step larger {', '.join(parts)}: more minutes may find better, or a wider space"


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


def say_nothing_fits(error: NothingFits, bench: Bench, limits: Limits) -> str:
    """One sentence: the nearest miss, and the smallest board that would carry it, of NPUs the slowest in time."""
    nearest, boards = error.nearest, read_boards()
    slow = (
        limits.milliseconds is not None and ((nearest.taken and nearest.taken.milliseconds) or 0) > limits.milliseconds
    )
    carrier = _fast_enough(nearest, bench, limits, boards) if slow else _large_enough(nearest, bench, limits, boards)
    if carrier:
        rest = f"{carrier}: add smaller values to space, or take that board."
    elif slow:
        rest = (
            "no other NPU of conf/device is known to be fast enough, and no other board's time is known: add smaller "
            "values to space."
        )
    else:
        rest = "no board of conf/device is known to carry it: add smaller values to space."
    return f"{error.what} fits {bench.board.title}: nearest is {nearest.candidate.title}, {nearest.why}; {rest}"


def _large_enough(nearest: Entry, bench: Bench, limits: Limits, boards: Mapping[str, DeviceConfig]) -> str:
    """The smallest microcontroller by TensorFlow Lite Micro's arena; empty where there is none."""
    taken: Takes | None = nearest.taken
    if bench.board.runtime != "tflm":
        taken = measure(bench.build(nearest.candidate), boards[_TFLM])
    if taken is None or taken.arena_bytes is None:
        return ""
    found = smallest_board(taken.arena_bytes, taken.flash_bytes, dict(boards))
    untimed = ", whose time is not known" if limits.milliseconds is not None else ""
    return f"the smallest board that would carry it is {found.title}{untimed}" if found else ""


def _fast_enough(nearest: Entry, bench: Bench, limits: Limits, boards: Mapping[str, DeviceConfig]) -> str:
    """The slowest other NPU that keeps within the time by Vela's estimate; empty where none does."""
    content, found = bench.build(nearest.candidate), list[tuple[float, str]]()
    for board in boards.values():
        if board.vela is None or board.name == bench.board.name:
            continue
        taken = measure(content, board)
        own = replace(known_limits(board), milliseconds=limits.milliseconds)
        if taken.milliseconds is not None and hold(taken, own).answer == FITS:
            found.append((taken.milliseconds, board.title))
    if not found:
        return ""
    time, title = max(found)
    return f"the slowest NPU that would be fast enough is {title}, {ms_text(time)} ms by Vela's estimate"


def row_of(
    board: DeviceConfig,
    chosen: Entry | None,
    accuracy: float | None,
    drop: float | None,
    carried: Carried | None,
    note: str,
    overrides: str = "",
) -> Row:
    """A job's line; without a chosen one the note says why."""

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
        overrides,
    )


def note_failure(folder: Path, board: str, overrides: str, error: BaseException) -> None:
    """Keep the line of a job that has ended with a mistake.

    Args:
        folder: of the sweep. board: its name. overrides: of the job. error: what ended it.
    """
    chosen = "nothing fits" if isinstance(error.__cause__, NothingFits) else "failed"
    add_row(folder, Row(board, chosen, "–", "–", "–", "–", "–", explain(error), overrides))


def add_row(folder: Path, row: Row, metric: str = "") -> None:
    """Keep a job's line in the folder of a sweep, and print the table of all that are there.

    Args:
        folder: of the sweep. row: of the job; one of the same board and overrides goes.
        metric: name of the main figure; empty: not known.
    """
    path = folder / ROWS
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{ROWS}.lock"):  # jobs may run side by side
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        own = (row.board, row.overrides)
        rows = [*(old for old in rows if (old["board"], old["overrides"]) != own), asdict(row) | {"metric": metric}]
        write_whole(path, json.dumps(rows, indent=2) + "\n")
    if len(rows) > 1:
        _show(rows)


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    metrics = {one["metric"] for one in rows} - {""}
    accuracy = f"{metrics.pop() if len(metrics) == 1 else 'accuracy'}, test"
    figures = ["candidate", "accuracy", "drop", "arena", "flash", "ms"]
    head = ["board", "settings", "chosen", accuracy, "drop", "arena bytes", "flash bytes", "ms"]
    own = _differing([one["overrides"] for one in rows])
    lines = [[one["board"], text, *(one[key] for key in figures)] for one, text in zip(rows, own, strict=True)]
    if not any(own):
        head, lines = [head[0], *head[2:]], [[line[0], *line[2:]] for line in lines]
    Table(head, lines).show("boards")
    names = [f"{one['board']} {text}".rstrip() for one, text in zip(rows, own, strict=True)]
    print(*(f"{name}: {one['next_better']}" for name, one in zip(names, rows, strict=True)), sep="\n", flush=True)


def _differing(overrides: Sequence[str]) -> list[str]:
    """Of each job the settings that not all of them have, save the board."""
    words = [one.split() for one in overrides]
    shared = set.intersection(*map(set, words))
    return [" ".join(word for word in own if word not in shared and not word.startswith("device=")) for own in words]
