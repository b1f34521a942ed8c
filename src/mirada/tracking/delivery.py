"""How what a run records reaches MLflow: at once where the store answers, else over the journal on disk, later.

MLflow 3.17 has nothing on disk: its queue (`enable_async_logging`) is in memory, for params, metrics and tags alone, and
ends with a process that is killed; its retries hold a training up and raise in the end, and what was to be sent is gone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirada.errors import MiradaError
from mirada.tracking import store as tracking_store
from mirada.tracking.clock import end_run
from mirada.tracking.journal import Entry, Journal, Sent, reason_of

RETRY_S = 20.0  # between attempts to reach a store that is away
LAST_WAIT_S = 10.0  # at the end of a run, for a store that is away


class MlflowStore:
    """A run's entries written through MLflow's client; writing one twice is the same as once."""

    def __init__(self, run_id: str, uri: str) -> None:
        self.run_id, self.uri = run_id, uri

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Write one entry, or several of metrics in one request."""
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        client = MlflowClient(self.uri)
        if entries[0]["op"] != "metrics":
            _write(client, self.run_id, entries[0])
            return
        metrics = [
            Metric(key, value, entry["time_ms"], entry["step"])
            for entry in entries
            for key, value in entry["metrics"].items()
        ]
        client.log_batch(self.run_id, metrics=metrics)

    def is_absence(self, error: BaseException) -> bool:
        """See `store.is_absence`."""
        return tracking_store.is_absence(error)

    def answers(self) -> bool:
        """Whether the store is there now."""
        try:
            tracking_store.check(self.uri)
        except MiradaError:
            return False
        return True


def _write(client: Any, run_id: str, entry: Entry) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    op = entry["op"]
    if op == "params":
        client.log_batch(run_id, params=[Param(key, value) for key, value in entry["params"].items()])
    elif op == "tags":
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in entry["tags"].items()])
    elif op == "artifacts":
        path = Path(entry["path"])
        (client.log_artifacts if path.is_dir() else client.log_artifact)(run_id, str(path), entry["folder"])
    elif op == "text":
        client.log_text(run_id, entry["text"], entry["name"])
    elif op == "dataset":
        tags = [InputTag("mlflow.data.context", entry["context"])]
        client.log_inputs(run_id, [DatasetInput(Dataset(**entry["dataset"]), tags)])
    elif op == "end":
        end_run(client, run_id, entry["status"], entry["time_ms"])
    else:
        raise ValueError(f"unknown entry {op!r}")


class Delivery:
    """What one run records, in order; threads may share it.

    Attributes:
        run_id: of MLflow.
        uri: of its store, without a password.
    """

    def __init__(self, run_id: str, uri: str, root: Path) -> None:
        self.run_id, self.uri = run_id, tracking_store.without_password(uri)
        self._store, self._journal = MlflowStore(run_id, uri), Journal(root, run_id)
        self._lock = threading.RLock()
        self._last_attempt = -float("inf")  # on the monotonic clock
        self._said = False  # that the store is away

    def record(self, entry: Entry) -> None:
        """Send an entry, or keep it when the store is away or earlier entries wait."""
        with self._lock:
            if not self._journal.waits():
                if self._send(entry):
                    return
                self._last_attempt = time.monotonic()
            self._journal.append(entry, self.uri)
            self._say_away()
            if time.monotonic() - self._last_attempt >= RETRY_S:
                self.flush()

    def _send(self, entry: Entry) -> bool:
        """False when the store is away; what it refuses is told and left out, since no training should end over it."""
        if not self._store.answers():  # asked each time: a call to a server that has stopped would cost a minute
            return False
        try:
            self._store.deliver([entry])
        except Exception as error:
            if self._store.is_absence(error):
                return False
            if type(error).__module__.partition(".")[0] not in ("mlflow", "requests"):
                raise
            _say(f"MLflow at {self.uri} refuses {entry['op']}, which are left out: {reason_of(error)}")
        return True

    def _say_away(self) -> None:
        if not self._said:
            self._said = True
            _say(
                f"MLflow at {self.uri} does not answer: metrics are kept in {self._journal.folder} "
                "and sent when it does."
            )

    def done(self) -> bool:
        """Whether nothing waits; the store is not asked."""
        return not self._journal.waits()

    def flush(self) -> bool:
        """Send what waits, where the store answers; True when nothing waits any more."""
        with self._lock:
            if not self._journal.waits():
                return True
            sent = Sent()
            if self._store.answers():
                sent = self._journal.send(self._store)
            self._last_attempt = time.monotonic()
            if self._journal.waits():
                return False
            self._said = False
            if sent.entries:
                _say(f"MLflow at {self.uri} answers again: {sent.entries} entries kept meanwhile were sent.")
            for reason in dict.fromkeys(sent.refused):
                _say(f"MLflow at {self.uri} refused some, which stay in {self._journal.folder}: {reason}")
            return True

    def close(self, wait_s: float = LAST_WAIT_S) -> None:
        """Send what waits, or say how it can be sent later."""
        until = time.monotonic() + wait_s
        while not self.flush():
            if time.monotonic() + 1 > until:
                _say(
                    f"MLflow at {self.uri} still does not answer: what this run recorded waits in "
                    f"{self._journal.folder}; `python src/sync.py` sends it."
                )
                return
            time.sleep(1)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
