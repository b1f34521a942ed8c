"""Words of a command line that Hydra would refuse or take for something else, quoted as its grammar wants them.

Hydra reads `key=value` by a grammar of its own, in which a path with parentheses, an accent or an apostrophe is a mistake
and `1e3` a number. Where the schema says that a key takes text, the text is meant as it stands: it is quoted before Hydra
sees it. What Hydra reads as text already stays as it is, and so do quotes, sweeps, `null` and `${…}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, StringNode
from omegaconf.base import Node

from mirada.errors import MiradaError

TEXT, LIST, NAMES = "text", "list", "names"
"""What a key takes: one text, a list of texts, or texts under names."""

_FREE = re.compile(r"(^|[._])(path|dir|source|file|metrics|uri|url|run_name|filter|prefix|group|host)$")
"""Keys whose text may be anything, a comma in it too; of the others a comma is a sweep that lacks its `-m`."""
_OPEN, _CLOSE = "([{", ")]}"


def quote_words(words: Sequence[str], script: str) -> list[str]:
    """The words of a command line with each text quoted that needs it.

    Args:
        words: as the shell handed them over, without the script's name.
        script: 'fetch' and the like, whose schema Hydra's store holds as '<script>_schema'.

    Raises:
        MiradaError: a name in braces that Hydra's grammar has no way to write.
    """
    sweep = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in words)
    return [_quote_word(word, script, sweep) for word in words]


def _quote_word(word: str, script: str, sweep: bool) -> str:
    match = re.fullmatch(r"(?P<key>\+{0,2}[A-Za-z_][\w./@$-]*)=(?P<text>.*)", word, re.DOTALL)
    kind = kind_of(match["key"].lstrip("+"), script) if match else None
    if match is None or kind is None or not match["text"]:
        return word
    key = match["key"].lstrip("+")
    return f"{match['key']}={quote_value(match['text'], kind, key, sweep=sweep)}"


def kind_of(key: str, script: str) -> str | None:
    """What a key takes, by the schema of its script; None: no text, or the schema does not know it.

    Args:
        key: dotted, without its plus signs; for `experiment` with or without its stage's name.
        script: the schema's name without '_schema'.
    """
    schemas = ConfigStore.instance().repo
    if key.startswith("hydra."):
        return _kind_below(schemas.get("hydra", {}).get("config.yaml"), key.removeprefix("hydra."))
    known = schemas.get(f"{script}_schema.yaml")
    kind = _kind_below(known, key)
    if kind is None and script == "experiment":
        stage, _, rest = key.partition(".")
        stages = (
            [stage] if rest and f"{stage}_schema.yaml" in schemas else ["preprocess", "train", "quantize", "evaluate"]
        )
        for name in stages:
            kind = kind or _kind_below(schemas.get(f"{name}_schema.yaml"), rest if name == stage else key)
    return kind


def _kind_below(stored: Any, key: str) -> str | None:
    node: Node | None = stored.node if stored is not None else None
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none():
            return None
        found = node._get_node(part, validate_access=False)
        if found is None:
            return TEXT if node._metadata.element_type is str else None
        node = found if isinstance(found, Node) else None
    if isinstance(node, StringNode):
        return TEXT
    if isinstance(node, (ListConfig, DictConfig)) and node._metadata.element_type is str:
        return LIST if isinstance(node, ListConfig) else NAMES
    return None


def quote_value(text: str, kind: str, key: str, *, sweep: bool = False) -> str:
    """What stands after the `=`, quoted where Hydra would not read it as the text that it is.

    Args:
        text: not empty.
        kind: TEXT, LIST or NAMES.
        key: for which it is meant.
        sweep: whether a comma parts the values of several jobs.

    >>> quote_value("/a (b)/c", TEXT, "data.path"), quote_value("/a/c", TEXT, "data.path")
    ("'/a (b)/c'", '/a/c')
    >>> quote_value("[no,1e3]", LIST, "data.classes"), quote_value("none,loss", TEXT, "class_weight", sweep=True)
    ("[no,'1e3']", 'none,loss')
    """
    pieces = _split(text)
    if sweep and len(pieces) > 1:
        return ",".join(quote_value(piece, kind, key) if piece else piece for piece in pieces)
    if kind == LIST and _wrapped(text, "[]") and len(pieces) == 1:
        return f"[{','.join(_quote_text(piece, key, in_list=True) for piece in _split(text[1:-1]) if piece)}]"
    if kind == NAMES and _wrapped(text, "{}") and len(pieces) == 1:
        return "{" + ",".join(_quote_pair(piece, key) for piece in _split(text[1:-1]) if piece) + "}"
    return _quote_text(text, key) if kind == TEXT else text


def _quote_text(text: str, key: str, *, in_list: bool = False) -> str:
    override = _read(text)
    if override is None:
        return _quoted(text)
    value = override._value
    if override.is_sweep_override():
        simple = isinstance(value, ChoiceSweep) and value.simple_form
        return _quoted(text) if simple and (in_list or _FREE.search(key)) else text
    if isinstance(value, QuotedString) or (value is None and not in_list):
        return text
    if isinstance(value, str):
        return text if value == text or "\\" in text else _quoted(text)
    return _quoted(text)


def _quote_pair(pair: str, key: str) -> str:
    name, colon, value = pair.partition(":")
    name, value = name.strip(), value.strip()
    override = _read(f"{{{name}: x}}")
    read = list(override._value) if override is not None and isinstance(override._value, dict) else []
    if not colon or not (len(read) == 1 and isinstance(read[0], str)):
        raise MiradaError(
            f"{key}: {name or pair} can't stand as a name in braces on a command line: write {key} into a file of your own "
            f'in conf/, as in conf/data/mine.yaml, with "{name or pair}" in quotes.'
        )
    return f"{name}: {_quote_text(value, key, in_list=True)}" if value else pair


def _read(text: str) -> Override | None:
    """What Hydra makes of a value; None where it can't read it."""
    try:
        return OverridesParser.create().parse_override(f"key={text}")
    except (HydraException, ValueError):
        return None


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _wrapped(text: str, brackets: str) -> bool:
    return len(text) > 1 and text[0] == brackets[0] and text[-1] == brackets[1]


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no brackets and no quotes; the whole text where brackets don't meet."""
    pieces, start, depth, quote, place = [], 0, 0, "", 0
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not text[start:place].strip(" [{:(").strip():
            quote = char
        elif char in _OPEN or char in _CLOSE:
            depth += 1 if char in _OPEN else -1
        elif char == "," and depth == 0:
            pieces.append(text[start:place].strip())
            start = place + 1
        if depth < 0:
            return [text]
        place += 1
    return [*pieces, text[start:].strip()] if pieces and not depth and not quote else [text]
