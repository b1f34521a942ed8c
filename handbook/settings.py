"""What is known of every key that Hydra takes: type, default, range, and what it changes.

Nothing here is a list of keys: the keys and types are the dataclasses of `mirada.config`, a default is that of `conf/`, a
range is read in the dataclass's own checks, and the words are the comments that stand beside a key there or here.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING

CONF = Path(__file__).resolve().parents[1] / "conf"
CHECKS = ("at_least", "between", "greater_than", "one_of")
GROUPS = ("data", "model", "augment", "input", "executor", "device")
"""Keys that choose a file of `conf/<key>`."""
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
WORDS_OF_MANY = {str: "texts", int: "whole numbers", float: "numbers", Any: "settings"}


@dataclass
class Key:
    """One key: its dotted name, its type and range in words, its default as YAML, and what it changes."""

    name: str
    kind: str
    default: str
    allowed: str
    comment: str


def keys_of(schema: type, conf: Path | None = None, prefix: str = "") -> Iterator[Key]:
    """Every key of a schema, those of its sections under dotted names.

    Args:
        schema: a dataclass of `mirada.config`.
        conf: the YAML file whose defaults and comments come before the dataclass's.
        prefix: of the names, with its dot.
    """
    values, said = read_conf(conf) if conf else ({}, {})
    yield from _keys(schema, values, said, prefix)


def _keys(schema: type, values: Any, said: dict[str, str], prefix: str) -> Iterator[Key]:
    told, allowed, hints = comments_of(schema), ranges_of(schema), typing.get_type_hints(schema)
    for entry in dataclasses.fields(schema):
        name, inner = f"{prefix}{entry.name}", _section(hints[entry.name])
        value = values[entry.name] if isinstance(values, dict) and entry.name in values else default_of(entry)
        comment = said.get(name) or told.get(entry.name, "")
        if inner is None or (not prefix and entry.name in GROUPS):
            yield Key(name, kind_of(hints[entry.name]), yaml_of(value), allowed.get(entry.name, ""), comment)
            continue
        below = value if isinstance(value, dict) else {}  # else the section's own defaults
        yield from _keys(inner, below, said, f"{name}.")


def _section(hint: Any) -> type | None:
    """The dataclass that a field holds, if it holds one."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    inside = [part for part in (typing.get_args(hint) if union else (hint,)) if dataclasses.is_dataclass(part)]
    return inside[0] if inside else None


def default_of(entry: dataclasses.Field[Any]) -> Any:
    """A field's default, `MISSING` where it has to be given."""
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return MISSING if entry.default is dataclasses.MISSING else entry.default


def yaml_of(value: Any) -> str:
    """A default as one would write it, `???` where there is none."""
    if dataclasses.is_dataclass(value):
        return ""
    text = (
        yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True).removesuffix("\n...\n").strip()
    )
    return text.strip("'") if isinstance(value, str) and value else text


def kind_of(hint: Any) -> str:
    """A type in words.

    >>> kind_of(int | None), kind_of(list[str])
    ('whole number or null', 'list of texts')
    """
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        parts = [part for part in typing.get_args(hint) if part is not types.NoneType]
        parts = [part for part in parts if part is not int or float not in parts]
        return " or ".join([*(kind_of(part) for part in parts), *(["null"] if None.__class__ in hint.__args__ else [])])
    if typing.get_origin(hint) is list:
        return f"list of {WORDS_OF_MANY.get(typing.get_args(hint)[0], 'sections')}"
    if typing.get_origin(hint) is dict:
        return f"{WORDS_OF_MANY[typing.get_args(hint)[1]]} under names"
    return "a section" if dataclasses.is_dataclass(hint) else WORDS[hint]


def comments_of(schema: type) -> dict[str, str]:
    """Field -> the comment behind it; one that stands inside a folded default counts, too."""
    lines = textwrap.dedent(inspect.getsource(schema)).splitlines()
    fields = [node for node in _body(schema) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    found = {}
    for node in fields:
        rows = lines[node.lineno - 1 : node.end_lineno]
        said = [match[1].strip() for row in rows if (match := re.search(r"(?:^|\s)#\s*(.*)$", row))]
        found[node.target.id] = " ".join(said)  # type: ignore[union-attr]
    return found


def _body(schema: type) -> list[ast.stmt]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(schema))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return tree.body


def ranges_of(schema: type) -> dict[str, str]:
    """Field -> what its value may be, in words, as the calls of `mirada.config.checks` in the class say it."""
    module = vars(sys.modules[schema.__module__])
    found: dict[str, str] = {}
    for node in _body(schema):
        if isinstance(node, ast.FunctionDef):
            lists = {
                target.id: step.value
                for step in ast.walk(node)
                if isinstance(step, ast.Assign)
                for target in step.targets
                if isinstance(target, ast.Name)
            }
            _read_checks(node, {}, lists, module, found)
    return found


def _read_checks(node: ast.AST, loop: dict[str, list[str]], lists: Any, module: Any, found: dict[str, str]) -> None:
    for child in ast.iter_child_nodes(node):
        inside = loop
        if isinstance(child, ast.For) and isinstance(child.target, ast.Name):
            names = lists.get(child.iter.id) if isinstance(child.iter, ast.Name) else child.iter
            if isinstance(names, ast.Tuple) and all(isinstance(part, ast.Constant) for part in names.elts):
                inside = loop | {child.target.id: [part.value for part in names.elts]}  # type: ignore[attr-defined]
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in CHECKS:
            for name in _named(child.args[0], inside):
                found[name.rpartition(".")[2]] = _range(child, module)
        _read_checks(child, inside, lists, module, found)


def _named(argument: ast.expr, loop: dict[str, list[str]]) -> list[str]:
    """The keys that the first argument of a check names."""
    if isinstance(argument, ast.Constant):
        return [argument.value]
    if isinstance(argument, ast.JoinedStr):
        last = argument.values[-1]
        return _named(last.value, loop) if isinstance(last, ast.FormattedValue) else []
    return loop.get(argument.id, []) if isinstance(argument, ast.Name) else []


def _range(call: ast.Call, module: dict[str, Any]) -> str:
    try:
        limits = [eval(compile(ast.Expression(part), "", "eval"), dict(module)) for part in call.args[2:]]
    except NameError:
        return ""  # hangs on another key
    match call.func.id:  # type: ignore[attr-defined]
        case "at_least":
            return f"at least {limits[0]:g}"
        case "greater_than":
            return f"above {limits[0]:g}"
        case "between":
            return f"{limits[0]:g} to {limits[1]:g}"
    return ", ".join(f"`{word}`" for word in limits[0]) if not isinstance(limits[0], dict) else ""


def read_conf(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A file of `conf/`: its values as they stand, and key -> the comment behind it."""
    text = path.read_text(encoding="utf-8")
    said: dict[str, str] = {}
    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        _read_comments(root, text.splitlines(), "", said)
    return yaml.safe_load(text) or {}, said


def _read_comments(node: yaml.MappingNode, lines: list[str], prefix: str, said: dict[str, str]) -> None:
    for key, value in node.value:
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        end = key.end_mark if block else value.end_mark
        if match := re.match(r":?[\s,}\]]*#\s*(.*)$", lines[end.line][end.column :]):
            said[f"{prefix}{key.value}"] = match[1].strip()
        if block:
            _read_comments(value, lines, f"{prefix}{key.value}.", said)


def head_of(path: Path) -> list[str]:
    """The comment that a file of `conf/` begins with, line by line, without Hydra's own."""
    head = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            head.append(line.removeprefix("#").removeprefix(" "))
    return head
