"""What a search is told: how far it goes, and who judges and trains for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mirada.fitting.book import Entry
from mirada.fitting.judging import Taken
from mirada.fitting.space import Candidate


@dataclass(frozen=True)
class Trained:
    """What a short training came to: the validation figure, the seconds of an epoch, its run in MLflow."""

    value: float
    epoch_seconds: float
    run_id: str | None = None


@dataclass(frozen=True)
class Plan:
    """How far a search goes: seconds for all, epochs of a first and of a full training, candidates at most, the seed."""

    seconds: float
    short_epochs: int
    epochs: int
    most_trained: int
    most_judged: int
    seed: int = 0


@dataclass(frozen=True)
class Doing:
    """What a search has done for it.

    Attributes:
        take: a candidate -> what it takes of the board.
        train: a candidate, epochs -> what a short training came to; raises MiradaError where it breaks off.
        met: told of each candidate that was judged or trained.
        clock: seconds, from any start.
    """

    take: Callable[[Candidate], Taken]
    train: Callable[[Candidate, int], Trained]
    met: Callable[[Entry], None] = lambda entry: None
    clock: Callable[[], float] = time.monotonic
