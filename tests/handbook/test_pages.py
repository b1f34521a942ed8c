"""The pages of the keys: every key that a command takes, with the type, default, range and words of the code."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from handbook.settings import keys_of

from handbook import pages
from mirada.config.checks import at_least, between, one_of


@dataclass
class Below:
    """A section."""

    depth: int = 2  # how deep
    rate: float | None = None  # a rate; null: none


@dataclass
class Sample:
    """Settings of a sample."""

    epochs: int = 20
    name: str = "a"  # of it
    below: Below = field(default_factory=Below)
    words: list[str] = field(default_factory=list)  # some

    def __post_init__(self) -> None:
        for key in ("epochs", "width"):
            at_least(key, getattr(self, key), 1)
        one_of("sample.name", self.name, ("a", "b"))
        between("below.depth", self.below.depth, 0.5, 4)


def test_what_the_code_and_the_comments_say_of_a_key(tmp_path: Path) -> None:
    conf = tmp_path / "sample.yaml"
    conf.write_text("epochs: 5       # rounds | laps\nbelow:   # a section\n  depth: 3    # as deep\nwords: [x, y]\n")
    keys = {key.name: (key.kind, key.default, key.allowed, key.comment) for key in keys_of(Sample, conf)}
    assert keys == {
        "epochs": ("whole number", "5", "at least 1", "rounds | laps"),
        "name": ("text", "a", "`a`, `b`", "of it"),
        "below.depth": ("whole number", "3", "", "as deep"),
        "below.rate": ("number or null", "null", "", "a rate; null: none"),
        "words": ("list of texts", "[x, y]", "", "some"),
    }


def rows_of(text: str) -> dict[str, str]:
    return {match[1]: match[0] for match in re.finditer(r'^\| <span id="([^"]+)">.*$', text, re.M)}


@pytest.mark.parametrize("name", [*pages.COMMANDS, *pages.OF_GROUP])
def test_each_key_says_what_it_changes(name: str) -> None:
    page = pages.group_page(name, pages.OF_GROUP[name]) if name in pages.OF_GROUP else None
    rows = rows_of(page or pages.command_page(name, pages.COMMANDS[name]))
    assert rows
    assert [key for key, row in rows.items() if row.endswith("|  |") or row.count(" | ") < 3] == []


def test_a_row_is_what_the_command_has() -> None:
    row = rows_of(pages.command_page("train", pages.COMMANDS["train"]))["min_score_share"]
    assert "| number: 0.05 to 1 | `0.9` | for precision, recall: the share that is wanted of it |" in row
    assert rows_of(pages.group_page("model", pages.OF_GROUP["model"]))["model.width"].split(" | ")[1:3] == [
        "whole number: at least 8",
        "`64`",
    ]
