"""Silence for libraries that talk on stderr from C++, where no log level reaches them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0  # blocks that run now, in all threads
_saved = -1  # where descriptor 2 led before the first of them


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for as long as the block runs; exceptions pass as ever.

    The descriptor is the whole process': of blocks that overlap in several threads the last one to end gives it back.
    """
    global _inside, _saved
    with _lock:
        if not _inside:
            sys.stderr.flush()
            _saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                os.dup2(_saved, 2)
                os.close(_saved)
