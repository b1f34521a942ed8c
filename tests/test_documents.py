"""Every command of the documentation: scripts' command lines compose, make has the target, of the rest is said why not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from mirada.config import COMMANDS as MORE_SCRIPTS
from mirada.config import SCHEMAS, FitConfig, parse
from mirada.config.composition.quality import spell_quality, split_quality
from mirada.errors import MiradaError
from mirada.overrides import quote_words
from mirada.sweeps.compose import compose_stages, qualify
from mirada.sweeps.fit_settings import spell_recipe
from mirada.sweeps.repeats import spell_repeats

PROJECT = Path(__file__).resolve().parents[1]
CONF = PROJECT / "conf"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
NOT_RUN = {
    "pip install": "asks a package index",
    "python -m venv": "makes an environment",
    "mlflow server": "stays; tests/tracking starts one",
    "dvc": "wants a repository of its own: tests/test_dvc_experiments.py runs its experiments",
    "python run.py": "lies in a bundle: tests/stages/test_export.py runs it there",
    "curl": "asks the service: tests/service/test_docs.py runs it",
    "job=": "likewise",
    "python3 -c": "the rest of that",
    "(echo": "asks that of `mlflow models serve`, which stays",
    ".venv/bin/pre-commit": "changes the repository's hooks",
}
"""How a command begins that is not composed -> why not; whatever else is typed has to be of one of the kinds below."""


def blocks() -> Iterator[tuple[str, str]]:
    """Where, as 'page:line', and text of each line in a block of commands; lines that go on are put together."""
    for page in PAGES:
        name, fence, held = page.relative_to(PROJECT).as_posix(), "", ""
        lines = page.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if line.startswith("```"):
                fence = "" if fence else line
            elif fence == "```sh" or (not fence and line.startswith("    ")):
                text = f"{held} {line.strip()}".strip()
                held = text.removesuffix("\\") if text.endswith("\\") else ""
                if not held:
                    yield f"{name}:{number}", text


TYPED = re.compile(r"(?:[A-Z_]+=\S+ )*(python3? |make |curl |pip |dvc |mlflow |job=|\(echo |\.venv)")
COMMANDS = {text.partition("  #")[0].strip(): where for where, text in reversed(list(blocks())) if TYPED.match(text)}


@pytest.fixture(scope="module", autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


def words_of(text: str) -> list[str]:
    """A command line as the shell hands it over, without its comment."""
    return shlex.split(text, comments=True)


def one_job(words: list[str]) -> list[str]:
    """The first job of a sweep: of each list of values the first one."""
    first = []
    for override in OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")]):
        if override.is_interval_sweep():
            first.append(f"{override.key_or_group}=0.001")
        elif override.is_sweep_override():
            first.append(f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}")
        else:
            first.append(override.input_line)
    return [word for word in first if not word.startswith("hydra")]


def check_script(script: str, words: list[str]) -> None:
    """Compose what a script would, and check it; nothing runs."""
    if "--help" in words:
        return
    if script == "fit":
        words = qualify(spell_recipe(words, CONF), FitConfig)
    if script in ("train", "experiment"):
        quality, words = split_quality(words)
        words = qualify(spell_repeats(words)) if script == "experiment" else words
        words = spell_quality(quality, words, CONF, "train" if script == "train" else None)
    overrides = one_job([word for word in quote_words(words, script) if word not in ("-m", "--multirun")])
    if script != "experiment":
        keys = {entry.name for entry in fields((SCHEMAS | MORE_SCRIPTS)[script])}
        parse(compose(script, overrides=[*overrides, *(["output_dir=out"] if "output_dir" in keys else [])]))
        return
    chosen = parse(compose(script, overrides=[*overrides, "output_dir=out"]))
    assert set(compose_stages(overrides, "out", chosen.recipe)) == set(SCHEMAS)


def check_make(words: list[str]) -> None:
    """Each target is one of the Makefile's, and each variable is one that it reads."""
    makefile = (PROJECT / "Makefile").read_text()
    for word in words:
        key, is_variable, _ = word.partition("=")
        assert re.search(rf"^{key} \?=|\$[({{]{key}\b" if is_variable else rf"^{key}:", makefile, re.M), word


@pytest.mark.parametrize("text", COMMANDS, ids=list(COMMANDS.values()))
def test_a_command_can_be_typed(text: str) -> None:
    words = words_of(text)
    while re.match(r"[A-Z_]+=", words[0]):  # TF_CONFIG=… and the like
        words.pop(0)
    if text.startswith(tuple(NOT_RUN)) or words[:3] == ["mlflow", "models", "serve"]:
        return
    if words[0] == "make":
        check_make(words[1:])
        return
    script = PROJECT / words[1]
    assert script.is_file(), f"there is no {words[1]}"
    if script.parent.name == "src":
        check_script(script.stem, [word for word in words[2:] if word != "…"])
        return
    read = script.read_text()
    assert [word for word in words[2:] if word.startswith("--") and f'"{word}"' not in read] == []


def test_a_command_that_cannot_be_typed_is_noticed() -> None:
    with pytest.raises(MiradaError):
        check_script("train", ["epochs=0"])
    with pytest.raises(Exception, match="epohcs"):
        check_script("train", ["epohcs=3"])
    with pytest.raises(AssertionError):
        check_make(["sweeep"])


def test_commands_are_found_in_every_kind_of_page() -> None:
    pages = {where.partition(":")[0] for where, _ in blocks()}
    assert {"README.md", "docs/tutorials/board.md", "docs/how-to/service.md", "docs/explanation/training.md"} <= pages
    assert len(COMMANDS) > 80


def test_a_script_says_what_is_wrong_with_a_line_as_the_page_shows_it() -> None:
    page = (PROJECT / "docs" / "how-to" / "settings.md").read_text()
    command, answer = re.findall(r"^    \$ (python .*)\n    (error: .*)$", page, re.M)[0]
    done = subprocess.run(
        [sys.executable, *command.split()[1:]], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.strip()) == (1, answer)
