"""One process at a time in a folder of results: two would mix their files, and neither would say so."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mirada.errors import MiradaError

T = TypeVar("T")


def alone_in_output_dir(run: Callable[[Any], T]) -> Callable[[Any], T]:
    """A stage's `run`, which holds its configuration's `output_dir` while it works."""

    @functools.wraps(run)
    def held(config: Any) -> T:
        with alone_in(Path(config.output_dir)):
            return run(config)

    return held


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock is on the folder itself, leaves nothing there, and ends with the process.

    A folder that is not there is made, and goes again where nothing came into it. One that can't be made or locked (an
    object store, some network drives, Windows) is let pass: whoever writes there will say what is wrong.

    Raises:
        MiradaError: another process holds it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    descriptor = _lock(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            for path in made:
                with suppress(OSError):  # it is in use
                    path.rmdir()
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    try:
        import fcntl
    except ImportError:
        return None
    if ":/" in str(folder):  # as Path writes a URL
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise MiradaError(
            f"{folder} is being written by another process: wait for it, or give this one another folder (output_dir=…)."
        ) from error
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
