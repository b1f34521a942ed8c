"""Files are there whole or not at all, and parts of big ones can be had."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from mirada.files import check_room, open_content, read_part, write_whole, written_aside


def test_text_and_bytes_arrive_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "für\n")
    write_whole(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a.json").read_bytes() == b"f\xc3\xbcr\n"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b"]


def test_an_error_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), written_aside(path) as part:
        part.write_text("half")
        assert path.read_text() == "old", "the old one is there until the new one is whole"
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def test_what_is_written_aside_keeps_the_suffix_and_matches_no_list_of_the_finished(tmp_path: Path) -> None:
    with written_aside(tmp_path / "job-00001.json") as first, written_aside(tmp_path / "job-00001.json") as second:
        assert first != second, "two writers never share one"
        assert first.parent == tmp_path and first.suffix == ".json" and not first.match("job-*")
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "job-00001.json").read_text() == "1", "the last to end"


def test_a_file_that_another_folder_shares_stays_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("old")
    os.link(tmp_path / "mine", tmp_path / "theirs")
    write_whole(tmp_path / "mine", "new")
    assert ((tmp_path / "mine").read_text(), (tmp_path / "theirs").read_text()) == ("new", "old")


def test_a_file_keeps_the_mode_that_it_was_made_with(tmp_path: Path) -> None:
    with written_aside(tmp_path / "secret") as part:
        part.touch(mode=0o600, exist_ok=False)
        part.write_text("password")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("packed", [False, True])
def test_parts_of_a_file_or_of_what_is_packed_in_it(tmp_path: Path, packed: bool) -> None:
    path, content = tmp_path / "x", bytes(range(200)) * 10_000
    path.write_bytes(gzip.compress(content) if packed else content)
    assert [read_part(path, 0, 3), read_part(path, 1_999_999, 9), read_part(path, 401, 2)] == [
        b"\0\1\2",
        b"\xc7",
        b"\1\2",
    ]
    path.write_bytes(gzip.compress(content[1:]) if packed else content[1:])
    assert read_part(path, 0, 3) == b"\1\2\3", "a file that changed is read anew"
    with open_content(path) as file:
        assert os.fstat(file).st_size == 1_999_999


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirada.files._GROWTH_COUNTS_FROM", 1000)
    (tmp_path / "x").write_bytes(gzip.compress(b"0" * 10_000_000))
    with pytest.raises(OSError, match="far more than photographs would"):
        read_part(tmp_path / "x", 0, 1)


def test_room_is_asked_for_before_anything_is_written(tmp_path):
    check_room(tmp_path, 4096)
    with pytest.raises(OSError) as caught:
        check_room(tmp_path, 1 << 60)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG) and caught.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())
