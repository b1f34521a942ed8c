"""The memory of the candidates on the front, a picture each beside the front's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mirada.boards.limits import Limits
from mirada.boards.memory_plot import plot_memory
from mirada.files import write_whole
from mirada.fitting.book import Entry
from mirada.fitting.judging import Bench
from mirada.fitting.report import cost_axis, front_entries

FOLDER = "memory"


def write_front_memory(folder: Path, entries: Sequence[Entry], bench: Bench, limits: Limits) -> list[Path]:
    """`memory/` with a picture of each candidate on the front, from what was kept when it was judged; gives the files.

    Args:
        folder: of the search. entries: of the search. bench: that judged them. limits: of the board.
    """
    files = []
    for entry in front_entries(entries, cost_axis(limits, bench.board.vela is not None)):
        memory = bench.memory(entry.candidate)
        if memory is None or entry.taken is None:
            continue
        arena = entry.taken.arena_bytes if bench.board.runtime == "tflm" else None
        path = folder / FOLDER / f"{re.sub('[^a-z0-9._]+', '-', entry.candidate.title.lower())}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        write_whole(path, plot_memory(memory, limit_bytes=limits.arena_bytes, arena_bytes=arena))
        files.append(path)
    return files
