"""Text files of unknown encoding: by byte-order mark, as UTF-8, as they declare themselves, else by detection."""

from __future__ import annotations

import codecs
import csv
import io
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirada.data.records import HIDDEN
from mirada.errors import MiradaError

MAX_TEXT_BYTES = 1 << 30  # a JSON takes ten times its size in memory
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes, declared: str | None = None) -> tuple[str, str | None]:
    """The text of a file, and the encoding that was assumed where neither the file nor a standard says it.

    Args:
        content: all of the file.
        declared: the encoding that the file says it has.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace"), None
    if content.count(0) > len(content) / 4 and len(content) > 1:  # UTF-16 without its mark
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
        return content.decode(encoding, errors="replace"), encoding
    for known in (declared, "utf-8"):
        try:
            if known:
                return content.decode(known), None if known == (declared or known) else known
        except (UnicodeDecodeError, LookupError):
            continue
    encoding = _detect(content)
    return content.decode(encoding, errors="replace"), encoding


# Syllables that Korean is full of; the bytes of Chinese read as Korean give rare ones.
_KOREAN = frozenset(
    "이가는을를의에고와과도로다사자차나아지기대하한인어여원장주전시동수리강개양소트거버스"
)  # common syllables
# Where several encodings make words of it, the likelier one.
_LIKELIER = {"cp949": "gb18030", "johab": "gb18030", "cp1250": "cp1252", "cp1257": "cp1252", "mac_latin2": "cp1252"}


def _detect(content: bytes) -> str:
    """The encoding that a text is in, by the words that come of it."""
    from charset_normalizer import from_bytes

    matches = from_bytes(content[: 1 << 20])
    best = matches.best()
    if best is None:
        return "cp1252"
    japanese = next((str(match) for match in matches if match.encoding == "cp932"), "")
    if sum("\u3040" <= char <= "\u30ff" for char in japanese) * 5 > sum(not char.isascii() for char in japanese):
        return "cp932"  # what is no Japanese has no kana
    likelier = _LIKELIER.get(best.encoding, "")
    try:
        text = content.decode(likelier) if likelier else ""
    except UnicodeDecodeError:
        return best.encoding
    found = [char for char in str(best) if not char.isascii()]
    foreign = [char for char in text if not char.isascii()]
    if best.encoding == "cp949" and sum(char in _KOREAN for char in found) > len(found) / 5:
        return best.encoding
    return likelier if foreign and all(map(str.isalpha, foreign)) else best.encoding


def read_text(path: Path) -> tuple[str, str | None]:
    """A file's text and the encoding that was assumed, see `decode`.

    Raises:
        MiradaError: the file is too big for a file of labels, or can't be read.
    """
    _refuse_big(path)
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise MiradaError(f"{path} can't be read ({error.strerror}): correct its permissions.") from error


def _refuse_big(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise MiradaError(
            f"{path} has {size / (1 << 30):.1f} GiB, more than labels that can be held in memory "
            f"({MAX_TEXT_BYTES >> 30} GiB): split it into several files, or move it out of the raw folder."
        )


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        MiradaError: as `read_text`, or it is no JSON; the sentence tells line and column.
    """
    text, _ = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        found = f"{text[error.pos]!r}" if error.pos < len(text) else "the end of the file"
        raise MiradaError(
            f"{path} is no JSON from line {error.lineno}, column {error.colno} on ({error.msg}; there is {found}): "
            "export it again, or move it out of the raw folder."
        ) from error
    except RecursionError as error:
        raise MiradaError(f"{path} nests deeper than labels do: move it out of the raw folder.") from error


def split_rows(text: str, delimiter: str | None = None) -> list[list[str]]:
    """The rows of a text table; the delimiter is the one of ',', ';', tab and '|' that cuts most rows alike."""
    if delimiter is None:
        sample = [line for line in text[: 1 << 16].splitlines() if line.strip()]
        delimiter = max(",;\t|", key=lambda mark: _fit(sample, mark))
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))


def _fit(sample: list[str], mark: str) -> int:
    """How many rows of a sample have the most usual number of cells, if it is above one."""
    widths = [len(row) for row in csv.reader(sample, delimiter=mark)]
    usual = max(set(widths), key=widths.count, default=1)
    return widths.count(usual) * (usual > 1)


def clean_label(text: str) -> str:
    """A label on one line, without outer space, in composed Unicode."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def read_flag(said: object) -> bool | None:
    """A yes or a no, as text, number or truth value; None for anything else, such as Open Images' -1 for unknown."""
    text = str(said).strip().lower()
    return True if text in ("1", "true", "yes") else False if text in ("0", "false", "no") else None


def read_hidden(said: Mapping[str, Any]) -> tuple[bool | None, ...]:
    """The flags `HIDDEN` of an object, in the order in which a `Box` takes them."""
    return tuple(read_flag(said.get(name)) for name in HIDDEN)


def is_true(text: str | None) -> bool:
    """Whether a cell, an element or an attribute says yes."""
    return read_flag(text) is True
