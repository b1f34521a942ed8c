"""What a search knows, a line a candidate in a file that outlives it, so that a killed search goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mirada.boards.judging import CANNOT_TELL
from mirada.fitting.judging import Taken
from mirada.fitting.space import Candidate, Space

SPARED = "spared"  # larger than one that does not fit: never built
FAILED = "failed"  # its training broke off


@dataclass
class Entry:
    """A candidate and what is known of it.

    Attributes:
        answer: of `boards.judging`, SPARED, or FAILED.
        taken: None of one that was spared.
        why: that it does not fit, for people; or what its training broke off with.
        values: epochs of a short training -> the validation figure that it came to.
        epoch_seconds: of a training's epoch; 0: not known.
        run_id: of the last training in MLflow.
    """

    candidate: Candidate
    answer: str
    taken: Taken | None = None
    why: str = ""
    values: dict[int, float] = field(default_factory=dict)
    epoch_seconds: float = 0.0
    run_id: str | None = None

    @property
    def epochs(self) -> int:
        """Of its longest short training; 0 where there was none."""
        return max(self.values, default=0)

    @property
    def value(self) -> float | None:
        """What that one came to."""
        return self.values[self.epochs] if self.values else None


class Book:
    """All entries of a search, in the order in which they were first met; each change is a line more of the file.

    Attributes:
        seconds: that the search has worked, over all its processes.
        chosen: key of the candidate that is trained fully, and for how many epochs; None before.
    """

    def __init__(self, path: Path, space: Space) -> None:
        """Read what is there; a line that was cut off by a kill is passed over, as is what a board's tool did not tell."""
        self._path, self._space = path, space
        self._entries: dict[str, Entry] = {}
        self.seconds = 0.0
        self.chosen: tuple[str, int] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for line in text.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        self._entries = {key: entry for key, entry in self._entries.items() if not _untold(entry)}
        if text and not text.endswith("\n"):
            self._append("\n")

    def __iter__(self) -> Iterator[Entry]:
        """The entries."""
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def find(self, candidate: Candidate) -> Entry | None:
        """What is known of a candidate."""
        return self._entries.get(candidate.key)

    def entry(self, key: str) -> Entry:
        """The entry of a key."""
        return self._entries[key]

    def write(self, entry: Entry, seconds: float) -> None:
        """Keep an entry, new or changed, and how long the search has worked."""
        self._entries[entry.candidate.key] = entry
        self.seconds = seconds
        self._write({"entry": _to_json(entry), "seconds": round(seconds, 1)})

    def choose(self, candidate: Candidate, epochs: int, seconds: float) -> None:
        """Keep which candidate is trained fully."""
        self.chosen, self.seconds = (candidate.key, epochs), seconds
        self._write({"chosen": self.chosen, "seconds": round(seconds, 1)})

    def reopen(self) -> None:
        """Nothing is chosen any more: there is time for more candidates."""
        self.chosen = None
        self._write({"chosen": None, "seconds": round(self.seconds, 1)})

    def work(self, seconds: float) -> None:
        """Keep how long the search has worked."""
        self.seconds = seconds
        self._write({"seconds": round(seconds, 1)})

    def _take(self, line: dict[str, Any]) -> None:
        if (content := line.get("entry")) is not None:
            entry = _from_json(content, self._space)
            self._entries[entry.candidate.key] = entry
        if "chosen" in line:
            self.chosen = (str(line["chosen"][0]), int(line["chosen"][1])) if line["chosen"] else None
        self.seconds = float(line["seconds"])

    def _write(self, content: dict[str, Any]) -> None:
        self._append(json.dumps(content) + "\n")

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _untold(entry: Entry) -> bool:
    """Whether its arena, and so all, may be told when it is asked again."""
    return entry.answer == CANNOT_TELL and entry.taken is not None and entry.taken.arena_bytes is None


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        **asdict(entry),
        "candidate": {"model": entry.candidate.model, "values": dict(entry.candidate.values)},
        "values": {str(epochs): value for epochs, value in entry.values.items()},
    }


def _from_json(content: dict[str, Any], space: Space) -> Entry:
    candidate = space.read(content["candidate"]["model"], content["candidate"]["values"])
    taken = Taken(**content["taken"]) if content["taken"] else None
    values = {int(epochs): float(value) for epochs, value in content["values"].items()}
    return Entry(**(content | {"candidate": candidate, "taken": taken, "values": values}))
