"""The pages of the reference that are written by no hand: one a command, one a group of choices."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from handbook.settings import CONF, GROUPS, Key, head_of, keys_of, read_conf

sys.path.insert(0, str(CONF.parent / "src"))  # also where the package is not installed

from mirada import config

STAGES = {"experiment": config.ExperimentConfig, **config.SCHEMAS}
COMMANDS = {**STAGES, **{name: schema for name, schema in config.COMMANDS.items() if name not in STAGES}}
OF_GROUP = {
    "data": config.DataConfig,
    "model": config.ModelConfig,
    "augment": config.AugmentConfig,
    "input": config.InputConfig,
    "executor": config.ExecutorConfig,
    "device": config.DeviceConfig,
}
WHAT = {
    "data": "Which data: where they come from, how labels are written down, how images are shared out.",
    "model": "The network.",
    "augment": "Random changes to training images; the boxes follow.",
    "input": "How training images come from the shards to the network.",
    "executor": "Who preprocesses.",
    "device": "A target: its memory, its clock, what runs a model there, and where each number is from.",
}
WIDE = "---\nhide: [toc]\n---\n\n"
COLUMNS = "| key | type | default | what it changes |\n|---|---|---|---|\n"


def write_reference(folder: Path) -> list[Path]:
    """Write every page of the keys below `folder`; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"index": _index(), "choices": _choices()}
    pages |= {name: command_page(name, schema) for name, schema in COMMANDS.items()}
    pages |= {f"group_{name}": group_page(name, schema) for name, schema in OF_GROUP.items()}
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return [folder / f"{name}.md" for name in pages]


def command_page(name: str, schema: type) -> str:
    """All keys of `src/<name>.py`, the first ones those that most people want."""
    path = CONF / f"{name}.yaml"
    head = head_of(path)
    order = [key for key in read_conf(path)[0] if key != "tracking"]  # as people read the file, the record last
    first = [key for key in GROUPS if key in {entry.name for entry in dataclasses.fields(schema)}] + order
    places = {key: place for place, key in reversed(list(enumerate(first)))}
    keys = sorted(keys_of(schema, path), key=lambda key: places.get(key.name.partition(".")[0], len(places)))
    chosen = _chosen(path)
    rows = "".join(_row(key, chosen) for key in keys)
    doc = (schema.__doc__ or "").splitlines()[0].replace("`", "")
    text = f"{WIDE}# {name}.py\n\n`src/{name}.py`, `conf/{name}.yaml`: {_lower(doc)}\n\n{_usage(head)}\n"
    foot = "The groups of [choices](choices.md), and keys of [Hydra's own](index.md#hydras-own-keys).\n"
    return f"{text}{COLUMNS}{rows}\n{foot}"


def group_page(name: str, schema: type) -> str:
    """The files of `conf/<name>`, and the keys that each of them may set."""
    text = f"{WIDE}# {name}=\n\n{WHAT[name]} `{name}=<choice>` takes a file of `conf/{name}`, "
    text += f"`{name}.<key>=…` changes a key of it.\n\n"
    text += "| choice | what it is |\n|---|---|\n"
    for path in sorted((CONF / name).glob("*.yaml")):
        text += f"| `{name}={path.stem}` | {_cell(_first_sentence(head_of(path)))} |\n"
    said = _said_in_choices(name)
    keys = [key for key in keys_of(schema, prefix=f"{name}.") if key.name != f"{name}.name"]
    rows = "".join(_row(_with_comment(key, said.get(key.name.removeprefix(f"{name}."))), {}) for key in keys)
    return f"{text}\n## Keys\n\nThe default is that of a choice that does not say.\n\n{COLUMNS}{rows}"


def _with_comment(key: Key, comment: str | None) -> Key:
    key.comment = key.comment or comment or ""
    return key


def _said_in_choices(name: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for path in sorted((CONF / name).glob("*.yaml")):
        said = read_conf(path)[1] | said
    return said


def _chosen(path: Path) -> dict[str, str]:
    """Group -> the choice that a command begins with."""
    defaults = read_conf(path)[0].get("defaults", [])
    return {str(key): str(value) for entry in defaults if isinstance(entry, dict) for key, value in entry.items()}


def _row(key: Key, chosen: dict[str, str]) -> str:
    anchor = f'<span id="{key.name}"></span>`{key.name}`'
    if key.name in GROUPS:
        default = chosen.get(key.name, "none")
        return f"| {anchor} | a choice | `{default}` | {WHAT[key.name]} [Choices and keys](group_{key.name}.md) |\n"
    if key.name in config.SCHEMAS:
        return f"| {anchor} | a section | – | keys of [{key.name}.py]({key.name}.md), as `{key.name}.<key>` |\n"
    kind = f"{key.kind}: {key.allowed}" if key.allowed else key.kind
    default = {"???": "must be given", "": '`""`'}.get(key.default, f"`{key.default}`")
    return f"| {anchor} | {_cell(kind)} | {_cell(default)} | {_cell(_escape(key.comment))} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escape(text: str) -> str:
    """A comment as prose: words that Markdown would take for marks are code."""
    if "`" in text:
        return text
    return re.sub(r"(?<!\S)(\(?)(\S*[_<>=*]\S*?)([.,;:)]*)(?!\S)", r"\1`\2`\3", text)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _first_sentence(head: list[str]) -> str:
    prose = " ".join(line for line in head if not re.match(r"\s*python ", line))
    return _escape(re.split(r"(?<=[.])\s", prose)[0].strip())


def _usage(head: Iterable[str]) -> str:
    """The comment at the head of a file: prose, and commands as a block."""
    prose, commands = [], []
    for line in head:
        before, found, command = line.partition("python src/")
        if not found or before.strip().endswith(","):
            prose.append(line.strip())
            continue
        words = re.sub(r"\s{2,}(?=[^\s#])", "   # ", found + command, count=1)
        commands.append(f"{words}   # {before.strip().rstrip(':')}" if before.strip() else words)
    block = "".join(f"    {command}\n" for command in commands)
    return "\n".join(filter(None, [_escape(" ".join(prose)) + "\n" if prose else "", block]))


def _choices() -> str:
    text = "# Groups of choices\n\n| group | default of | what |\n|---|---|---|\n"
    for name in OF_GROUP:
        users = [command for command in COMMANDS if name in _chosen(CONF / f"{command}.yaml")]
        words = ", ".join(f"[{user}.py]({user}.md): `{_chosen(CONF / f'{user}.yaml')[name]}`" for user in users)
        text += f"| [`{name}=`](group_{name}.md) | {words} | {WHAT[name]} |\n"
    for title, folder, word in (("Recipes", "experiment", "experiment="), ("Qualities", "qualities", "quality=")):
        text += f"\n## {title}\n\n| choice | what |\n|---|---|\n"
        for path in sorted((CONF / folder).glob("*.yaml")):
            text += f"| `{word}{path.stem}` | {_cell(_first_sentence(head_of(path)))} |\n"
    return text


def _index() -> str:
    text = (
        "# Every key\n\nMade from the code: types and ranges are those that a command checks, defaults those of `conf/`.\n"
        "A key is written `key=value` behind the command, a section's as `section.key=value`; `--help` prints them, too.\n"
        "`experiment.py` takes each stage's keys with the stage's name in front: `train.epochs=5`.\n\n"
        "| command | what its settings are |\n|---|---|\n"
    )
    for name, schema in COMMANDS.items():
        text += f"| [`src/{name}.py`]({name}.md) | {_cell((schema.__doc__ or '').splitlines()[0])} |\n"
    launchers = ", ".join(f"`{path.stem}`" for path in sorted((CONF / "hydra" / "launcher").glob("*.yaml")))
    return (
        f"{text}\n## Hydra's own keys\n\n`-m` makes a sweep of values with commas. `hydra.run.dir=…` and "
        f"`hydra.sweep.dir=…` say where a run leaves its logs. `hydra/launcher=` takes {launchers}, and `joblib`; "
        "`hydra/sweeper=optuna` searches: [Sweeps, searches, servers](../../how-to/sweeps.md). `--cfg job` prints what a "
        "command line comes to, and runs nothing.\n"
    )
