"""An experiment's configurations: one a stage, composed and checked before anything runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mirada.cli import explain
from mirada.config import SCHEMAS, ExperimentConfig, TrackingConfig, parse
from mirada.errors import MiradaError
from mirada.tracking import flatten

FOLDERS: dict[str, dict[str, str]] = {
    "fetch": {"output_dir": "raw"},
    "preprocess": {"raw_dir": "raw", "output_dir": "processed"},
    "train": {"data_dir": "processed", "output_dir": "models/train"},
    "quantize": {"model_dir": "models/train", "data_dir": "processed", "output_dir": "models/quantize"},
    "evaluate": {
        "model_dir": "models/train",
        "variants_dir": "models/quantize",
        "data_dir": "processed",
        "output_dir": "reports/evaluate",
    },
}
"""Stage -> its key -> the folder below the experiment's `output_dir`."""
GROUPS = ("model", "augment", "input", "executor", "device")
"""Keys of a stage that choose a file of `conf/<key>`."""


def compose_stages(
    overrides: Sequence[str], output_dir: str, recipe: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compose and check every stage's configuration; Hydra must have been initialized with `conf/`.

    Args:
        overrides: the command line's, e.g. ['data=voc', 'train.epochs=5'].
        output_dir: the experiment's folder.
        recipe: 'data' -> a choice, stage -> its settings, nested; a setting that an override names is left out.

    Returns:
        Stage -> its configuration's dataclass, in the order in which the stages run.

    Raises:
        MiradaError: a key is unknown, its value is out of range, or it is a folder that the experiment chooses.
    """
    recipe = dict(recipe or {})
    if "fit" in recipe:
        raise MiradaError("this recipe is one of a search: python src/fit.py experiment=<its name>.")
    if unknown := set(recipe) - {"data", *SCHEMAS}:
        raise MiradaError(f"unknown key {sorted(unknown)[0]} in the recipe: it may hold data, {', '.join(SCHEMAS)}.")
    configs = {
        stage: _compose_stage(stage, overrides_of(stage, overrides), output_dir, recipe_of(stage, recipe))
        for stage in SCHEMAS
    }
    for stage in ("quantize", "evaluate"):  # they add to the run of the training
        said = (*overrides_of(stage, overrides), *recipe_of(stage, recipe))
        if not any(setting.lstrip("+~").startswith("tracking") for setting in said):
            configs[stage] = replace(configs[stage], tracking=configs["train"].tracking)
    return configs


def recipe_of(stage: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe for one stage, flat; `data` is one of fetch and preprocess.

    >>> recipe_of("train", {"data": "voc", "train": {"epochs": 5, "qat": {"gpus": 2}}})
    {'epochs': 5, 'qat.gpus': 2}
    """
    settings = flatten(recipe.get(stage, {}))
    if "data" in recipe and stage in ("fetch", "preprocess"):
        settings = {"data": recipe["data"], **settings}
    return settings


def overrides_of(stage: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that concern one stage, without the stage's name.

    >>> overrides_of("train", ["data=voc", "train.epochs=5", "+train.model.width=8"])
    ['epochs=5', '+model.width=8']
    """
    kept = []
    for override in overrides:
        match = re.fullmatch(r"(?P<mark>~|\+{1,2})?(?P<key>[^=.@]+)(?P<rest>.*)", override, re.DOTALL)
        if match is None:
            continue
        mark, key, rest = match["mark"] or "", match["key"], match["rest"]
        if key == "data" and stage in ("fetch", "preprocess"):
            kept.append(override)
        elif key == stage and not rest.startswith("."):
            raise MiradaError(f"{override} sets a whole section: set its keys one by one, as in train.epochs=5.")
        elif key == stage:
            kept.append(mark + rest[1:])
    for override in kept:
        if override.partition("=")[0].lstrip("+~") in FOLDERS[stage]:
            raise MiradaError(f"{stage}.{override}: an experiment chooses this folder itself, set output_dir instead.")
    return kept


def qualify(arguments: Sequence[str], schema: type = ExperimentConfig) -> list[str]:
    """Put the stage's name before a key of the command line that belongs to one stage only.

    Args:
        arguments: of the command line.
        schema: whose own keys stay as they are.

    >>> qualify(["data=voc", "epochs=10,20", "model.width=8", "train.gpus=1"])
    ['data=voc', 'train.epochs=10,20', 'train.model.width=8', 'train.gpus=1']

    Raises:
        MiradaError: the key belongs to several stages, or is hardly another than that of one.
    """
    own = {"experiment", "hydra", *(field.name for field in fields(schema))}
    written = []
    for argument in arguments:
        match = re.fullmatch(r"(~|\+{0,2})([A-Za-z_]\w*)([.=@].*|(?<=~.)$)", argument, re.DOTALL)
        if match and match[2] not in own:
            stages = _stages_of(match[2]) or _refuse_slip(match[2], own)
            if len(stages) > 1:
                spelled = " or ".join(f"{stage}.{match[2]}{match[3]}" for stage in stages)
                raise MiradaError(f"{argument} could be meant for several stages: write {spelled}.")
            argument = f"{match[1]}{stages[0]}.{match[2]}{match[3]}"
        written.append(argument)
    return written


def _refuse_slip(key: str, own: set[str]) -> NoReturn:
    keys = {key: f"{stage}.{key}" for stage in SCHEMAS for key in _keys_of(stage)} | {key: key for key in own}
    close = difflib.get_close_matches(key, keys, n=1)
    raise MiradaError(f"unknown key {key}: {f'did you mean {keys[close[0]]}?' if close else '--help lists every key.'}")


def _stages_of(key: str) -> list[str]:
    return [stage for stage in SCHEMAS if key in _keys_of(stage)]


def _keys_of(stage: str) -> list[str]:
    """The keys of a stage's configuration, save the folders that are chosen here."""
    return [field.name for field in fields(SCHEMAS[stage]) if field.name not in FOLDERS[stage]]


def _compose_stage(stage: str, overrides: list[str], output_dir: str, recipe: Mapping[str, Any]) -> Any:
    said = {override.partition("=")[0].lstrip("+~") for override in overrides}
    rest = {key: value for key, value in recipe.items() if key not in said}
    choices = [f"{key}={rest.pop(key)}" for key in ("data", *GROUPS) if key in rest]
    try:
        cfg = compose(stage, overrides=[*choices, *overrides])
        for key, value in rest.items():
            OmegaConf.update(cfg, key, value)
    except HydraException as error:
        raise MiradaError(f"in the section {stage}: {explain(error)}") from error
    except OmegaConfBaseException as error:
        raise MiradaError(f"in the section {stage} of the recipe: {str(error).splitlines()[0]}") from error
    for key, folder in FOLDERS[stage].items():
        OmegaConf.update(cfg, key, str(Path(output_dir) / folder))
    try:
        return parse(cfg)
    except MiradaError as error:
        raise MiradaError(f"in the section {stage}: {error}") from error


def check_sweep(config: DictConfig) -> TrackingConfig:
    """Compose every value that a sweep names once, before its first job.

    Args:
        config: the sweep's, with `hydra`.

    Returns:
        Where the jobs will be recorded.

    Raises:
        MiradaError: a key is unknown, or a value wrong whatever the others are.
    """
    choices = _overrides_to_try(config)
    first = [texts[0] for texts in choices]
    settings = _check_job(first)
    for number, texts in enumerate(choices):
        for text in texts[1:]:
            _check_job([*first[:number], text, *first[number + 1 :]])
    return settings


def check_keys(config: DictConfig) -> None:
    """Compose the first job of a stage's sweep, before anything is opened or recorded for it.

    Args:
        config: the sweep's, with `hydra`.

    Raises:
        MiradaError: a key is unknown, or a value has the wrong type.
    """
    try:
        compose(str(config.hydra.job.config_name), overrides=[texts[0] for texts in _overrides_to_try(config)])
    except (HydraException, OmegaConfBaseException) as error:
        raise MiradaError(explain(error)) from error


def _overrides_to_try(config: DictConfig) -> list[list[str]]:
    """The overrides of a sweep, each as a list of what it may be in a job; those that a search draws are left out."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    choices = [_choices(override) for override in parser.parse_overrides([*params, *config.hydra.overrides.task])]
    return [texts for texts in choices if texts]


def _choices(override: Override) -> list[str]:
    """What an override may be in a job; nothing where a search draws its value, or every file of a group is meant."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if override.value_type in (ValueType.INTERVAL_SWEEP, ValueType.GLOB_CHOICE_SWEEP):
        return []
    key = override.get_key_element()
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def _check_job(overrides: list[str]) -> TrackingConfig:
    try:
        cfg = compose("experiment", overrides=[*overrides, "output_dir=unknown"])
    except (HydraException, OmegaConfBaseException) as error:
        raise MiradaError(explain(error)) from error
    settings = compose_stages(overrides, "unknown", parse(cfg).recipe)["train"].tracking
    assert isinstance(settings, TrackingConfig)
    return settings
