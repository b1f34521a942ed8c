"""`folds=5` and `seeds=3` of an experiment: short for a sweep over folds and seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mirada.errors import MiradaError

_SWEEPS = ("-m", "--multirun", "hydra.mode=MULTIRUN")
_LEAST = {"folds": 2, "seeds": 1}
_SETS = {"folds": ("data.split.kfold", "data.split.fold"), "seeds": ("train.seed",)}


def spell_repeats(arguments: Sequence[str]) -> list[str]:
    """The command line with `folds` and `seeds` written out as the sweep that they are.

    >>> spell_repeats(["data=voc", "folds=3", "seeds=2"])
    ['-m', 'data=voc', 'data.split.kfold=3', 'data.split.fold=0,1,2', 'train.seed=0,1']

    Raises:
        MiradaError: the number makes no sense, a key is named that it sets, or a search chooses the jobs.
    """
    written: list[str] = []
    found: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in _LEAST or not equals:
            written.append(argument)
            continue
        if not re.fullmatch(r"\d{1,3}", value) or not _LEAST[key] <= int(value) <= 100:
            raise MiradaError(f"{key} must be a number from {_LEAST[key]} to 100, got {value or 'nothing'}.")
        found.append(key)
        each = ",".join(map(str, range(int(value))))
        written += (
            [f"data.split.kfold={value}", f"data.split.fold={each}"] if key == "folds" else [f"train.seed={each}"]
        )
    if found:
        _refuse_rivals(found, arguments)
        written = [*([] if any(word in _SWEEPS for word in written) else ["-m"]), *written]
    return written


def _refuse_rivals(found: Sequence[str], arguments: Sequence[str]) -> None:
    keys = {argument.partition("=")[0].lstrip("+~") for argument in arguments}
    for name in found:
        if named := keys & {*_SETS[name]}:
            raise MiradaError(f"{name} already says which {sorted(named)[0]} are run: leave out one of the two.")
    if len(found) > len(set(found)):
        raise MiradaError(f"{found[0]} is named twice: leave out one of the two.")
    if any(argument.startswith("hydra/sweeper=") and not argument.endswith("=basic") for argument in arguments):
        raise MiradaError(f"A search chooses its jobs by itself: leave out {' and '.join(found)}, or hydra/sweeper.")
