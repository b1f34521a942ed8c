"""What a run recorded while its store was away, kept on disk in order until it is sent.

One folder a run, `<root>/<run id>/`: `run.json` (which store), `journal.jsonl` (an entry a line), `files/` (artifacts as
they were), `sent.json` (how many entries have arrived) and, where the store refused some, `refused.jsonl`. An entry that
arrived just before a kill is sent again; the store takes it for the same one, because it carries its own time and step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from mirada.files import write_whole

Entry = dict[str, Any]
METRICS_AT_ONCE = 500  # entries of metrics in one request; a client that is cut off sends so many again at most
ATTEMPTS = 3  # an entry that fails so often while the store answers is refused


@dataclass
class Sent:
    """What came of sending a journal."""

    entries: int = 0
    refused: list[str] = field(default_factory=list)  # the store's reasons
    left: int = 0
    obstacle: str | None = None  # why the rest could not be sent


class Receiver(Protocol):
    """Where a journal is sent."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Take one entry, or several of metrics."""

    def is_absence(self, error: BaseException) -> bool:
        """Whether an error of `deliver` says that the store is away, rather than that it refuses."""

    def answers(self) -> bool:
        """Whether the store is there now."""


class Journal:
    """The journal of one run; one process appends, any process sends."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id, self.folder = run_id, root / run_id
        self._path, self._sent = self.folder / "journal.jsonl", self.folder / "sent.json"
        # Two locks, so that a training can go on appending while another process sends.
        self._writing = FileLock(root / f"{run_id}.lock")
        self._sending = FileLock(root / f"{run_id}.sending.lock", timeout=0)

    def waits(self) -> bool:
        """Whether something has not been sent."""
        return self._path.is_file()

    def uri(self) -> str:
        """The store that the run belongs to, without a password."""
        return str(json.loads((self.folder / "run.json").read_text(encoding="utf-8"))["uri"])

    def append(self, entry: Entry, uri: str) -> None:
        """Keep one entry; a file or folder named in it under 'path' is copied, for later stages may change it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self._writing:
            self.folder.mkdir(exist_ok=True)
            header = self.folder / "run.json"
            if not header.is_file():
                write_whole(header, json.dumps({"run_id": self.run_id, "uri": uri}))
            if "path" in entry:
                entry = entry | {"path": self._keep(Path(entry["path"]))}
            with self._path.open("ab") as file:
                # A newline before it, too: what a kill tore off stays a line of its own.
                file.write(b"\n" + json.dumps(entry).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _keep(self, path: Path) -> str:
        number = len(list((self.folder / "files").glob("*")))
        kept = self.folder / "files" / str(number) / path.name
        if path.is_dir():
            shutil.copytree(path, kept)
        else:
            kept.parent.mkdir(parents=True)
            shutil.copy2(path, kept)
        return kept.relative_to(self.folder).as_posix()

    def entries(self) -> list[Entry]:
        """All that was appended and is not known to have arrived, paths made absolute; torn lines are left out."""
        found: list[Entry] = []
        for line in self._path.read_bytes().split(b"\n") if self.waits() else []:
            with suppress(ValueError):
                found.append(json.loads(line))
        found = found[self._progress()["sent"] :]
        return [entry | {"path": str(self.folder / entry["path"])} if "path" in entry else entry for entry in found]

    def send(self, store: Receiver) -> Sent:
        """Send what waits, in order, and remove it; stops where the store is away."""
        sent = Sent()
        try:
            with self._sending:
                while not self._remove_if_sent():
                    for batch in _batches(self.entries()):
                        self._deliver(batch, store, sent)
                        if sent.obstacle is not None:
                            sent.left = len(self.entries())
                            return sent
        except Timeout:
            sent.left, sent.obstacle = len(self.entries()), "another process is sending it"
        return sent

    def _deliver(self, batch: list[Entry], store: Receiver, sent: Sent) -> None:
        progress = self._progress()
        try:
            store.deliver(batch)
        except Exception as error:
            reason = reason_of(error)
            if store.is_absence(error):
                # An entry that a healthy server fails over must not wait forever.
                progress["attempts"] += store.answers()
                if progress["attempts"] < ATTEMPTS:
                    write_whole(self._sent, json.dumps(progress))
                    sent.obstacle = reason
                    return
            if len(batch) > 1:  # one of them spoils the others
                for entry in batch:
                    if sent.obstacle is None:
                        self._deliver([entry], store, sent)
                return
            with (self.folder / "refused.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(batch[0] | {"reason": reason}) + "\n")
            sent.refused.append(reason)
        else:
            sent.entries += len(batch)
        write_whole(self._sent, json.dumps({"sent": progress["sent"] + len(batch), "attempts": 0}))

    def _progress(self) -> dict[str, int]:
        try:
            return dict(json.loads(self._sent.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {"sent": 0, "attempts": 0}

    def _remove_if_sent(self) -> bool:
        """The last look and the removal are one step: no entry can come between them."""
        with self._writing:
            if self.entries():
                return False
            refused = (self.folder / "refused.jsonl").is_file()
            self._sent.unlink(missing_ok=True)  # first: a removal that is killed here sends again, and nothing is lost
            self._path.unlink(missing_ok=True)
            if not refused:
                shutil.rmtree(self.folder, ignore_errors=True)
            for lock in (self._writing, self._sending):  # both are held; who waits for one sees that it is gone
                with suppress(OSError):
                    Path(lock.lock_file).unlink(missing_ok=True)
            return True


def waiting(root: Path) -> list[Journal]:
    """The journals with something to send."""
    return [Journal(root, path.parent.name) for path in sorted(root.glob("*/journal.jsonl"))]


def reason_of(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Neighbouring metrics together, everything else alone."""
    for are_metrics, group in groupby(entries, lambda entry: entry["op"] == "metrics"):
        found, size = list(group), METRICS_AT_ONCE if are_metrics else 1
        yield from (found[start : start + size] for start in range(0, len(found), size))
