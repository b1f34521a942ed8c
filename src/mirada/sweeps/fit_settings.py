"""The configurations of a search for a board: every stage's, for each network of the space, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from mirada.config import FitConfig, ModelConfig, SpaceConfig
from mirada.errors import MiradaError
from mirada.sweeps.compose import compose_stages

SECTION = "fit"  # of a recipe: what it says of the search itself
_VARIANTS = ["float32", "int8"]
_LADDER = ["calibration", "qat"]  # what stays int8 throughout: memory is then what it was before training


@dataclass(frozen=True)
class FitSettings:
    """Stage -> its configuration, whose folders don't count; and file of conf/model -> its settings."""

    stages: dict[str, Any]
    models: dict[str, ModelConfig]


def spell_recipe(arguments: Sequence[str], conf: Path) -> list[str]:
    """A command line with what its recipe says under `fit` written out, save the keys that it sets itself.

    Args:
        arguments: of the command line. conf: the folder of configurations.

    Raises:
        MiradaError: the recipe can't be read.
    """
    named = [word.partition("=")[2] for word in arguments if word.startswith("experiment=")]
    path = conf / "experiment" / f"{named[-1]}.yaml" if named else None
    if path is None or not path.is_file():
        return list(arguments)  # Hydra says which recipes there are
    try:
        settings = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get(SECTION, {})
    except (ValueError, yaml.YAMLError, AttributeError) as error:
        raise MiradaError(f"{path} can't be read ({' '.join(str(error).split())}): correct it.") from error
    said = {word.partition("=")[0].lstrip("+~") for word in arguments}
    added = [f"{key}={_spell(value)}" for key, value in settings.items() if key not in said]
    first = next((n for n, word in enumerate(arguments) if "=" in word and not word.startswith("-")), len(arguments))
    return [*arguments[:first], *added, *arguments[first:]]


def _spell(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True, width=10**6)).split("\n")[0]


def compose_fit(config: FitConfig, overrides: Sequence[str]) -> FitSettings:
    """Compose and check every stage, with each network of the space; Hydra must have been initialized with `conf/`.

    Args:
        config: the search's. overrides: the command line's.

    Raises:
        MiradaError: a key is unknown, out of range, or one that is searched.
    """
    recipe = {key: value for key, value in config.recipe.items() if key != SECTION}
    _refuse_searched(overrides, recipe)
    recipe.setdefault("quantize", {})
    recipe["quantize"] = {"variants": _VARIANTS, "ladder": _LADDER, **recipe["quantize"]}
    found: dict[str, Any] = {}
    models = {}
    for name in config.space.model:
        words = [*overrides, f"train.model={name}"]
        found = compose_stages(words, config.output_dir, recipe)
        models[name] = found["train"].model
    if found["quantize"].max_drop is None:
        raise MiradaError("quantize.max_drop=null: a search needs a budget of accuracy, set it to 0.01 say.")
    return FitSettings(found, models)


def _refuse_searched(overrides: Sequence[str], recipe: Mapping[str, Any]) -> None:
    axes = {entry.name for entry in fields(SpaceConfig)}
    searched = {f"train.model.{key}" for key in axes} | {"train.model", "preprocess.input_size", "preprocess.channels"}
    said = [word.partition("=")[0].lstrip("+~") for word in overrides]
    said += [f"{stage}.{key}" for stage, part in recipe.items() if isinstance(part, Mapping) for key in part]
    for key in said:
        if key in searched:
            axis = key.rpartition(".")[2]
            raise MiradaError(f"{key} is what is searched here: set space.{axis} to the values to try, [one] fixes it.")
