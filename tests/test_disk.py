import errno
import sqlite3

import pytest

from mirada.cli import explain
from mirada.disk import explain_refusal
from mirada.errors import MiradaError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "models/a b.keras"),
            "models/a b.keras can't be written, the disk",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "what comes out can't be written, the disk is full: free space",
        ),
        (OSError("Unable to write (file write failed: errno = 28, error message = 'No space')"), "the disk is full"),
        (RuntimeError("/x/checkpoint.tmp; No space left on device"), "the disk is full"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large", "x.tfrecord"), "x.tfrecord can't be written, a file would be larger"),
        (
            OSError(errno.EROFS, "Read-only file system", "outputs"),
            "outputs can't be written, its file system is read-only",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "outputs"),
            "outputs can't be written, permission denied: copy",
        ),
    ],
)
def test_what_the_file_system_refuses_is_one_sentence(error: Exception, words: str) -> None:
    assert words in (explain_refusal(error) or "")
    wrapped = RuntimeError("the stage failed")
    wrapped.__cause__ = error
    assert explain_refusal(wrapped) == explain_refusal(error) == explain(error)
    assert "\n" not in explain(error)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file", "x"), ValueError("disk"), OSError("odd")])
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    assert explain_refusal(error) is None


def test_a_sentence_that_is_there_stays() -> None:
    error = MiradaError("data/raw can't be read: mend that.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert explain(error) == "data/raw can't be read: mend that."
