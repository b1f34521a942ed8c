"""Sync: what runs recorded while their MLflow store was away, sent now."""

from __future__ import annotations

from collections.abc import Mapping

from mirada import tracking
from mirada.config import SyncConfig, TrackingConfig
from mirada.errors import MiradaError
from mirada.tracking import store as tracking_store
from mirada.tracking.delivery import MlflowStore
from mirada.tracking.journal import Journal, Sent, waiting


def run(config: SyncConfig) -> int:
    """Send every run's entries to the store that it belongs to.

    Returns:
        How many entries were sent.

    Raises:
        MiradaError: a store does not answer, or refused entries; the others were sent.
    """
    settings = TrackingConfig(uri=config.uri, pending_dir=config.pending_dir)
    root = tracking.pending_dir(settings)
    journals = waiting(root)
    if not journals:
        print(f"nothing waits in {root}")
        return 0
    ours = tracking.tracking_uri(settings)
    known = {tracking_store.without_password(uri): uri for uri in (ours, tracking_store.with_driver(ours))}
    away = _away({journal.uri() for journal in journals}, known)
    obstacles = list(away.values())
    total = 0
    for number, journal in enumerate(journals, 1):
        uri = journal.uri()
        if uri in away:
            continue
        sent = journal.send(MlflowStore(journal.run_id, known.get(uri, uri)))
        total += sent.entries
        print(f"{number}/{len(journals)} run {journal.run_id}: {_outcome(sent)} ({uri})", flush=True)
        obstacles += _obstacles(journal, sent)
    if obstacles:
        raise MiradaError(" ".join(obstacles))
    return total


def _away(uris: set[str], known: Mapping[str, str]) -> dict[str, str]:
    """The stores that can't be reached -> the sentence that says so; each is asked once."""
    found: dict[str, str] = {}
    for uri in sorted(uris):
        try:
            tracking.check(TrackingConfig(uri=known.get(uri, uri)))
        except MiradaError as error:
            found[uri] = str(error)
    return found


def _outcome(sent: Sent) -> str:
    words = [f"{sent.entries} entries sent"]
    words += [f"{len(sent.refused)} refused"] if sent.refused else []
    words += [f"{sent.left} left"] if sent.left else []
    return ", ".join(words)


def _obstacles(journal: Journal, sent: Sent) -> list[str]:
    found = [f"Run {journal.run_id}: {sent.left} entries are left ({sent.obstacle})."] if sent.left else []
    if sent.refused:
        found.append(
            f"Run {journal.run_id}: MLflow refused {len(sent.refused)} entries ({sent.refused[0].rstrip('.')}), which are "
            f"in {journal.folder / 'refused.jsonl'}: remove {journal.folder} when you have seen them."
        )
    return found
