"""What a search knows outlives it, whatever line a kill cuts off."""

from pathlib import Path

from mirada.config import SpaceConfig
from mirada.fitting.book import Book, Entry
from mirada.fitting.judging import Taken
from mirada.fitting.space import make_space
from tests.fitting.spaces import smallest

SPACE = make_space(SpaceConfig(model=["tiny"], input_size=[96, 128]), "detection")


def test_entries_are_read_back_as_they_last_were(tmp_path: Path) -> None:
    book, candidate = Book(tmp_path / "book.jsonl", SPACE), smallest(SPACE, "tiny")
    entry = Entry(candidate, "fits", Taken(1000, 500, None, [], {"milliseconds": "no"}, 1.5))
    book.write(entry, 10.0)
    entry.values[2], entry.epoch_seconds, entry.run_id = 0.4, 3.0, "abc"
    book.write(entry, 20.0)
    book.choose(candidate, 22, 30.0)
    again = Book(tmp_path / "book.jsonl", SPACE)
    assert list(again) == [entry] and again.find(candidate) == entry
    assert (entry.epochs, entry.value) == (2, 0.4)
    assert (again.seconds, again.chosen) == (30.0, (candidate.key, 22))
    again.reopen()
    assert Book(tmp_path / "book.jsonl", SPACE).chosen is None


def test_a_line_that_was_cut_off_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    book = Book(path, SPACE)
    first, second = smallest(SPACE, "tiny"), next(SPACE.next_larger(smallest(SPACE, "tiny")))
    book.write(Entry(first, "too_much", Taken(9, 9, None), "9 of 8 bytes"), 5.0)
    book.write(Entry(second, "spared"), 6.0)
    path.write_text(path.read_text()[:-20])
    again = Book(path, SPACE)
    assert [entry.candidate for entry in again] == [first] and again.seconds == 5.0
    again.write(Entry(second, "spared"), 7.0)
    assert len(Book(path, SPACE)) == 2


def test_what_was_not_told_is_asked_again_by_the_next_process(tmp_path: Path) -> None:
    first, second = smallest(SPACE, "tiny"), next(SPACE.next_larger(smallest(SPACE, "tiny")))
    book = Book(tmp_path / "book.jsonl", SPACE)
    book.write(Entry(first, "cannot_tell", Taken(None, 9, None, unknown={"arena_bytes": "SIGSEGV"})), 5.0)
    book.write(Entry(second, "cannot_tell", Taken(9, 9, 1.0, unknown={"milliseconds": "1 operators run beside"})), 6.0)
    assert [entry.candidate for entry in Book(tmp_path / "book.jsonl", SPACE)] == [second]
