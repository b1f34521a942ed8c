"""`quality=fast`: short for settings of several stages, which `conf/qualities/fast.yaml` lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from mirada.errors import MiradaError

FOLDER = "qualities"  # not `quality`, which Hydra would take for a group, and JPEG's number for its option
WORD = "quality="


def split_quality(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The quality that a command line names, 'default' where it names none, and the rest of it.

    A number is left where it is: JPEG's, a key of preprocess.

    >>> split_quality(["data=voc", "quality=fast", "quality=90"])
    ('fast', ['data=voc', 'quality=90'])
    """
    named = [word.removeprefix(WORD) for word in arguments if word.startswith(WORD) and not _is_number(word)]
    rest = [word for word in arguments if not word.startswith(WORD) or _is_number(word)]
    if len(named) > 1:
        raise MiradaError(f"quality is named twice, as {' and '.join(named)}: leave out one of the two.")
    return (named or ["default"])[0], rest


def spell_quality(quality: str, arguments: Sequence[str], conf: Path, stage: str | None = None) -> list[str]:
    """A command line with a quality's settings written out, save those that it sets itself.

    Args:
        quality: the name of a file of `conf/qualities`.
        arguments: the rest of the command line; for an experiment each key with its stage's name.
        conf: the folder of configurations.
        stage: whose command it is; None: an experiment's.

    Raises:
        MiradaError: there is no such quality, or a recipe is named, which says its own epochs.
    """
    files = {path.stem: path for path in sorted((conf / FOLDER).glob("*.yaml"))}
    if quality not in files:
        raise MiradaError(f"quality must be one of {', '.join(files)}, got {quality!r} (JPEG's is preprocess.quality).")
    said = {word.partition("=")[0].lstrip("+~") for word in arguments}
    if quality != "default" and "experiment" in said:
        raise MiradaError(
            f"quality={quality} is for data without a recipe: leave it out, and set train.epochs and others."
        )
    settings = []
    for name, values in yaml.safe_load(files[quality].read_text(encoding="utf-8")).items():
        if stage in (None, name):
            settings += [(key if stage else f"{name}.{key}", value) for key, value in values.items()]
    added = [f"{key}={value}" for key, value in settings if key not in said]
    # Hydra wants the overrides side by side, with no option such as -m between them.
    first = next((n for n, word in enumerate(arguments) if "=" in word and not word.startswith("-")), len(arguments))
    return [*arguments[:first], *added, *arguments[first:]]


def _is_number(word: str) -> bool:
    return word.removeprefix(WORD).replace(",", "").isdigit()
