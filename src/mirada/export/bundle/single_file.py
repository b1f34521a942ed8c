"""One file that needs nothing of Mirada: a module, and of all that it imports from Mirada just what it uses.

Definitions are copied as they stand, so that what the file computes is what Mirada computes. Where two modules use one name
for different things, the later one gets the module's name behind it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PACKAGE = "mirada"
_RULE = 120


@dataclass
class _Module:
    """A module's text, and what its names at the top stand for.

    Attributes:
        name: such as 'mirada.inference.boxes'.
        lines: of the text.
        own: name -> the statement that defines it.
        borrowed: name -> the module of Mirada and the name there.
        foreign: name -> where it is from elsewhere: a module, empty where it is one itself, and what is imported.
        typing: those of `foreign` that stand below `if TYPE_CHECKING`.
    """

    name: str
    lines: list[str]
    own: dict[str, ast.stmt] = field(default_factory=dict)
    borrowed: dict[str, tuple[str, str]] = field(default_factory=dict)
    foreign: dict[str, tuple[str, str]] = field(default_factory=dict)
    typing: set[str] = field(default_factory=set)


class _Gathering:
    """What a file has to hold, found from one module on."""

    def __init__(self) -> None:
        self.modules: dict[str, _Module] = {}
        self.wanted: dict[str, set[str]] = {}  # module -> names of it
        self.order: list[str] = []  # modules, those that others need first

    def add(self, module: str, name: str) -> None:
        """Take a definition, and all that it needs."""
        if module not in self.modules:
            self.modules[module] = _read(module)
            self.wanted[module] = set()
        read = self.modules[module]
        if name in self.wanted[module] or name not in read.own:
            return
        self.wanted[module].add(name)
        for used in sorted(_names_in(read.own[name])):
            if used in read.own:
                self.add(module, used)
            elif used in read.borrowed:
                self.add(*read.borrowed[used])

    def sort(self, module: str) -> None:
        """Put a module behind those that it borrows from."""
        read = self.modules[module]
        used = {name for wanted in self.wanted[module] for name in _names_in(read.own[wanted])}
        for name in sorted(used & set(read.borrowed)):
            if read.borrowed[name][0] not in self.order:
                self.sort(read.borrowed[name][0])
        self.order.append(module)


def write_single_file(module: str, about: str) -> str:
    """The text of a file that does what a module with a `main` does.

    Args:
        module: such as 'mirada.export.bundle.script'; its `main()` gives the exit status.
        about: the file's docstring.

    Returns:
        The same text for the same modules.
    """
    gathering = _Gathering()
    gathering.add(module, "main")
    gathering.sort(module)
    names = _new_names(gathering)
    parts = [_header(gathering, about)]
    for each in gathering.order:
        read, wanted = gathering.modules[each], gathering.wanted[each]
        title = f"# -- {each.replace('.', '/')}.py "
        statements = sorted({read.own[name] for name in wanted}, key=lambda node: node.lineno)
        parts.append(title + "-" * (_RULE - len(title)))
        parts += [_copy(read, statement, names[each]) for statement in statements]
    parts.append('if __name__ == "__main__":\n    sys.exit(main())')
    return "\n\n\n".join(parts) + "\n"


def _read(name: str) -> _Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    module = _Module(name, text.splitlines())
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            for inner in statement.body:
                _note_import(module, inner, typing=True)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            _note_import(module, statement)
        else:
            for defined in _defined_by(statement):
                module.own[defined] = statement
    return module


def _note_import(module: _Module, statement: ast.stmt, *, typing: bool = False) -> None:
    if not isinstance(statement, (ast.Import, ast.ImportFrom)):
        return
    source = statement.module or "" if isinstance(statement, ast.ImportFrom) else ""
    for alias in statement.names:
        name = alias.asname or alias.name
        if source.split(".")[0] == _PACKAGE:
            module.borrowed[name] = (source, alias.name)
        elif source != "__future__":
            suffix = f" as {alias.asname}" if alias.asname else ""
            module.foreign[name] = (source, alias.name + suffix)
            module.typing |= {name} if typing else set()


def _defined_by(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _names_in(statement: ast.stmt) -> set[str]:
    """Every name that a statement reads, those of its annotations too."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _new_names(gathering: _Gathering) -> dict[str, dict[str, str]]:
    """Module -> its names, own and borrowed -> what they are called in the file."""
    taken: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {}
    for module in gathering.order:
        own[module] = {}
        for name in sorted(gathering.wanted[module]):
            new = name if name not in taken else f"{name}_of_{module.rpartition('.')[2]}"
            taken[new] = module
            own[module][name] = new
    names = {module: dict(mine) for module, mine in own.items()}
    for module in gathering.order:
        for name, (source, there) in gathering.modules[module].borrowed.items():
            names[module] |= {name: own[source][there]} if there in own.get(source, {}) else {}
    return names


def _header(gathering: _Gathering, about: str) -> str:
    needed, typing = {("", "sys")}, set[tuple[str, str]]()
    for module in gathering.order:
        read = gathering.modules[module]
        used = {name for wanted in gathering.wanted[module] for name in _names_in(read.own[wanted])}
        for name in used & set(read.foreign):
            (typing if name in read.typing else needed).add(read.foreign[name])
    if typing:
        needed.add(("typing", "TYPE_CHECKING"))
    head = [f'"""{about}"""', "", "from __future__ import annotations", "", *_imports(needed)]
    if typing:
        head += ["", "if TYPE_CHECKING:", *(f"    {line}" for line in _imports(typing))]
    return "\n".join(head)


def _imports(needed: set[tuple[str, str]]) -> list[str]:
    """Lines that import, a module each."""
    plain = [f"import {name}" for source, name in sorted(needed) if not source]
    sources = sorted({source for source, _ in needed if source})
    return plain + [
        f"from {source} import {', '.join(sorted(n for s, n in needed if s == source))}" for source in sources
    ]


def _copy(module: _Module, statement: ast.stmt, names: dict[str, str]) -> str:
    """A statement's text with the comment above it, and its new names in it."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    last = statement.end_lineno or statement.lineno
    while first > 0 and module.lines[first - 1].startswith("#"):
        first -= 1
    lines = module.lines[first:last]
    places = [
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and names.get(node.id, node.id) != node.id
    ]
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) and names.get(statement.name) != statement.name:
        word = "class " if isinstance(statement, ast.ClassDef) else "def "
        places.append((statement.lineno, statement.col_offset + len(word), statement.name))
    for line, column, name in sorted(places, reverse=True):
        text = lines[line - 1 - first].encode()
        assert text[column:].startswith(name.encode()), f"{module.name}:{line} names {name} where it can't be renamed"
        lines[line - 1 - first] = (text[:column] + names[name].encode() + text[column + len(name) :]).decode()
    return "\n".join(lines)
