"""What the file system refuses, in a sentence: a full disk, a folder that may not be written."""

from __future__ import annotations

import errno
import os
import re

_AGAIN = "what was there before is whole, and the same command goes on from it"
_ELSEWHERE = "copy the project to where you may write, or give other folders (output_dir=, hydra.run.dir=)"
_WHY = {
    errno.ENOSPC: f"the disk is full: free space; {_AGAIN}",
    errno.EDQUOT: f"your quota is used up: free space; {_AGAIN}",
    errno.EFBIG: f"a file would be larger than is allowed here (ulimit -f): allow more; {_AGAIN}",
    errno.EROFS: f"its file system is read-only: {_ELSEWHERE}",
    errno.EACCES: f"permission denied: {_ELSEWHERE}",
}
# Libraries that pass on what the system says in words of their own: TensorFlow, sqlite; HDF5 gives the number.
_WORDS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
}
_NUMBER = re.compile(r"\berrno = (\d+),")


def explain_refusal(error: BaseException | None) -> str | None:
    """The sentence for an error, or for one that it came from, if the file system's refusal is at its root; else None."""
    while error is not None:
        if (code := _code_of(error)) is not None:
            name = getattr(error, "filename", None)
            where = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else "what comes out"
            return f"{where} can't be written, {_WHY[code]}."
        error = error.__cause__ or error.__context__
    return None


def _code_of(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _WHY else None
    told = str(error)
    if (number := _NUMBER.search(told)) and int(number[1]) in _WHY:
        return int(number[1])
    return next((code for words, code in _WORDS.items() if words in told), None)
