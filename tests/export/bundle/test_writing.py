import errno
import hashlib
import os
from pathlib import Path

import pytest

from mirada.errors import MiradaError
from mirada.export.bundle.writing import check_output, whole_folder, write_sums


def test_the_folder_is_there_when_all_is_written(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
        raise ZeroDivisionError
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "out can't be written, the disk is full: free space; nothing was left half-written"),
        (errno.EACCES, "out can't be written, .*denied.*: correct that or output_dir"),
    ],
)
def test_a_disk_that_takes_no_more_is_told_in_a_sentence(tmp_path: Path, number: int, sentence: str) -> None:
    with pytest.raises(MiradaError, match=sentence), whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
        raise OSError(number, os.strerror(number))
    assert not any(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_no_place(tmp_path: Path) -> None:
    check_output(tmp_path / "new")
    check_output(tmp_path)
    (tmp_path / "a").touch()
    for place in (tmp_path, tmp_path / "a"):
        with pytest.raises(MiradaError, match="is not empty: give a new output_dir"):
            check_output(place)


def test_digests_are_in_the_order_of_the_names_not_the_disk_s(tmp_path: Path) -> None:
    for name in "qwertyuiopasdfghjkl":
        (tmp_path / name).touch()
    write_sums(tmp_path)
    names = [line[-1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert names == sorted("qwertyuiopasdfghjkl")


def test_digests_are_of_every_file_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_text("b")
    (tmp_path / "a").write_text("a")
    write_sums(tmp_path)
    a, b = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
    assert (tmp_path / "SHA256SUMS").read_text() == f"{a}  a\n{b}  deep/b\n"
