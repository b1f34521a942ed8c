"""What waits on disk for a store that is away: in order, nothing twice, nothing lost by a kill."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mirada.tracking import journal as tracking_journal
from mirada.tracking.journal import ATTEMPTS, Entry, Journal, waiting

URI = "http://server:5000"


def metrics(step: int, **figures: float) -> Entry:
    return {"op": "metrics", "metrics": figures or {"loss": float(step)}, "step": step, "time_ms": 1000 + step}


class Away(Exception):
    """The store can't be reached."""


class FakeStore:
    """Takes entries, is away after so many calls, and refuses entries with the step -1."""

    def __init__(self, calls: int = 10**6, healthy: bool = False) -> None:
        self.calls, self.healthy, self.taken = calls, healthy, list[Entry]()
        self.batches: list[int] = []

    def deliver(self, entries: Sequence[Entry]) -> None:
        if self.calls == 0:
            raise Away("connection refused")
        self.calls -= 1
        if any(entry.get("step") == -1 for entry in entries):
            raise ValueError("step must not be negative")
        self.batches.append(len(entries))
        self.taken += entries

    def is_absence(self, error: BaseException) -> bool:
        return isinstance(error, Away)

    def answers(self) -> bool:
        return self.healthy


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "pending", "run1")


def test_entries_are_sent_in_order_and_the_folder_goes(journal: Journal) -> None:
    written = [metrics(1), {"op": "params", "params": {"a": "1"}}, metrics(2), metrics(3)]
    for entry in written:
        journal.append(entry, URI)
    assert journal.uri() == URI
    store = FakeStore()
    sent = journal.send(store)
    assert store.taken == written
    assert store.batches == [1, 1, 2]
    assert (sent.entries, sent.refused, sent.left) == (4, [], 0)
    assert not journal.folder.exists()
    assert not journal.waits()


def test_neighbouring_metrics_go_together_but_not_all_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_journal, "METRICS_AT_ONCE", 2)
    for step in range(3):
        journal.append(metrics(step), URI)
    store = FakeStore()
    journal.send(store)
    assert store.batches == [2, 1]


def test_a_file_is_sent_as_it_was_when_it_was_recorded(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name in ("model.json", "plots/a.csv"):
        (tmp_path / name).write_text("early")
    for name in ("model.json", "plots"):
        journal.append({"op": "artifacts", "path": str(tmp_path / name), "folder": "train"}, URI)
    for name in ("model.json", "plots/a.csv"):
        (tmp_path / name).write_text("late")
    model, plots = (Path(entry["path"]) for entry in journal.entries())
    assert model.name == "model.json" and model.read_text() == "early"
    assert plots.name == "plots" and (plots / "a.csv").read_text() == "early"


def test_sending_goes_on_where_the_store_went_away(journal: Journal) -> None:
    for step in (1, 2, 3):
        journal.append({"op": "text", "text": str(step), "name": "a"}, URI)
    store = FakeStore(calls=2)
    sent = journal.send(store)
    assert (sent.entries, sent.left, sent.obstacle) == (2, 1, "connection refused")
    journal.append(metrics(4), URI)
    later = FakeStore()
    Journal(journal.folder.parent, "run1").send(later)  # another process
    assert [entry.get("text", entry.get("step")) for entry in store.taken + later.taken] == ["1", "2", "3", 4]


def test_a_store_that_stays_away_refuses_nothing(journal: Journal) -> None:
    journal.append(metrics(1), URI)
    for _ in range(3 * ATTEMPTS):
        assert journal.send(FakeStore(calls=0)).left == 1
    assert journal.entries() == [metrics(1)]


def test_what_a_healthy_server_fails_over_does_not_wait_forever(journal: Journal) -> None:
    journal.append(metrics(1), URI)
    outcomes = [journal.send(FakeStore(calls=0, healthy=True)) for _ in range(ATTEMPTS)]
    assert [len(outcome.refused) for outcome in outcomes] == [0] * (ATTEMPTS - 1) + [1]
    assert not journal.waits()


def test_a_refused_entry_is_set_aside_and_the_others_arrive(journal: Journal) -> None:
    for step in (1, -1, 2):
        journal.append(metrics(step), URI)
    store = FakeStore()
    sent = journal.send(store)
    assert [entry["step"] for entry in store.taken] == [1, 2]
    assert sent.refused == ["step must not be negative"]
    kept = json.loads((journal.folder / "refused.jsonl").read_text())
    assert kept["step"] == -1 and kept["reason"] == "step must not be negative"
    assert not journal.waits()
    assert waiting(journal.folder.parent) == []


def test_a_line_torn_by_a_kill_is_left_out(journal: Journal) -> None:
    journal.append(metrics(1), URI)
    with (journal.folder / "journal.jsonl").open("a") as file:
        file.write('{"op": "metr')
    assert journal.entries() == [metrics(1)]
    journal.append(metrics(2), URI)
    assert journal.entries() == [metrics(1), metrics(2)]


def test_an_entry_that_comes_while_others_are_sent_is_sent_too(journal: Journal) -> None:
    class Slow(FakeStore):
        def deliver(self, entries: Sequence[Entry]) -> None:
            if not self.taken:
                Journal(journal.folder.parent, "run1").append(metrics(2), URI)  # the training goes on
            super().deliver(entries)

    journal.append(metrics(1), URI)
    store = Slow()
    journal.send(store)
    assert [entry["step"] for entry in store.taken] == [1, 2]


def test_two_senders_do_not_meet(journal: Journal) -> None:
    outcomes = []

    class Meanwhile(FakeStore):
        def deliver(self, entries: Sequence[Entry]) -> None:
            outcomes.append(Journal(journal.folder.parent, "run1").send(FakeStore()))
            super().deliver(entries)

    journal.append(metrics(1), URI)
    assert journal.send(Meanwhile()).entries == 1
    assert (outcomes[0].entries, outcomes[0].obstacle) == (0, "another process is sending it")
